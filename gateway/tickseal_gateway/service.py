"""The service: puts the gateway's parts together, runs them, and stops them in order."""

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ControlSocket
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.links.base import StreamLink
from tickseal.links.tcp import TCPServer
from tickseal.links.udp import UDPLink
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import ANY_HOST, Config
from tickseal_gateway.controller.administration import Administration
from tickseal_gateway.controller.controller import Controller
from tickseal_gateway.controller.conversation import serve
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.health.status import Json, Parts
from tickseal_gateway.health.view import View
from tickseal_gateway.health.watch import Watch
from tickseal_gateway.ingest.ingest import Ingest
from tickseal_gateway.ingest.quotas import Quotas
from tickseal_gateway.ingest.reserved import ReservedLinks
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner, stop_all
from tickseal_gateway.outputs.configured import configured_outputs, health_readers, run_beside
from tickseal_gateway.outputs.health import tell
from tickseal_gateway.recordings.library import open_library
from tickseal_gateway.recordings.recorder import make_recorder
from tickseal_gateway.registry.identity import Identity, load_identity
from tickseal_gateway.registry.registry import Registry
from tickseal_gateway.serial import serve_boards
from tickseal_gateway.store.room import Room
from tickseal_gateway.store.sqlite import SQLiteStore
from tickseal_gateway.upkeep import Upkeep

_logger = logging.getLogger(__name__)

REGISTRY_FILE = "registry.db"
READINGS_FILE = "readings.db"
_MARK_FILE = "running"
_PAGE_MODULE = "tickseal_gateway.dashboard"
#: Ports tried where any free one will do, until one is free for TCP and UDP.
_PORT_TRIES = 16
_OUTPUT_STOP_S = 1.0
#: Connections beyond one for each device: handshakes, and sessions about to be displaced.
_SPARE_CONNECTIONS = 512


def open_registry(config: Config, state: StateDirectory) -> tuple[Identity, Registry]:
    """Return identity and registry of a state directory that this process owns."""
    identity = load_identity(state)
    return identity, Registry(state.path / REGISTRY_FILE, url=config.gateway.registry)


class Gateway:
    """One running gateway.

    Attributes:
        view: what it shows and does.
    """

    def __init__(self, config: Config, state: StateDirectory) -> None:
        self._config = config
        self._state = state
        self._clock = KernelClock()
        self._identity, self._registry = open_registry(config, state)
        self._alarms = Alarms()
        self._table = StreamTable()
        self._loop = asyncio.get_running_loop()
        self._quotas = Quotas(self._registry, self._alarms)
        self._store = self._open_store()
        self._outputs = self._make_outputs()
        self._recorder = make_recorder(config, state, self._table, self._alarms, self._quotas)
        self._page: str | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[View]:
        """Run everything while the block lasts; then stop it in order.

        Raises:
            LinkError: an address or port cannot be had.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._registry.close)
            stack.enter_context(self._marked())
            # Each is stopped before what stands above it: sessions before the outputs they feed.
            self._start_outputs(stack)
            udp, tcp = await self._listen(stack)
            boards = serve_boards(self._config.serial, self._serve)
            stack.push_async_callback(_cancel, boards)
            watch = Watch(self._table, self._alarms, self._runners, udp, self._store)
            note = self._store.note_generations if self._store else None
            upkeep = Upkeep(self._controller, watch, note)
            stack.callback(upkeep.note)
            stack.push_async_callback(self._controller.close)
            parts = Parts(
                controller=self._controller,
                table=self._table,
                administration=self._administration,
                outputs=self._runners,
                tcp=tcp,
                udp=udp,
                page=None,
                state=str(self._state.path),
                started_ns=time.time_ns(),
            )
            view = View(parts)
            socket = ControlSocket(view.commands(), view.watchers())
            await socket.open(self._state.path)
            stack.push_async_callback(socket.close)
            tasks = [
                asyncio.create_task(self._receive(udp)),
                asyncio.create_task(_every_second(upkeep.tick)),
                asyncio.create_task(tell(view, self._health_readers)),
            ]
            stack.push_async_callback(_cancel, tasks)
            await self._start_page(view, tasks)
            yield view

    @contextlib.contextmanager
    def _marked(self) -> Iterator[None]:
        """Leave a mark while it runs; where one is found, the last run ended without warning."""
        found = self._state.read(_MARK_FILE)
        if found is not None:
            begun = found.decode("ascii", "replace")
            self._alarms.set(
                "ended",
                "",
                f"the last run, begun {begun}, ended without warning: a kill, a crash or a power "
                "cut; what was acknowledged is stored, and devices send again what was not",
            )
            self._alarms.clear("ended", "")  # among those of the past it stays
        self._state.write(_MARK_FILE, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode())
        yield
        self._state.delete(_MARK_FILE)

    async def _listen(self, stack: contextlib.AsyncExitStack) -> tuple[UDPLink, TCPServer]:
        given = self._config.gateway
        host = None if given.host == ANY_HOST else given.host
        for attempt in range(_PORT_TRIES):
            udp = await UDPLink.listen(host, given.port)
            port = udp.address[1]
            self._make_controller(port)
            most = self._config.policy.devices + _SPARE_CONNECTIONS
            try:
                tcp = await TCPServer.listen(
                    self._serve,
                    host,
                    port,
                    most=most,
                    most_per_site=most,
                    admit=self._controller.admits,
                )
            except LinkError:
                udp.close()
                if given.port or attempt == _PORT_TRIES - 1:
                    raise
                continue
            stack.callback(udp.close)
            stack.push_async_callback(tcp.close)
            return udp, tcp
        raise AssertionError("unreachable")

    def _make_controller(self, port: int) -> None:
        store = next((o for o in self._outputs if o.name == SQLiteStore.name), None)
        self._administration = Administration(
            self._config, self._identity, self._registry, port=port
        )
        self._controller = Controller(
            config=self._config,
            identity=self._identity,
            registry=self._registry,
            table=self._table,
            ingest=Ingest(self._table, self._clock, self._outputs, store),
            alarms=self._alarms,
            clock=self._clock,
            udp_port=port,
            library=open_library(self._config, self._state),
        )

    def _open_store(self) -> SQLiteStore | None:
        given = self._config.store
        if not given.enabled:
            return None
        path = Path(given.path).expanduser() if given.path else self._state.path / READINGS_FILE
        room = Room(
            retention_ns=given.retention_ns,
            size_most=given.size_bytes,
            quotas=self._quotas.all,
            over_quota=self._quotas.over,
        )
        store = SQLiteStore(path, room=room, gather_s=given.commit_ns / 1e9)
        if store.notice:
            self._alarms.set("store", "", store.notice)
        return store

    def _make_outputs(self) -> list[OutputRunner]:
        outputs: list[OutputRunner] = []
        if self._store is not None:
            outputs.append(OutputRunner(self._store, on_written=self._on_written, ends_last=True))
        further = configured_outputs(self._config)
        self._health_readers = health_readers(further)
        return outputs + [run_beside(output, self._store) for output in further]

    @property
    def _runners(self) -> list[OutputRunner]:
        """All outputs, the recordings too, which are not fed with what was opened."""
        return [*self._outputs, *([self._recorder.runner] if self._recorder else [])]

    def _start_outputs(self, stack: contextlib.AsyncExitStack) -> None:
        for output in self._runners:
            output.start()
        stack.callback(stop_all, self._runners, _OUTPUT_STOP_S)
        if self._recorder is not None:
            stack.callback(self._recorder.flush)

    def _on_written(self, batches: Sequence[Batch]) -> None:
        # On the store's thread: what is to be acknowledged goes to the event loop.
        marks = [mark for batch in batches for mark in batch.marks]
        if marks:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(
                    lambda: self._controller.spawn(self._controller.stored(marks))
                )

    async def _serve(self, link: StreamLink) -> None:
        await serve(self._controller, link)

    async def _receive(self, udp: UDPLink) -> None:
        controller = self._controller
        links = ReservedLinks(
            udp,
            self._table,
            controller.ingest.take,
            lambda: {connection.address for connection in controller.connections.values()},
        )
        with contextlib.suppress(LinkError):  # closed on stopping
            await links.serve()

    async def _start_page(self, view: View, tasks: list[asyncio.Task[None]]) -> None:
        """Start the page where it is installed; the gateway does its work without it too.

        It is `async def serve(view, config, state, ready)`: runs until it is cancelled, and calls
        ready(url) once it listens. The state directory is for its own files: `page/...`.
        """
        if not self._config.page.enabled or importlib.util.find_spec(_PAGE_MODULE) is None:
            return
        serve_page = getattr(importlib.import_module(_PAGE_MODULE), "serve", None)
        if serve_page is None:
            return
        is_up: asyncio.Future[str] = self._loop.create_future()

        def ready(url: str) -> None:
            if not is_up.done():
                is_up.set_result(url)
            view.set_page(url)  # again where it moves

        task = asyncio.create_task(serve_page(view, self._config, self._state, ready))
        tasks.append(task)
        await asyncio.wait({task, is_up}, return_when=asyncio.FIRST_COMPLETED)
        if not is_up.done():
            self._alarms.set("page", "", f"there is no page: {task.exception()}")


async def run(config: Config, announce: Callable[[str, Json], None]) -> None:
    """Run a gateway until SIGINT or SIGTERM.

    Args:
        announce: told "ready" with a snapshot once everything listens, and "stopped" with the last.
    Raises:
        TicksealError: it cannot start; the message says why.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with StateDirectory.open(config.state_path) as state:
        gateway = Gateway(config, state)
        async with gateway.running() as view:
            announce("ready", view.snapshot())
            await stop.wait()
            last = view.snapshot()
        announce("stopped", last)


async def _every_second(tick: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + 1
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        due = max(due + 1, loop.time())
        try:
            tick()
        except Exception:
            _logger.exception("the upkeep of this second failed")


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            _logger.error("while stopping: %s", outcome)

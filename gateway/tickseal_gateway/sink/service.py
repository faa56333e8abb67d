"""The service of a separate sink: stays connected, opens what it is granted, feeds its outputs."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tickseal.clock import GatewayTimeFilter
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ControlSocket
from tickseal.host.conversation import Conversation
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.gateway_clock import GatewayAssistedClock
from tickseal.host.kernel_clock import KernelClock, boottime_ns
from tickseal.host.logs import Once
from tickseal.host.state import StateDirectory
from tickseal.links.backoff import Backoff
from tickseal.sessions import events as ev
from tickseal.sessions.sink_session import SinkSession
from tickseal_gateway.outputs.base import OutputRunner, stop_all
from tickseal_gateway.outputs.configured import configured_outputs, run_beside
from tickseal_gateway.outputs.offering import Offering
from tickseal_gateway.sink.config import SinkSettings
from tickseal_gateway.sink.enrolment import begin_session
from tickseal_gateway.sink.recall import Recall
from tickseal_gateway.sink.streams import GrantedStreams
from tickseal_gateway.store.room import Room
from tickseal_gateway.store.sqlite import SQLiteStore

_logger = logging.getLogger("tickseal.sink")
#: A session that lasted so long has proved itself: the next attempts begin with short waits again.
_PROVED_S = 30.0
_OUTPUT_STOP_S = 1.0
ENROL = "tickseal sink enrol TOKEN"
_PROBLEMS = {
    "unknown": "it is not enrolled there (any more); enrol it anew",
    "revoked": "it was revoked; enrol it anew with a new invite",
    "role": "it is enrolled there as a source; enrol it anew with an invite for a sink",
    "displaced": "another process, or another machine, uses this sink's identity",
    "stopping": "the gateway stops",
}


class Sink:
    """One running sink.

    Attributes:
        streams: what it is granted.
    """

    def __init__(self, settings: SinkSettings, state: StateDirectory) -> None:
        self._settings = settings
        self._identity = DeviceIdentity.load(state, enrol=ENROL)
        self._own_clock = KernelClock()
        self._clock = GatewayAssistedClock(self._own_clock, GatewayTimeFilter())
        self.streams = GrantedStreams(self._clock)
        self._outputs = make_outputs(settings, state.path)
        self._offering = Offering(self._outputs)
        self._conversation: Conversation[SinkSession] | None = None
        self._recall = Recall(state.path)
        self._once = Once(_logger)
        self._started_ns = time.time_ns()
        self._address = self._gateway = ""
        self._problem = "not tried yet"
        self._sessions = 0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        for output in self._outputs:
            output.start()
        ticking = asyncio.create_task(self._every_second())
        try:
            await self._stay_connected()
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await asyncio.to_thread(stop_all, self._outputs, _OUTPUT_STOP_S)
            self.streams.clear()

    def status(self) -> dict[str, Any]:
        """Return everything, as JSON can hold it."""
        return {
            "sink": {"name": self._identity.name, "started_ns": self._started_ns},
            "gateway": {
                "is_up": not self._problem,
                "name": self._gateway,
                "address": self._address,
                "problem": self._problem,
                "sessions": self._sessions,
            },
            "streams": self.streams.to_json(),
            "unknown_segments": self.streams.unknown,
            "outputs": [
                {
                    "name": output.name,
                    "written": output.counters.written,
                    "missed": output.counters.missed,
                    "caught_up": output.counters.caught_up,
                    "error": output.counters.error,
                }
                for output in self._outputs
            ],
        }

    async def recall(self, stream_id: str, tai: tuple[int, int]) -> AsyncIterator[object]:
        """Yield how many bytes of a recording have come, and at last the grant file's path.

        Raises:
            LinkError: not connected, or the session ended meanwhile.
            LocalProtocolError: another recall is under way.
            StoreError: the gateway has nothing, or does not allow it; or the disk refuses.
        """
        conversation = self._conversation
        if conversation is None or self._problem:
            raise LinkError(f"not connected to the gateway: {self._problem}")
        conversation.session.recall(stream_id, tai)
        conversation.flush()
        async for progress in self._recall.begin(stream_id):
            yield progress

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            began_ns = boottime_ns()
            for address in self._identity.addresses:
                self._address = address
                session = begin_session(self._identity.credentials(), name=self._settings.sink.name)
                self._conversation = conversation = Conversation(
                    session, clock=self._own_clock, on_event=self._on_event
                )
                try:
                    closed = await conversation.run(address)
                except LinkError as error:
                    self._fails(str(error))
                    continue
                finally:
                    self._recall.fail("the session with the gateway ended")
                if closed is not None and closed.reason is not ev.CloseReason.REFUSED:
                    why = _PROBLEMS.get(closed.detail, closed.detail)
                    self._fails(f"the session with {address} ended: {why}")
                break
            if (boottime_ns() - began_ns) / 1e9 > _PROVED_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_ns() / 1e9)

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.streams.expire()

    def _on_event(self, session: SinkSession, event: ev.Event) -> None:
        match event:
            case ev.SegmentsReceived():
                self._offering.offer(self.streams.open(event.segments, event.handle))
            case ev.Welcomed():
                self._gateway, self._problem = event.gateway, ""
                self._sessions += 1
                self._once = Once(_logger)
                _logger.info("connected to %s at %s", event.gateway, self._address)
                session.subscribe(self._settings.sink.streams)
            case ev.GrantReceived():
                self.streams.take_grant(event)
            case ev.GrantWithdrawn():
                self.streams.withdraw(event.handle, event.generation, event.reason)
            case ev.RecallReceived():
                self._recall.take(event)
            case ev.StreamRefused():
                _logger.warning("may not read %s: %s", event.stream_id, event.detail)
            case ev.GatewayTime():
                self._clock.learn(event)
            case ev.HandshakeRefused():
                why = _PROBLEMS.get(event.reason, event.reason)
                self._fails(f"the gateway refused this sink: {why}")
            case ev.Revoked():
                self.streams.clear()
            case _:
                pass

    def _fails(self, problem: str) -> None:
        self._problem = problem
        # By address, or two that fail in turn would each be news for ever.
        self._once.change(self._address, problem, logging.WARNING, "%s", problem)


def make_outputs(settings: SinkSettings, state: Path) -> list[OutputRunner]:
    """Return the outputs that a configuration asks for, the store among them."""
    given = settings.store
    outputs: list[OutputRunner] = []
    store: SQLiteStore | None = None
    if given.enabled:
        path = Path(given.path).expanduser() if given.path else state / "readings.db"
        room = Room(retention_ns=given.retention_ns, size_most=given.size_bytes)
        store = SQLiteStore(path, room=room, gather_s=given.commit_ns / 1e9)
        outputs.append(OutputRunner(store, ends_last=True))
    further = configured_outputs(settings.as_gateway())
    return outputs + [run_beside(output, store) for output in further]


async def run(settings: SinkSettings, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run a sink until SIGINT or SIGTERM.

    Args:
        announce: told the status once it runs.
    Raises:
        TicksealError: it cannot start; the message says why.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with StateDirectory.open(settings.state_path) as state:
        sink = Sink(settings, state)

        async def status(_: dict[str, Any]) -> object:
            return sink.status()

        def recall(request: dict[str, Any]) -> AsyncIterator[object]:
            span = int(request["from_ns"]), int(request["until_ns"])
            return sink.recall(str(request["stream"]), span)

        async with contextlib.AsyncExitStack() as stack:
            socket = ControlSocket({"status": status}, {"recall": recall})
            await socket.open(state.path)
            stack.push_async_callback(socket.close)
            running = asyncio.create_task(sink.run())
            stack.push_async_callback(partial(_end, [running]))
            announce(sink.status())
            waiting = asyncio.create_task(stop.wait())
            stack.push_async_callback(partial(_end, [waiting]))
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()


async def _end(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

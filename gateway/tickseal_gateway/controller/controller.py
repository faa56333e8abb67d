"""The Stream Controller: who may connect and open what, and the commands of people."""

import asyncio
import contextlib
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from tickseal.clock import Clock
from tickseal.core.errors import LinkError, LocalProtocolError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.negotiation import Wish, pick_generation
from tickseal.sessions.session import State
from tickseal.streams.metadata import StreamMetadata
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import Config
from tickseal_gateway.controller.admission import Admission
from tickseal_gateway.controller.clocks import ClockWatch
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.controller.recalls import Recalls
from tickseal_gateway.controller.sinks import SinkHub
from tickseal_gateway.frames.readings import FrameMark
from tickseal_gateway.ingest.backfill import Backfill
from tickseal_gateway.ingest.budgets import Lines, Overruns, make_budget
from tickseal_gateway.ingest.ingest import Ingest
from tickseal_gateway.ingest.streams import LiveStream
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.registry import invites
from tickseal_gateway.registry.identity import Identity
from tickseal_gateway.registry.limits import NO_LIMITS, Limits
from tickseal_gateway.registry.registered import (
    Device,
    DeviceState,
    Invite,
    OpeningRefusedError,
    RegistryError,
    Stream,
)
from tickseal_gateway.registry.registry import Registry

_logger = logging.getLogger(__name__)
T = TypeVar("T")
_SECOND = 1_000_000_000
#: Two sessions of one identity that displace each other so often within so long are two devices.
_DISPLACED_TIMES, _DISPLACED_NS = 2, 60 * _SECOND
_DISPLACED_QUIET_NS = 600 * _SECOND
#: A session that was heard so lately was alive when it was displaced: pings come every 2 s.
_ALIVE_NS = 3 * _SECOND
#: What goodbyes may take, s: the outputs have a second of their own to finish.
_BYE_S = 0.5
#: Numbers of a stream's latest generations, whose low bits are not used again at once.
_RECENT = 4


class Controller:
    """What all connections share.

    Attributes:
        connections: the live session of each device, by the registry's number.
        left_ns: when the last session of a device ended, monotonic ns.
        refused_handshakes: by reason.
        lines: how many lines of the log each device may still cause.
        promised: names that devices are told whose enrolment is under way.
        udp_port: told to devices.
    """

    def __init__(
        self,
        *,
        config: Config,
        identity: Identity,
        registry: Registry,
        table: StreamTable,
        ingest: Ingest,
        alarms: Alarms,
        clock: Clock,
        udp_port: int,
        library: Library | None = None,
    ) -> None:
        self.config = config
        self.identity = identity
        self.registry = registry
        self.table = table
        self.ingest = ingest
        self.alarms = alarms
        self.clock = clock
        self.udp_port = udp_port
        self.negotiation = config.policy.negotiation()
        self.backfill = Backfill(registry, table, self.negotiation, self.durably)
        self.clocks = ClockWatch(config.clock, table, alarms)
        self.sinks = SinkHub(
            registry, table, clock, span_ns=config.sinks.span_ns, rekey=self.rekey_stream
        )
        self.recalls = Recalls(registry, library)
        self.admission = Admission()
        self.connections: dict[int, Connection] = {}
        self.left_ns: dict[int, int] = {}
        self.refused_handshakes: Counter[str] = Counter()
        self.promised: set[str] = set()
        self.once = Once(_logger)
        self._recent: dict[int, deque[int]] = {}
        self._displaced: dict[int, deque[int]] = {}
        self._is_closing = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="registry")
        self._tasks: set[asyncio.Task[None]] = set()
        self.overruns = Overruns(alarms)
        self.lines = Lines()
        self._limited: dict[int, Limits] = {}
        for device in registry.devices():
            if device.state is DeviceState.REVOKED:
                self._revoke_streams(device)
            else:
                self._limit(device)

    def admits(self, site: str) -> bool:
        """Tell whether a TCP server is to take one more connection of a site."""
        return self.admission.admits(site, boottime_ns())

    async def close(self) -> None:
        """Say bye to every device and let the disk finish."""
        self._is_closing = True
        for connection in list(self.connections.values()):
            connection.session.close("stopping")
            self.spawn(connection.end())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_BYE_S)
        self._disk.shutdown(wait=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end, beside everything else."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Where the loop ends before the task begins, Python would miss the await.
        task.add_done_callback(lambda _: work.close())

    async def durably(self, write: Callable[[], T]) -> T:
        """Run a write of the registry off the event loop, in order; on return it is on the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, write)

    # --- Sessions ---

    def judge(self, request: ev.HandshakeRequested) -> Device | Invite | str:
        """Return by whose PSK to accept a handshake, or the reason to refuse. Changes nothing."""
        device = self.registry.device_of_key(request.static_public)
        if device is not None and device.state is DeviceState.REVOKED:
            return "revoked"
        if request.invite_id is None:
            if device is None:
                return "unknown"
            return device if device.hybrid is request.hybrid else "incompatible"
        if not request.hybrid and not self.config.policy.allow_classical:
            return "incompatible"
        if device is None and len(self.registry.devices()) >= self.config.policy.devices:
            return "busy"
        return invites.judge(self.registry, request, invites.now_ns())

    def name_for(self, invite: Invite, static_public: bytes) -> str:
        """Return the name that a device will have."""
        known = self.registry.device_of_key(static_public)
        return known.name if known else invite.name or self.registry.free_name(self.promised)

    async def confirm(self, device: Device) -> Device:
        """Note that a device has its identity on disk: its invite is used up."""
        state = DeviceState.PENDING if self.config.policy.approve else DeviceState.APPROVED
        return await self.durably(lambda: self.registry.finish_enrolment(device, state))

    def join(self, connection: Connection) -> None:
        """Make a session the live one of its device, in place of an older."""
        device = connection.device
        if device is None:
            return
        old = self.connections.get(device.id)
        self.connections[device.id] = connection
        self.clocks.forget(device)  # until the new session's check says otherwise
        self.left_ns.pop(device.id, None)
        if old is None:
            _logger.info(
                "%s connected from %s (%s)", device.name, connection.address, connection.handshake
            )
            return
        self._note_displaced(device, old, connection)
        old.session.close("displaced")
        self.spawn(old.end())

    def leave(self, connection: Connection) -> None:
        """Forget a session that has ended."""
        device = connection.device
        self.sinks.leave(connection)
        if device is not None and self.connections.get(device.id) is connection:
            del self.connections[device.id]
            self.left_ns[device.id] = boottime_ns()
            self.clocks.forget(device)

    def _note_displaced(self, device: Device, old: Connection, new: Connection) -> None:
        if old.session.is_closed or old.heard_ns < new.opened_ns - _ALIVE_NS:
            return
        now = boottime_ns()
        times = self._displaced.setdefault(device.id, deque(maxlen=_DISPLACED_TIMES))
        times.append(now)
        if len(times) == _DISPLACED_TIMES and now - times[0] < _DISPLACED_NS:
            self.alarms.set(
                "two_devices",
                device.name,
                f"sessions from {old.address} and {new.address} displace each other: two devices "
                "answer to this identity (a copied card or backup); revoke it and enrol both anew",
            )

    def check_displaced(self, monotonic_ns: int) -> None:
        """Let the alarm of two devices end once neither has displaced the other for long."""
        for device_id, times in list(self._displaced.items()):
            if monotonic_ns - times[-1] > _DISPLACED_QUIET_NS:
                del self._displaced[device_id]
                device = self.registry.device(device_id)
                if device is not None:
                    self.alarms.clear("two_devices", device.name)

    # --- Streams ---

    async def claim_streams(
        self, device: Device, wanted: Sequence[StreamMetadata]
    ) -> list[Stream | OpeningRefusedError]:
        """Return a device's streams, registered before they are used; or for each why not.

        Raises:
            StoreError: the disk refuses.
        """
        held = {stream.id for stream in self.table.of_device(device.id) if stream.held}
        owned = {stream.id: stream for stream in self.registry.streams_of(device.id)}
        names = set(owned)
        claims: dict[str, Stream | OpeningRefusedError] = {}
        unknown = []
        for metadata in wanted:
            try:
                self._check_claim(device, metadata, held, names)
            except OpeningRefusedError as refusal:
                claims[metadata.id] = refusal
                continue
            known = owned.get(metadata.id)
            if known is not None and known.metadata == metadata:
                claims[metadata.id] = known
            else:
                unknown.append(metadata)
        if unknown:
            registered = await self.durably(lambda: self.registry.claim_streams(device, unknown))
            claims |= {one.id: claim for one, claim in zip(unknown, registered, strict=True)}
        return [claims[metadata.id] for metadata in wanted]

    def _check_claim(
        self, device: Device, metadata: StreamMetadata, held: set[str], names: set[str]
    ) -> None:
        """Check one more stream beside those that a device has open, and has; add it to both."""
        types, most = self.config.policy.types, self.config.policy.streams
        if types and not any(fnmatchcase(metadata.type, one) for one in types):
            raise OpeningRefusedError(
                "type", f"the policy here allows the types {', '.join(types)}, not {metadata.type}"
            )
        open_most = device.limits.streams
        if open_most is not None and len(held - {metadata.id}) >= open_most:
            words = (
                f"the device may have {open_most} streams open at once, and wants "
                f"{metadata.id!r} too"
            )
            self.overruns.note("limit_streams", device.name, words)
            raise OpeningRefusedError("busy", words)
        if len(names | {metadata.id}) > most:
            raise OpeningRefusedError("busy", f"the device has {most} streams")
        held.add(metadata.id)
        names.add(metadata.id)

    def pick_generation(self, stream: Stream, wish: Wish) -> int:
        """Return a number for a stream's next generation, unlike those held and recent ones.

        Raises:
            LocalProtocolError: as many are held as the header can tell apart.
        """
        live = self.table.get(stream.handle)
        recent = self._recent.setdefault(stream.handle, deque(maxlen=_RECENT))
        profile = self.negotiation.profiles[0] if wish.profile is None else wish.profile
        number = pick_generation(os.urandom, [*(live.held if live else ()), *recent], profile)
        recent.append(number)
        return number

    def retire(self, device: Device, handle: int, number: int) -> None:
        """Take in what is still under way of a generation that its device closed, then erase it."""
        held = self.table.find(handle, number)
        if held is None or not self.backfill.owns(device, handle):
            return
        parameters = held.generation.parameters
        if held.received.ends_at_ns is None:
            held.received.ends_at_ns = (
                self.clock.now().latest_ns + parameters.past_ns + parameters.skew_ns
            )

    async def stored(self, marks: Sequence[FrameMark]) -> None:
        """Acknowledge frames that are on disk: first in the registry, then to their devices."""
        if self._is_closing:  # what is not acknowledged is offered again
            return
        for (handle, number), until in (await self.backfill.note_stored(marks)).items():
            stream = self.registry.stream(handle)
            connection = self.connections.get(stream.device_id) if stream else None
            if connection is not None and not connection.session.is_closed:
                try:
                    connection.session.send_stored_until(handle, number, until)
                    connection.flush()
                except (LinkError, LocalProtocolError):  # it goes; it will ask again
                    pass

    def check_budgets(self) -> None:
        """Tell people and devices of frames that are too many; call once a second."""
        self.overruns.tick()
        for device_id, budget in self.table.budgets():
            device = self.registry.device(device_id)
            denied, budget.denied = budget.denied, 0
            if device is None or not denied:
                continue
            words = f"more than {device.limits}: what is too much is given to no output"
            if self.overruns.note("limit_rate", device.name, words):
                connection = self.connections.get(device_id)
                if connection is not None and connection.session.state is State.RUNNING:
                    connection.session.alarm("limit", words)

    # --- What people ask of what is live ---

    def apply(self, device: Device) -> None:
        """Let the live session and streams of a device follow what was registered of it."""
        connection = self.connections.get(device.id)
        if device.state is DeviceState.REVOKED:
            self._revoke_streams(device)
            self.table.set_budget(device.id, None)
            self.sinks.stop(device)
            self.alarms.clear_all(device.name)
            if connection is not None:
                connection.session.revoke()
                self.spawn(connection.end())
            _logger.info("revoked %s", device.name)
            return
        for live in self.table.of_device(device.id):
            live.device = device.name
        self._limit(device)
        if connection is not None and connection.device is not None:
            was, connection.device = connection.device, device
            if was.state is DeviceState.PENDING and device.role is Role.SOURCE:
                # It was refused its streams, and would ask again in its own time: a new session
                # asks at once.
                connection.session.close("approved")
                self.spawn(connection.end())
        self.sinks.refresh(device)

    def _limit(self, device: Device) -> None:
        if self._limited.get(device.id, NO_LIMITS) == device.limits:
            return
        self._limited[device.id] = device.limits
        self.table.set_budget(device.id, make_budget(device.limits))
        for kind in ("limit_rate", "limit_streams"):
            self.overruns.forget(kind, device.name)

    def _revoke_streams(self, device: Device) -> None:
        for stream in self.registry.streams_of(device.id):
            self.table.revoke(stream.handle)

    def rekey(self, device: Device) -> int:
        """Ask a device for a new generation of each of its streams; return of how many."""
        connection = self.connections.get(device.id)
        if connection is None or connection.session.is_closed:
            raise RegistryError(
                f"{device.name!r} is not connected; every new session rekeys anyway"
            )
        live = [stream for stream in self.table.of_device(device.id) if stream.newest]
        for stream in live:
            connection.session.rekey(stream.handle)
        connection.flush()
        return len(live)

    def rekey_stream(self, stream: LiveStream) -> None:
        """Ask for a new generation of one stream; a device that is away begins one anyway."""
        connection = self.connections.get(stream.device_id)
        if connection is not None and connection.session.state is State.RUNNING:
            with contextlib.suppress(LinkError):  # it goes
                connection.session.rekey(stream.handle)
                connection.flush()


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except LinkError as error:
        _logger.debug("%s", error)

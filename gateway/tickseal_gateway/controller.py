"""The Stream Controller: who may connect and open what, and the commands of people."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tickseal import events as ev
from tickseal.clock import Clock, ClockAction
from tickseal.core.errors import LinkError, LocalProtocolError, TicksealError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal.links.base import StreamLink
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import NegotiationError
from tickseal_gateway import invites
from tickseal_gateway.admission import Admission
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import Config
from tickseal_gateway.connection import Connection, OpeningRefusedError
from tickseal_gateway.identity import Identity
from tickseal_gateway.ingest import Ingest
from tickseal_gateway.readings import FrameMark
from tickseal_gateway.registered import (
    Device,
    DeviceState,
    Invite,
    OfflineGeneration,
    RegistryError,
    Stream,
)
from tickseal_gateway.registry import Registry
from tickseal_gateway.streams import StreamTable

_logger = logging.getLogger(__name__)
T = TypeVar("T")
_SECOND = 1_000_000_000
#: Two sessions of one identity that displace each other so often within so long are two devices.
_DISPLACED_TIMES, _DISPLACED_NS = 2, 60 * _SECOND
#: A session that was heard so lately was alive when it was displaced: pings come every 2 s.
_ALIVE_NS = 3 * _SECOND
#: Numbers of a stream's latest generations, whose low bits are not used again at once.
_RECENT = 8


class Controller:
    """What all connections share.

    Attributes:
        connections: the live session of each device, by the registry's number.
        left_ns: when the last session of a device ended, monotonic ns.
        refused_handshakes: by reason.
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
        self.admission = Admission()
        self.connections: dict[int, Connection] = {}
        self.left_ns: dict[int, int] = {}
        self.refused_handshakes: Counter[str] = Counter()
        self.once = Once(_logger)
        self._recent: dict[int, deque[int]] = {}
        self._displaced: dict[int, deque[int]] = {}
        self._is_closing = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="registry")
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, link: StreamLink) -> None:
        """Serve one connection until it ends; the handler of a TCP server."""
        await Connection(self, link).run()

    async def close(self) -> None:
        """Say bye to every device and let the disk finish."""
        self._is_closing = True
        for connection in list(self.connections.values()):
            connection.session.close("stopping")
            connection.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        self._disk.shutdown(wait=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end, beside everything else."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        return known.name if known else invite.name or self.registry.free_name()

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
        self.left_ns.pop(device.id, None)
        if old is None:
            _logger.info(
                "%s connected from %s (%s)", device.name, connection.address, connection.handshake
            )
            return
        self._note_displaced(device, old, connection)
        old.session.close("displaced")
        old.end()

    def leave(self, connection: Connection) -> None:
        """Forget a session that has ended."""
        device = connection.device
        if device is not None and self.connections.get(device.id) is connection:
            del self.connections[device.id]
            self.left_ns[device.id] = boottime_ns()

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

    # --- Streams ---

    async def claim_stream(self, device: Device, metadata: StreamMetadata) -> Stream:
        """Return a device's stream, registered before it is used.

        Raises:
            OpeningRefusedError: the name is another device's, or the device has too many.
            StoreError: the disk refuses.
        """
        known = self.registry.stream_named(metadata.id)
        if known is not None and known.device_id == device.id and known.metadata == metadata:
            return known
        if known is None and (
            len(self.registry.streams_of(device.id)) >= self.config.policy.streams
        ):
            raise OpeningRefusedError(
                "busy", f"the device has {self.config.policy.streams} streams"
            )
        try:
            return await self.durably(lambda: self.registry.claim_stream(device, metadata))
        except RegistryError as error:
            raise OpeningRefusedError("taken", str(error)) from None

    def recent(self, handle: int) -> list[int]:
        """Return numbers of generations whose low bits a new one must not have."""
        stream = self.table.get(handle)
        return [*(stream.held if stream else ()), *self._recent.get(handle, ())]

    def note_generation(self, handle: int, number: int) -> None:
        """Remember a number that recent() shall return."""
        self._recent.setdefault(handle, deque(maxlen=_RECENT)).append(number)

    def retire(self, connection: Connection, handle: int, number: int) -> None:
        """Take in what is still under way of a generation that its device closed, then erase it."""
        held = self.table.find(handle, number)
        stream = self.table.get(handle)
        device = connection.device
        if held is None or stream is None or device is None or stream.device_id != device.id:
            return
        parameters = held.generation.parameters
        if held.received.ends_at_ns is None:
            held.received.ends_at_ns = (
                self.clock.now().latest_ns + parameters.past_ns + parameters.skew_ns
            )

    async def take_offer(self, connection: Connection, event: ev.OfflineGenerationOffered) -> int:
        """Hold an offline generation; return up to which frame it is stored already.

        Raises:
            OpeningRefusedError: it is not taken, and never will be.
            StoreError: the disk refuses; later it may be taken.
        """
        device, number = connection.device, event.generation.number
        stream = self.registry.stream(event.handle)
        if device is None or stream is None or stream.device_id != device.id or stream.is_retired:
            raise OpeningRefusedError("handle")
        if stream.id != event.generation.stream_id:
            raise OpeningRefusedError("metadata")
        known = self.registry.offline(event.handle, number)
        if known is not None and known.is_finished:
            raise OpeningRefusedError("finished")
        state = known or OfflineGeneration(handle=event.handle, number=number)
        try:
            self.negotiation.check(event.generation.parameters)
            if known is None:
                await self.durably(lambda: self.registry.keep_offline(state))
            # Offered again: what was opened of it but not stored comes once more.
            self.table.make_way(event.handle, number)
            self.table.install(
                stream,
                device,
                event.generation,
                monotonic_ns=boottime_ns(),
                offline_from=state.stored_until,
            )
        except NegotiationError as error:
            raise OpeningRefusedError("policy", error.detail) from None
        except LocalProtocolError as error:
            raise OpeningRefusedError("busy", str(error)) from None
        _logger.info("%s offers what it sealed of %s while away", device.name, stream.id)
        return state.stored_until

    async def stored(self, marks: Sequence[FrameMark]) -> None:
        """Acknowledge frames that are on disk: first in the registry, then to their devices."""
        until: dict[tuple[int, int], int] = {}
        if self._is_closing:  # what is not acknowledged is offered again
            return
        for mark in marks:
            key = (mark.handle, mark.generation)
            until[key] = max(until.get(key, 0), mark.frame + 1)
        for (handle, number), frame_until in until.items():
            await self._stored(handle, number, frame_until)

    async def _stored(self, handle: int, number: int, frame_until: int) -> None:
        known = self.registry.offline(handle, number)
        if known is not None and known.stored_until < frame_until:
            state = OfflineGeneration(
                handle=handle,
                number=number,
                stored_until=frame_until,
                is_finished=known.is_finished,
            )
            try:
                await self.durably(lambda: self.registry.keep_offline(state))
            except TicksealError as error:
                _logger.error("not acknowledged: %s", error)  # noqa: TRY400 - told
                return
        held = self.table.find(handle, number)
        if held is not None:
            held.stored_until = max(held.stored_until, frame_until)
        stream = self.registry.stream(handle)
        connection = self.connections.get(stream.device_id) if stream else None
        if connection is not None and not connection.session.is_closed:
            try:
                connection.session.send_stored_until(handle, number, frame_until)
                connection.flush()
            except (LinkError, LocalProtocolError):  # it goes; it will ask again
                pass

    # --- What people ask of what is live ---

    def apply(self, device: Device) -> None:
        """Let the live session and streams of a device follow what was registered of it."""
        connection = self.connections.get(device.id)
        if device.state is DeviceState.REVOKED:
            for stream in self.registry.streams_of(device.id):
                self.table.revoke(stream.handle)
            if connection is not None:
                connection.session.revoke()
                connection.end()
            _logger.info("revoked %s", device.name)
            return
        for live in self.table.of_device(device.id):
            live.device = device.name
        if connection is not None:
            connection.device = device

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

    # --- Clocks and alarms ---

    def clock_changed(self, connection: Connection, event: ev.ClockDisagreement | None) -> None:
        """Note that the clocks of a device and of this machine disagree, or agree again."""
        device = connection.device
        if device is None:
            return
        if event is None:
            self.alarms.clear("clock", device.name)
        else:
            self.alarms.set(
                "clock",
                device.name,
                f"its clock and this machine's are at least {abs(event.apart_ns) / 1e9:.3f} s "
                "apart, more than both state as uncertain; look at the time sources of both",
            )
        self.withhold(device, is_wanted=event is not None)

    def withhold(self, device: Device, *, is_wanted: bool) -> None:
        """Do to a device's streams what the policy says while the clocks disagree, or end it."""
        action = self.config.clock.policy
        for stream in self.table.of_device(device.id):
            stream.is_withheld = is_wanted and action is ClockAction.HOLD
            if is_wanted and action is ClockAction.STOP:
                self.table.erase_all(stream)

    def is_stopped(self, device: Device) -> bool:
        """Tell whether a device may open no stream because of its clock."""
        connection = self.connections.get(device.id)
        return (
            self.config.clock.policy is ClockAction.STOP
            and connection is not None
            and connection.session.clock_disagrees
        )

    def device_alarm(self, connection: Connection, event: ev.AlarmRaised) -> None:
        """Show what a device raises."""
        if connection.device is None:
            return
        name = connection.device.name
        if event.reason == "clock_agrees":
            self.alarms.clear("clock_of_device", name)
        elif event.reason == "clock":
            self.alarms.set("clock_of_device", name, f"the device says: {event.detail}")
        else:
            self.alarms.set("device", name, f"{event.reason}: {event.detail}")


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except LinkError as error:
        _logger.debug("%s", error)

"""Conversation: what a connection brings, and what the gateway decides about it."""

import asyncio
import logging
import os
from collections.abc import Sequence
from itertools import groupby

from tickseal.core.constants import SALT_BYTES
from tickseal.core.errors import LinkError, LocalProtocolError, StoreError, TicksealError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.links.base import StreamLink
from tickseal.links.sockets import site
from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.negotiation import NegotiationError, Wish, clamp
from tickseal.streams.opening import Buffer
from tickseal.streams.receiving import SegmentReceiver
from tickseal_gateway.controller.admission import Admitted
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.controller.controller import Controller
from tickseal_gateway.ingest.streams import Held
from tickseal_gateway.registry.registered import (
    Device,
    DeviceState,
    Invite,
    OpeningRefusedError,
    Stream,
)

_logger = logging.getLogger(__name__)
_REFUSED = {
    "unknown": "it is not enrolled here (any more); enrol it with a new invite",
    "revoked": "it was revoked; enrol it with a new invite to let it in again",
    "expired": "its invite has expired; make it another",
    "used": "its invite was used already; make it another",
    "incompatible": "classical and hybrid handshakes are not alike; enrol it with a new invite",
    "busy": "there are as many devices as [policy] devices allows",
}


async def serve(controller: Controller, link: StreamLink) -> None:
    """Serve one connection, from its first byte to its end: a handler of a server's links."""
    await _Conversation(controller, link).run()


class _Conversation:
    def __init__(self, controller: Controller, link: StreamLink) -> None:
        self._controller = controller
        self._link = link
        self._session = ControllerSession(
            private_key=controller.identity.private,
            public_key=controller.identity.public,
            name=controller.config.gateway.name,
            udp_port=controller.udp_port,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )
        self._connection = Connection(self._session, link)
        self._compact: SegmentReceiver = controller.table.open_compact_lane()
        self._admitted: Admitted | None = None
        self._static_public = b""
        self._invite: Invite | None = None
        self._name = ""
        self._backfilled: dict[tuple[int, int], Held] = {}

    async def run(self) -> None:
        """Serve the connection until it ends."""
        self._admitted = self._controller.admission.enter(site(self._link.peer), self._link.abort)
        try:
            await self._converse()
        except LinkError as error:
            _logger.debug("%s: %s", self._connection.address, error)
        except StoreError as error:
            _logger.error("%s: the session ends: %s", self._connection.named, error)  # noqa: TRY400 - told
        finally:
            self._leave_admission()
            self._controller.promised.discard(self._name)
            self._session.close()
            self._controller.table.close_compact_lane(self._compact)
            self._controller.leave(self._connection)

    async def _converse(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._session.is_closed:
            deadline = self._session.next_deadline_ns() or 0
            wait_s = max(0.0, (deadline - boottime_ns()) / 1e9)
            try:
                async with asyncio.timeout_at(loop.time() + wait_s):
                    data = await self._link.receive()
            except TimeoutError:
                found = self._session.on_deadline(self._controller.clock.now(), boottime_ns())
            else:
                self._connection.heard_ns = heard_ns = boottime_ns()
                found = self._session.receive(data, self._controller.clock.now(), heard_ns)
            # What asks for streams at once waits for the disk once.
            for is_open, events in groupby(found, lambda one: isinstance(one, ev.OpenRequested)):
                if is_open:
                    await self._open([one for one in events if isinstance(one, ev.OpenRequested)])
                    continue
                for event in events:
                    await self._handle(event)
            self._connection.flush()

    # --- Events ---

    async def _handle(self, event: ev.Event) -> None:  # noqa: PLR0912 - a table
        connection = self._connection
        match event:
            case ev.SegmentsReceived():
                await self._take(event)
            case ev.HandshakeRequested():
                self._decide(event)
            case ev.SessionStarted():
                await self._start(event)
            case ev.DeviceStored():
                if connection.device is not None:
                    connection.device = await self._controller.confirm(connection.device)
            case ev.StreamClosed():
                if connection.device is not None:
                    self._controller.retire(connection.device, event.handle, event.generation)
            case ev.OfflineGenerationOffered():
                await self._take_offer(event)
            case ev.BackfillAnnounced():
                self._announce(event)
            case ev.BackfillFinished():
                await self._finish_backfill(event)
            case ev.ClockDisagreement() | ev.ClockAgreement() | ev.AlarmRaised():
                self._note_clock(event)
            case ev.SubscribeRequested():
                self._controller.sinks.subscribe(connection, event.streams)
            case ev.RecallRequested():
                self._controller.spawn(self._controller.recalls.answer(connection, event))
            case ev.SessionClosed():
                self._note_end(event)

    def _note_clock(self, event: ev.ClockDisagreement | ev.ClockAgreement | ev.AlarmRaised) -> None:
        clocks, device = self._controller.clocks, self._connection.device
        if device is None:
            return
        match event:
            case ev.ClockDisagreement():
                clocks.disagrees(device, event)
            case ev.ClockAgreement():
                clocks.agrees(device)
            case ev.AlarmRaised():
                clocks.device_says(device, event)

    def _decide(self, request: ev.HandshakeRequested) -> None:
        decision = self._controller.judge(request)
        if isinstance(decision, str):
            self._controller.refused_handshakes[decision] += 1
            # By address and not by key: of keys a stranger has as many as he likes.
            self._controller.once.change(
                f"refused {self._connection.address} {decision}", decision, logging.WARNING,
                "refused a device at %s: %s",
                self._connection.address, _REFUSED.get(decision, decision),
            )  # fmt: skip
            self._session.refuse(decision)
            return
        self._static_public = request.static_public
        self._connection.hybrid = request.hybrid
        self._session.expect_role(decision.role)
        if isinstance(decision, Invite):
            self._invite = decision
            self._name = self._controller.name_for(decision, request.static_public)
            self._controller.promised.add(self._name)
            self._session.accept(decision.secret, enrolling=self._name)
        else:
            self._session.accept(decision.psk)

    async def _start(self, event: ev.SessionStarted) -> None:
        controller, connection = self._controller, self._connection
        connection.hello = event.hello
        connection.started_ns = boottime_ns()
        self._leave_admission(has_session=True)
        invite, psk, key, name = self._invite, event.device_psk, self._static_public, self._name
        if psk is not None and invite is not None:
            try:
                device = await controller.durably(
                    lambda: controller.registry.enrol(invite, key, psk, name)
                )
            except TicksealError as error:
                # What waits to be sent says "enrolled": it must not go out.
                _logger.error("could not enrol %s: %s", connection.address, error)  # noqa: TRY400 - told
                self._session.close()
                self._link.abort()
                return
            _logger.info(
                "enrolled %s at %s (%s)", device.name, connection.address, connection.handshake
            )
        else:
            known = controller.registry.device_of_key(self._static_public)
            if known is None or known.state is DeviceState.REVOKED:
                self._session.revoke()
                return
            device = known
            if device.state is DeviceState.ENROLLING:
                device = await controller.confirm(device)
            if device.state is DeviceState.REVOKED:  # meanwhile
                self._session.revoke()
                return
        if not self._session.is_closed:
            connection.device = device
            controller.join(connection)

    async def _open(self, requests: Sequence[ev.OpenRequested]) -> None:
        try:
            device = self._require_device()
            claims = await self._controller.claim_streams(device, [r.metadata for r in requests])
        except TicksealError as error:
            for request in requests:
                self._refuse(request.metadata.id, error)
            return
        for request, claim in zip(requests, claims, strict=True):
            if self._session.is_closed:
                return
            if isinstance(claim, Stream):
                self._grant(device, claim, request.wish)
            else:
                self._refuse(request.metadata.id, claim)

    def _grant(self, device: Device, stream: Stream, wish: Wish) -> None:
        controller, session = self._controller, self._session
        was_held = controller.table.get(stream.handle) is not None
        try:
            parameters = clamp(
                wish,
                controller.negotiation,
                now=controller.clock.now(),
                generation=controller.pick_generation(stream, wish),
            )
        except TicksealError as error:
            self._refuse(stream.id, error)
            return
        generation = session.grant_stream(
            stream.id, parameters, handle=stream.handle, salt=os.urandom(SALT_BYTES)
        )
        try:
            controller.table.install(
                stream, device, generation, monotonic_ns=boottime_ns(), compact=self._compact
            )
        except LocalProtocolError as error:
            # Both sides have used the exporter: only a new session can go on from here.
            _logger.warning("%s: %s: %s", self._connection.named, stream.id, error)
            session.close("busy")
            return
        if session.clock_disagrees:
            controller.clocks.withhold(device)
        _logger.log(
            logging.DEBUG if was_held else logging.INFO,
            "%s opened %s (%s, a tick of %g ms)",
            device.name, stream.id, parameters.suite.name, parameters.interval_ns / 1e6,
        )  # fmt: skip

    def _refuse(self, stream_id: str, error: TicksealError) -> None:
        reason = "store"
        if isinstance(error, NegotiationError | OpeningRefusedError):
            reason = error.reason
        if self._may_log:
            self._controller.once.change(
                f"stream {stream_id}", reason, logging.WARNING,
                "refused the stream %r: %s", stream_id, error,
            )  # fmt: skip
        if not self._session.is_closed:
            detail = str(error).encode()[:200].decode(errors="ignore")
            self._session.refuse_stream(stream_id, reason, detail)

    async def _take(self, event: ev.SegmentsReceived) -> None:
        ingest = self._controller.ingest
        segments: list[Buffer] = list(event.segments)
        if not self._backfilled:
            ingest.take(segments, compact=self._compact)
            return
        batch = await ingest.backfill(segments, self._backfilled.values(), compact=self._compact)
        if not ingest.stores:
            await self._controller.stored(batch.marks)

    async def _take_offer(self, event: ev.OfflineGenerationOffered) -> None:
        device, session, number = self._connection.device, self._session, event.generation.number
        if device is None:
            return
        try:
            stored_until = await self._controller.backfill.take_offer(device, event, self._compact)
        except OpeningRefusedError as refusal:
            if not session.is_closed:
                session.answer_offer(event.handle, number, accepted=False, reason=refusal.reason)
            return
        except StoreError as error:
            # A refusal would be final: the device offers again in its next session.
            _logger.error("%s: %s", self._connection.named, error)  # noqa: TRY400 - told
            session.close("busy")
            return
        if session.is_closed:
            return
        session.answer_offer(event.handle, number, accepted=True)
        if stored_until:
            session.send_stored_until(event.handle, number, stored_until)

    def _announce(self, event: ev.BackfillAnnounced) -> None:
        key, device = (event.handle, event.generation), self._connection.device
        if device is None:
            return
        try:
            held, stored_until = self._controller.backfill.announce(device, event)
        except OpeningRefusedError as refusal:
            self._session.alarm(refusal.reason, str(refusal)[:200])
            if self._may_log:
                _logger.warning("%s: %s", self._connection.named, refusal)
            return
        if held is not None:
            self._backfilled[key] = held
        if stored_until > event.frames[0]:
            self._session.send_stored_until(*key, stored_until)

    async def _finish_backfill(self, event: ev.BackfillFinished) -> None:
        device = self._connection.device
        if device is not None:
            self._backfilled.pop((event.handle, event.generation), None)
            await self._controller.backfill.finish(device, event)

    # --- Private ---

    @property
    def _may_log(self) -> bool:
        device = self._connection.device
        return device is None or self._controller.lines.take(device.id)

    def _require_device(self) -> Device:
        device = self._connection.device
        if device is None:
            raise OpeningRefusedError("role", "this session has no device")
        current = self._controller.registry.device(device.id)
        if current is None or current.state is DeviceState.REVOKED:
            raise OpeningRefusedError("revoked", "this device is revoked")
        self._connection.device = current
        if current.state is not DeviceState.APPROVED:
            raise OpeningRefusedError("pending", "the device waits to be approved at the gateway")
        if self._controller.clocks.stops and self._session.clock_disagrees:
            raise OpeningRefusedError("clock", "the clocks of device and gateway disagree")
        return current

    def _leave_admission(self, *, has_session: bool = False) -> None:
        if self._admitted is not None:
            self._controller.admission.leave(self._admitted, has_session=has_session)
            self._admitted = None

    def _note_end(self, event: ev.SessionClosed) -> None:
        device = self._connection.device
        if device is not None and event.reason is ev.CloseReason.SILENT:
            self._controller.table.cut_off(device.id)
        _logger.log(
            logging.INFO if device else logging.DEBUG,
            "%s: the session ended: %s %s",
            self._connection.named, event.reason, event.detail,
        )  # fmt: skip

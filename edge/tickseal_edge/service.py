"""The service: producers, streams, the connection to the gateway, and what happens without it."""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter

from tickseal import events as ev
from tickseal.clock import ClockPolicy, ClockVerdict, GatewayTimeFilter
from tickseal.core.errors import ClockError, ExhaustedError, LinkError, TicksealError
from tickseal.host.gateway_clock import GatewayAssistedClock
from tickseal.host.kernel_clock import KernelClock, boottime_ns
from tickseal.host.logs import Once
from tickseal.host.state import StateDirectory
from tickseal.links.backoff import Backoff
from tickseal.negotiation import AcceptancePolicy
from tickseal_edge.backfill import Backfill
from tickseal_edge.config import AnyStream, EdgeConfig
from tickseal_edge.connection import Connection
from tickseal_edge.identity import Identity
from tickseal_edge.memory import StreamMemory, begin_offline
from tickseal_edge.producers import describe, open_producer
from tickseal_edge.spool import Spool
from tickseal_edge.streams import OutgoingStream, SealedFrame

_logger = logging.getLogger("tickseal.edge")
_RETRY_STREAM_S = 30.0


class EdgeService:
    """Runs one device until it is cancelled.

    Args:
        config: what to stream.
        state: the state directory, owned by this process.
    Attributes:
        counters: frames that were not sent, by reason.
    """

    def __init__(self, config: EdgeConfig, state: StateDirectory) -> None:
        self._config = config
        self._identity = Identity.load(state)
        self._memory = StreamMemory(state)
        self._own_clock = KernelClock()
        self._gateway_time = GatewayTimeFilter()
        self._clock = GatewayAssistedClock(self._own_clock, self._gateway_time)
        self._clock_policy = ClockPolicy(
            action=config.clock.action, widest_ns=config.clock.widest_ns
        )
        self._spool = Spool(config.spool.most_bytes)
        self._streams: dict[str, OutgoingStream] = {}
        for stream in config.streams:
            self._streams[stream.id] = OutgoingStream(*describe(stream))
        self._config_of = {stream.id: stream for stream in config.streams}
        self._connection: Connection | None = None
        self._backfill: Backfill | None = None
        self._is_up = False
        self._once = Once(_logger)
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Stream until cancelled; then say goodbye."""
        _logger.info(
            "device %s with %d stream(s); gateway at %s",
            self._identity.device,
            len(self._streams),
            ", ".join(self._identity.addresses),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stay_connected())
                for stream in self._config.streams:
                    tasks.create_task(self._produce(stream))
        finally:
            for outgoing in self._streams.values():
                outgoing.stop()

    # --- Producing ---

    async def _produce(self, stream: AnyStream) -> None:
        """Read one device at its rate for ever; a device that is gone is opened again."""
        backoff = Backoff(most_ns=30_000_000_000)
        while True:
            try:
                producer = await asyncio.to_thread(open_producer, stream)
            except TicksealError as error:
                self._once.change(stream.id, "gone", logging.WARNING, "%s: %s", stream.id, error)
                await asyncio.sleep(backoff.next_ns() / 1e9)
                continue
            try:
                due = time.monotonic()
                while True:
                    payload = await asyncio.to_thread(producer.produce, time.time_ns())
                    self._once.change(
                        stream.id, "there", logging.INFO, "%s: the device answers", stream.id
                    )
                    backoff.reset()
                    await self._emit(stream, payload)
                    # A late frame does not make the next ones hurry.
                    due = max(due + 1 / stream.rate_hz, time.monotonic() - 1 / stream.rate_hz)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
            except TicksealError as error:
                self._once.change(stream.id, "gone", logging.WARNING, "%s: %s", stream.id, error)
                await asyncio.sleep(backoff.next_ns() / 1e9)
            finally:
                producer.close()

    async def _emit(self, stream: AnyStream, payload: bytes) -> None:
        outgoing = self._streams[stream.id]
        now, monotonic_ns = self._clock.now(), boottime_ns()
        disagrees = self._session_disagrees()
        verdict = self._clock_policy.judge(now, disagrees=disagrees)
        if verdict in (ClockVerdict.HOLD, ClockVerdict.STOP):
            self.counters["clock"] += 1
            if verdict is ClockVerdict.STOP:
                outgoing.stop()
            return
        try:
            frame = outgoing.seal(payload, now, monotonic_ns, holdover=verdict is ClockVerdict.FLAG)
        except (ClockError, ExhaustedError) as error:
            self._once.change(
                f"{stream.id} seal", type(error), logging.WARNING, "%s: %s", stream.id, error
            )
            self.counters["clock" if isinstance(error, ClockError) else "exhausted"] += 1
            self._renew(outgoing)
            return
        if frame is None:
            self.counters["no_generation"] += 1
            return
        await self._send(stream, outgoing, frame)
        summary = outgoing.summary_if_due(monotonic_ns)
        if summary:
            await self._send(stream, outgoing, summary)
        if outgoing.is_ending():
            self._renew(outgoing)

    async def _send(self, stream: AnyStream, outgoing: OutgoingStream, frame: SealedFrame) -> None:
        if outgoing.is_offline:
            self._spool.append(frame)
            return
        connection = self._connection
        if connection is None or not self._is_up:
            self.counters["not_connected"] += 1
            return
        if stream.link == "udp" and await connection.send_datagrams(frame.segments):
            return
        session = connection.session
        if session.is_closed:
            self.counters["not_connected"] += 1
        elif session.send_segments(frame.segments) < len(frame.segments):
            self.counters["link_full"] += 1
        connection.flush()

    def _session_disagrees(self) -> bool:
        connection = self._connection
        return self._is_up and connection is not None and connection.session.clock_disagrees

    # --- The gateway ---

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        self._go_offline()
        while True:
            for address in self._identity.addresses:
                connection = Connection(
                    credentials=self._identity.credentials(),
                    name=self._identity.device,
                    policy=AcceptancePolicy(),
                    clock=self._own_clock,
                    on_event=self._on_event,
                )
                self._connection = connection
                try:
                    closed = await connection.run(address)
                except LinkError as error:
                    self._once.change("link", "down", logging.WARNING, "%s", error)
                else:
                    if closed:
                        self._once.change(
                            "link",
                            closed.reason,
                            logging.WARNING,
                            "the session with %s ended: %s (%s)",
                            address,
                            closed.reason.value,
                            closed.detail,
                        )
                finally:
                    if self._is_up:
                        backoff.reset()
                    self._is_up = False
                    self._connection = None
                    self._backfill = None
                self._go_offline()
            await asyncio.sleep(backoff.next_ns() / 1e9)

    def _go_offline(self) -> None:
        """Begin an offline generation for each stream that is to be kept; stop the others."""
        for stream_id, outgoing in self._streams.items():
            if outgoing.is_offline and outgoing.generation:
                continue
            remembered = self._memory.get(stream_id)
            if not self._config_of[stream_id].keep or remembered is None:
                outgoing.stop()
                continue
            generation, blob = begin_offline(
                outgoing.metadata,
                remembered,
                self._identity,
                now=self._clock.now(),
                held=self._spool.numbers(),
                random_bytes=os.urandom,
            )
            self._spool.begin(generation, blob)
            # The final summary of the live generation before cannot be sent any more.
            outgoing.start(generation, offline=True)

    def _on_event(self, event: ev.Event) -> None:
        match event:
            case ev.Welcomed():
                self._on_welcomed(event)
            case ev.GenerationStarted():
                self._on_generation(event)
            case ev.ResyncRequested() | ev.RekeyRequested():
                _logger.info("%s: the gateway asks for a new generation", event.stream_id)
                self._renew(self._streams[event.stream_id])
            case ev.StreamRefused():
                _logger.error(
                    "%s: the gateway refused the stream: %s (%s)",
                    event.stream_id,
                    event.reason,
                    event.detail,
                )
                self._streams[event.stream_id].stop()
                asyncio.get_running_loop().call_later(
                    _RETRY_STREAM_S, self._renew, self._streams[event.stream_id]
                )
            case ev.OfferAnswered() | ev.StoredUntil():
                if self._backfill:
                    self._backfill.on_event(event)
            case ev.GatewayTime():
                self._gateway_time.add(
                    sent_monotonic_ns=event.sent_monotonic_ns,
                    received_monotonic_ns=event.received_monotonic_ns,
                    peer_earliest_ns=event.peer.earliest_ns,
                    peer_latest_ns=event.peer.latest_ns,
                )
            case ev.ClockDisagreement():
                _logger.error(
                    "the gateway's clock and this one disagree by %.3f s beyond both uncertainties",
                    abs(event.apart_ns) / 1e9,
                )
            case ev.ClockAgreement():
                _logger.info("the gateway's clock and this one agree again")
            case ev.HandshakeRefused():
                self._once.change(
                    "refused",
                    event.reason,
                    logging.ERROR,
                    "the gateway refused this device: %s",
                    _REFUSALS.get(event.reason, event.reason),
                )
            case ev.Revoked():
                _logger.error("the gateway revoked this device; enrol it again to stream")
            case _:
                pass

    def _on_welcomed(self, event: ev.Welcomed) -> None:
        connection = self._connection
        if connection is None:
            return
        self._is_up = True
        self._once.change("link", "up", logging.INFO, "connected to %s", event.gateway)
        self._backfill = Backfill(connection, self._spool)
        for outgoing in self._streams.values():
            # Offers go first, so that the gateway picks numbers that differ from theirs.
            if outgoing.is_offline and outgoing.generation:
                self._backfill.offer(outgoing.generation.number)
        self._backfill.offer_waiting()
        for outgoing in self._streams.values():
            self._renew(outgoing)

    def _on_generation(self, event: ev.GenerationStarted) -> None:
        outgoing = self._streams[event.stream_id]
        before = outgoing.generation
        was_offline = outgoing.is_offline
        final = outgoing.start(event.generation)
        self._memory.remember(event.generation)
        _logger.info("%s: generation %016x", event.stream_id, event.generation.number)
        if final is None or before is None:
            if was_offline and before:
                self._end_offline(before.number, None)
            return
        if was_offline:
            self._end_offline(before.number, final)
        elif self._connection:
            self._connection.session.send_segments(final.segments)

    def _end_offline(self, number: int, final: SealedFrame | None) -> None:
        if final:
            self._spool.append(final)
        self._spool.complete(number)
        if self._backfill:
            self._backfill.pump()

    def _renew(self, outgoing: OutgoingStream) -> None:
        connection = self._connection
        if connection is None or not self._is_up or connection.session.is_closed:
            return
        with contextlib.suppress(TicksealError):
            connection.session.open_stream(outgoing.metadata, outgoing.wish)
        connection.flush()


_REFUSALS = {
    "unknown": "it is not enrolled there (any more); enrol it again with a new invite",
    "revoked": "it was revoked; enrol it again with a new invite",
    "incompatible": "it may not use this handshake; enrol it again with a new invite",
    "busy": "the gateway is busy; this device tries again",
}

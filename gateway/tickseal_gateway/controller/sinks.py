"""Separate sinks: who is granted what now, and the sealed segments sent on (protocol section 9)."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from tickseal.clock import Clock, ClockInterval
from tickseal.core.errors import LocalProtocolError
from tickseal.sessions.control import Role
from tickseal.streams.opening import Buffer, OpenedSegment
from tickseal.streams.parameters import Profile
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.controller.reader import Granted, Key, Reader, span_from
from tickseal_gateway.ingest.streams import Held, LiveStream
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device, DeviceState
from tickseal_gateway.registry.registry import Registry

_logger = logging.getLogger(__name__)
#: A source that does not begin the generation that it was asked for is asked again after so long.
_ASK_AGAIN_S = 5
#: Seconds between two looks at everything, beside those at what changes.
_LOOK_EVERY_S = 5
#: Why a sink gets no grant, by the word that it is told.
_REASONS = {
    "pending": "the sink waits to be approved at the gateway",
    "policy": "not allowed; on the gateway: tickseal gateway allow SINK STREAM",
    "depth": "a stream of depth 0 has one key for all, and cannot be granted",
    "suite": "the stream's suite is not one that this sink has",
}


class SinkHub:
    """An Observer that grants spans of streams to sinks, and sends on what was opened here.

    Args:
        span_ns: how far ahead a sink holds keys.
        rekey: asks a stream's source for a new generation.
    """

    def __init__(
        self,
        registry: Registry,
        table: StreamTable,
        clock: Clock,
        *,
        span_ns: int,
        rekey: Callable[[LiveStream], None],
    ) -> None:
        self._registry = registry
        self._table = table
        self._clock = clock
        self._span_ns = span_ns
        self._rekey = rekey
        self._by_sink: dict[int, Reader] = {}
        self._by_key: dict[Key, list[Reader]] = {}
        # What each sink may hold keys of, connected or not: by generation, until which tick.
        self._outstanding: dict[int, dict[Key, int]] = {}
        # Generations that a sink can open though it may not any more: seconds since it was asked.
        self._to_renew: dict[Key, int] = {}
        self._is_flush_due = False
        self._seconds = 0
        self.takes_segments = False
        table.watch(self)

    # --- What sinks and people want ---

    def subscribe(self, connection: Connection, streams: Sequence[str]) -> None:
        """Let a connected sink read these streams, or all that it may, from now on."""
        device = connection.device
        if device is None:
            return
        reader = self._by_sink.get(device.id)
        if reader is None or reader.connection is not connection:
            if reader is not None:
                self._drop(reader)
            reader = self._by_sink[device.id] = Reader(connection, device.id)
        reader.streams = frozenset(streams)
        for stream_id in streams:
            reason = self._refusal(reader, stream_id)
            if reason:
                connection.session.refuse_subscription(stream_id, reason, _REASONS[reason])
        self.refresh(device)

    def refresh(self, device: Device) -> None:
        """Follow what a sink may read now: withdraw, grant."""
        if device.role is not Role.SINK:
            return
        for key in list(self._outstanding.get(device.id, ())):
            stream = self._table.get(key[0])
            if stream is not None and not self._allowed_until_ns(device.id, stream.id):
                self._withdraw(device.id, key)
        reader = self._by_sink.get(device.id)
        if reader is not None:
            self._look(reader, self._clock.now())
            reader.flush()

    def stop(self, device: Device) -> None:
        """Take everything from a sink that was revoked; its streams begin new generations."""
        for key in list(self._outstanding.get(device.id, ())):
            self._withdraw(device.id, key)
        reader = self._by_sink.pop(device.id, None)
        if reader is not None:
            self._drop(reader)

    def leave(self, connection: Connection) -> None:
        """Forget a session that has ended; what its sink was granted is remembered."""
        reader = self._by_sink.get(connection.device.id) if connection.device else None
        if reader is not None and reader.connection is connection:
            del self._by_sink[reader.sink_id]
            self._drop(reader)

    def reads(self, device: Device) -> list[str]:
        """Return the ids of the streams that a sink is granted now."""
        reader = self._by_sink.get(device.id)
        found = (self._table.get(handle) for handle, _ in reader.granted) if reader else ()
        return sorted({stream.id for stream in found if stream is not None})

    def tick(self, now: ClockInterval) -> None:
        """Renew grants, and ask again for generations that did not come. Call once a second."""
        self._seconds += 1
        self._forget_outstanding(now)
        for reader in list(self._by_sink.values()):
            if self._seconds % _LOOK_EVERY_S == 0:
                self._look(reader, now)
            else:
                self._renew(reader, now)
            reader.flush()
        for key, seconds in list(self._to_renew.items()):
            stream = self._table.get(key[0])
            self._to_renew[key] = seconds + 1
            if stream is None or not _is_current(stream, key):
                del self._to_renew[key]
            elif (seconds + 1) % _ASK_AGAIN_S == 0:
                self._rekey(stream)

    # --- Observer ---

    def installed(self, stream: LiveStream, held: Held) -> None:
        """Grant a new generation to all who read its stream."""
        now = self._clock.now()
        for reader in list(self._by_sink.values()):
            if self._grant(reader, stream, held, now):
                self._flush_soon()

    def opened(self, stream: LiveStream, held: Held, segment: Buffer, what: OpenedSegment) -> None:
        """Queue a segment for all who are granted its generation."""
        key = _key(held)
        readers = self._by_key.get(key)
        if not readers or stream.is_withheld or held.is_backfilled:
            return
        sealed = bytes(segment)
        for reader in readers:
            if reader.queue(key, sealed, what.tick):
                self._flush_soon()

    def erased(self, stream: LiveStream, held: Held) -> None:
        """Tell all who are granted a generation that it is over."""
        key = _key(held)
        source = self._registry.device(stream.device_id)
        is_revoked = source is not None and source.state is DeviceState.REVOKED
        for reader in list(self._by_key.get(key, ())):
            self._end(reader, key, "revoked" if is_revoked else "ended")
        for keys in self._outstanding.values():
            keys.pop(key, None)
        self._to_renew.pop(key, None)

    # --- Private: grants ---

    def _look(self, reader: Reader, now: ClockInterval) -> None:
        """Bring what a sink is granted up to date with everything."""
        for stream in self._table:
            is_wanted = reader.wants(stream)
            may_read = is_wanted and self._allowed_until_ns(reader.sink_id, stream.id)
            for held in list(stream.held.values()):
                if may_read:
                    self._grant(reader, stream, held, now)
                else:
                    self._end(reader, _key(held), "policy" if is_wanted else "unsubscribed")

    def _renew(self, reader: Reader, now: ClockInterval) -> None:
        for key, granted in list(reader.granted.items()):
            stream, held = self._table.get(key[0]), self._table.find(*key)
            if now.latest_ns >= granted.renew_at_ns and stream is not None and held is not None:
                self._grant(reader, stream, held, now)

    def _grant(self, reader: Reader, stream: LiveStream, held: Held, now: ClockInterval) -> bool:
        """Grant what a sink may read of a generation for the span from now on, if that is due."""
        key = _key(held)
        granted = reader.granted.get(key)
        if held.is_backfilled:
            self._end(reader, key, "backfill")
            return False
        if (
            (granted is not None and now.latest_ns < granted.renew_at_ns)
            or held.received.ends_at_ns is not None
            or not reader.is_ready
            or not reader.connection.is_writable  # a sink that does not read gets no more of them
            or not reader.wants(stream)
            or reader.cannot_have(held)
        ):
            return False
        left_ns = self._allowed_until_ns(reader.sink_id, stream.id) - time.time_ns()
        span = span_from(held, now, min(self._span_ns, left_ns))
        if span is None or (granted is not None and span[1] <= granted.until_tick):
            return False
        try:
            reader.connection.session.grant_span(
                held.generation,
                device=stream.device,
                from_tick=span[0],
                until_tick=span[1],
                frame_from=held.received.opener.highest_frame + 1,
            )
        except LocalProtocolError as error:
            _logger.debug("no grant of %s: %s", stream.id, error)
            return False
        renew_at_ns = now.latest_ns + min(self._span_ns, left_ns) // 2
        is_compact = held.generation.parameters.profile is Profile.COMPACT
        told = stream.handle if is_compact else None
        reader.granted[key] = Granted(span[1], renew_at_ns, told)
        self._outstanding.setdefault(reader.sink_id, {})[key] = span[1]
        if granted is None:
            self._by_key.setdefault(key, []).append(reader)
            self._update_taps()
        return True

    def _withdraw(self, sink_id: int, key: Key) -> None:
        """Take a generation from a sink that may not read it, and have a new one begun."""
        self._outstanding.get(sink_id, {}).pop(key, None)
        reader = self._by_sink.get(sink_id)
        if reader is not None:
            self._end(reader, key, "policy")
        stream = self._table.get(key[0])
        if stream is not None and _is_current(stream, key) and key not in self._to_renew:
            self._to_renew[key] = 0
            self._rekey(stream)

    def _end(self, reader: Reader, key: Key, reason: str) -> None:
        """Send a sink nothing more of a generation, and say why; one not granted is fine."""
        if not reader.forget(key):
            return
        self._unlist(reader, key)
        if reader.is_ready:
            reader.connection.session.withdraw(*key, reason)
            self._flush_soon()

    def _drop(self, reader: Reader) -> None:
        for key in reader.granted:
            self._unlist(reader, key)

    def _unlist(self, reader: Reader, key: Key) -> None:
        readers = self._by_key.get(key, [])
        if reader in readers:
            readers.remove(reader)
        if not readers:
            self._by_key.pop(key, None)
        self._update_taps()

    def _forget_outstanding(self, now: ClockInterval) -> None:
        """Forget what sinks were granted once its last tick is over."""
        for keys in self._outstanding.values():
            for key, until_tick in list(keys.items()):
                held = self._table.find(*key)
                parameters = held.generation.parameters if held else None
                if parameters is None or now.earliest_ns > (
                    parameters.t0_ns + until_tick * parameters.interval_ns
                ):
                    del keys[key]

    # --- Private: policy, and sending ---

    def _refusal(self, reader: Reader, stream_id: str) -> str:
        """Return the word for why a sink gets no grant of a stream; empty where it does."""
        if not self._is_approved(reader.sink_id):
            return "pending"
        known = self._registry.stream_named(stream_id)
        if known is None or not self._allowed_until_ns(reader.sink_id, stream_id):
            return "policy"
        live = self._table.get(known.handle)
        return reader.cannot_have(live.newest) if live and live.newest else ""

    def _is_approved(self, sink_id: int) -> bool:
        device = self._registry.device(sink_id)
        return device is not None and device.state is DeviceState.APPROVED

    def _allowed_until_ns(self, sink_id: int, stream_id: str) -> int:
        """Return until when a sink may read a stream, ns since 1970 UTC; 0 where it may not."""
        if not self._is_approved(sink_id):
            return 0
        return self._registry.allowances.until(sink_id, stream_id, time.time_ns())

    def _update_taps(self) -> None:
        if bool(self._by_key) is not self.takes_segments:
            self.takes_segments = bool(self._by_key)
            self._table.update_taps()

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        for reader in list(self._by_sink.values()):
            reader.flush()


def _key(held: Held) -> Key:
    generation = held.generation
    return generation.handle, generation.number


def _is_current(stream: LiveStream, key: Key) -> bool:
    newest = stream.newest
    return newest is not None and newest.generation.number == key[1]

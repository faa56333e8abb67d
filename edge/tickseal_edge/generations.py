"""Generations: when a stream's live one begins, and when it goes on without the gateway."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tickseal.clock import ClockInterval
from tickseal.core.errors import StoreError, TicksealError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal.sessions import events as ev
from tickseal.sessions.throttle import Throttle
from tickseal_edge.spool.spool import Spool
from tickseal_edge.spool.tail import Tail
from tickseal_edge.streams.memory import StreamMemory, begin_offline
from tickseal_edge.streams.streams import OutgoingStream, SealedFrame
from tickseal_edge.uplink.connection import Connection

_logger = logging.getLogger("tickseal.edge")

#: A refused stream is asked for again after so long, s: people may have changed the policy.
_RETRY_S = 30.0


class Generations:
    """Begins and ends the generations of all streams.

    Args:
        outgoing: the streams, by id.
        keeps: tells whether a stream's frames are spooled while the gateway is away.
        send_live: hands a frame of a live generation to the link.
        suites: what is asked for where the gateway refuses what a stream wishes.
    """

    def __init__(
        self,
        *,
        outgoing: Mapping[str, OutgoingStream],
        keeps: Callable[[str], bool],
        send_live: Callable[[str, SealedFrame], None],
        identity: DeviceIdentity,
        memory: StreamMemory,
        spool: Spool,
        suites: Sequence[int],
    ) -> None:
        self._outgoing = outgoing
        self._keeps = keeps
        self._send_live = send_live
        self._identity = identity
        self._memory = memory
        self._spool = spool
        self._suites = tuple(suites)
        self._connection: Connection | None = None
        self._throttles = {stream_id: Throttle(doubles=True) for stream_id in outgoing}
        self._tails = {stream_id: Tail() for stream_id in outgoing if keeps(stream_id)}
        self._refused: dict[str, str] = {}
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._once = Once(_logger)

    def refusal(self, stream_id: str) -> str:
        """Return why the gateway refused a stream; empty where it did not."""
        return self._refused.get(stream_id, "")

    @property
    def are_settled(self) -> bool:
        """Whether each stream has a live generation, or was refused one."""
        return all(
            outgoing.is_live or stream_id in self._refused
            for stream_id, outgoing in self._outgoing.items()
        )

    # --- What the connection brings ---

    def up(self, connection: Connection) -> None:
        """Open all streams on a new connection, after the offers."""
        self._connection = connection
        for stream_id in self._outgoing:
            self._open(stream_id)

    def on_started(self, event: ev.GenerationStarted, now: ClockInterval) -> None:
        """Switch a stream to the generation that the gateway now holds."""
        outgoing = self._outgoing[event.stream_id]
        self._end(event.stream_id, now)
        outgoing.start(event.generation)
        self._refused.pop(event.stream_id, None)
        self._once.change(event.stream_id, "", logging.DEBUG, "%s: accepted", event.stream_id)
        _logger.debug("%s: generation %016x", event.stream_id, event.generation.number)
        try:
            self._memory.remember(event.generation)
        except StoreError as error:
            # It only helps to begin without the gateway some day.
            self._once.change("memory", str(error), logging.ERROR, "%s", error)

    def on_refused(self, event: ev.StreamRefused) -> None:
        """Ask again later; what a stream has goes on meanwhile."""
        stream_id = event.stream_id
        outgoing = self._outgoing[stream_id]
        if event.reason == "suite" and outgoing.wish.suites != self._suites:
            outgoing.wish = replace(outgoing.wish, suites=self._suites)
            self._open(stream_id)
            return
        reason = f"{event.reason} ({event.detail})" if event.detail else event.reason
        self._refused[stream_id] = reason
        self._once.change(
            stream_id, reason, logging.ERROR, "%s: the gateway refused it: %s", stream_id, reason
        )
        # One timer a stream: each session that refuses it would add another, for ever.
        if waiting := self._retries.get(stream_id):
            waiting.cancel()
        loop = asyncio.get_running_loop()
        self._retries[stream_id] = loop.call_later(_RETRY_S, self._open, stream_id)

    def on_report(self, event: ev.Reported) -> None:
        """Give up what need not be sent again, and note which renewals have helped."""
        for stream_id, outgoing in self._outgoing.items():
            generation = outgoing.generation
            for row in event.rows:
                if generation is not None and row.generation == generation.number:
                    if row.opened:
                        self._throttles[stream_id].helped()
                    if tail := self._tails.get(stream_id):
                        tail.reported(row.generation, row.frame_until)

    def down(self, now: ClockInterval) -> None:
        """End all live generations: the gateway is gone. What it may have missed is kept."""
        self._connection = None
        for stream_id, outgoing in self._outgoing.items():
            generation = outgoing.generation
            if generation is None or not outgoing.is_live:
                continue
            final = outgoing.summary(now, boottime_ns(), is_final=True)
            outgoing.stop()
            tail = self._tails.get(stream_id)
            frames = tail.take() if tail else []
            # The last summary of a stream that is not kept, too: it tells how much was lost.
            self._spool.keep_end(generation, [*frames, final] if final else frames)

    # --- What the streams need ---

    def sent(self, stream_id: str, frame: SealedFrame, monotonic_ns: int) -> None:
        """Note a frame of a live generation that was handed to the link."""
        if tail := self._tails.get(stream_id):
            tail.add(frame, monotonic_ns)

    def renew(self, stream_id: str, why: str, now: ClockInterval) -> None:
        """Begin the next generation, with the gateway if it is there; not too often."""
        if not self._throttles[stream_id].allow(boottime_ns()):
            return
        _logger.info("%s: a new generation begins: %s", stream_id, why)
        if self._outgoing[stream_id].is_offline:
            self._end(stream_id, now)
            self.begin_offline(stream_id, now)
        else:
            self._open(stream_id)

    def rekey(self, stream_id: str) -> None:
        """Open a stream again, since the gateway's people or policy want new keys."""
        _logger.info("%s: the gateway asks for new keys", stream_id)
        self._open(stream_id)

    def begin_offline(self, stream_id: str, now: ClockInterval) -> bool:
        """Begin a generation without the gateway; return whether the stream may have one."""
        outgoing = self._outgoing[stream_id]
        remembered = self._memory.get(stream_id)
        if remembered is None or not self._keeps(stream_id):
            return False
        try:
            generation, blob = begin_offline(
                outgoing.metadata,
                remembered,
                self._identity,
                now=now,
                held=self._spool.numbers(remembered.handle),
                random_bytes=os.urandom,
            )
        except TicksealError as error:
            self._once.change(f"{stream_id} begin", str(error), logging.ERROR, "%s", error)
            return False
        self._spool.begin(generation, blob)
        outgoing.start(generation, offline=True)
        return True

    def stop(self, stream_id: str, now: ClockInterval) -> None:
        """End a stream for good: its clock cannot be trusted, and the policy says so."""
        outgoing = self._outgoing[stream_id]
        generation = outgoing.generation
        is_live = outgoing.is_live
        self._end(stream_id, now)
        connection = self._connection
        if generation and is_live and connection and connection.is_running:
            connection.session.close_stream(generation.handle, generation.number)
            connection.flush()

    def finish(self, now: ClockInterval) -> None:
        """End all generations in order: nothing is sealed any more."""
        for stream_id in self._outgoing:
            self._end(stream_id, now)

    # --- Private ---

    def _open(self, stream_id: str) -> None:
        connection = self._connection
        if connection is None or not connection.is_running:
            return
        outgoing = self._outgoing[stream_id]
        connection.session.open_stream(outgoing.metadata, outgoing.wish)
        connection.flush()

    def _end(self, stream_id: str, now: ClockInterval) -> None:
        """Seal the final summary of a stream's generation, send or keep it, and erase the keys."""
        outgoing = self._outgoing[stream_id]
        generation = outgoing.generation
        if generation is None:
            return
        final = outgoing.summary(now, boottime_ns(), is_final=True)
        if outgoing.is_offline:
            if final:
                self._spool.append(final)
            self._spool.complete(generation.number)
        elif final:
            self._send_live(stream_id, final)
        outgoing.stop()

"""Pipeline: a payload becomes a frame, and the frame goes to the link or into the spool."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping

from tickseal.clock import Clock, ClockDiscipline, ClockInterval, ClockPolicy, ClockVerdict
from tickseal.core.errors import ClockError, ExhaustedError, LinkError, LocalProtocolError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal_edge.generations import Generations
from tickseal_edge.production.stream_config import AnyStream
from tickseal_edge.spool.spool import Spool
from tickseal_edge.streams.streams import OutgoingStream, SealedFrame
from tickseal_edge.uplink.connection import Connection
from tickseal_edge.uplink.live_queue import LiveQueue, Waiting
from tickseal_edge.uplink.ways import Ways

_logger = logging.getLogger("tickseal.edge")

#: Specification (section 5.3): how often a source says what it has sealed, s.
SUMMARY_S = 5.0


class Pipeline:
    """The only part that knows the order: clock, generation, seal, then link or spool.

    Args:
        clock: by which ticks are given.
        connection: returns the present connection, if any.
    Attributes:
        counters: frames that were not sealed or not sent, by reason.
        stopped: streams that were ended because of their clock.
        ways: what UDP is good for.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        policy: ClockPolicy,
        streams: Mapping[str, AnyStream],
        outgoing: Mapping[str, OutgoingStream],
        spool: Spool,
        connection: Callable[[], Connection | None],
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._streams = streams
        self._outgoing = outgoing
        self._spool = spool
        self._connection = connection
        self._queues = {"udp": LiveQueue(), "tcp": LiveQueue()}
        self._once = Once(_logger)
        # Streams whose clock was good enough once.
        self._trusted: set[str] = set()
        self.stopped: set[str] = set()
        self.counters: Counter[str] = Counter()
        self.ways = Ways()

    #: Set once, before anything is emitted: both need each other.
    generations: Generations

    @property
    def dropped(self) -> Counter[str]:
        """Frames that were not sealed, or not sent, by reason."""
        return self.counters + self._queues["udp"].dropped + self._queues["tcp"].dropped

    def emit(self, stream_id: str, payload: bytes, *, is_key: bool = True) -> None:
        """Seal one payload and pass the frame on; nothing is raised, all that fails is counted."""
        outgoing = self._outgoing[stream_id]
        now, monotonic_ns = self._clock.now(), boottime_ns()
        verdict = self._judge(stream_id, now)
        if verdict in (ClockVerdict.HOLD, ClockVerdict.STOP):
            self.counters["clock"] += 1
            return
        if outgoing.generation is None and not self.generations.begin_offline(stream_id, now):
            self.counters["no_generation"] += 1
            return
        if why := outgoing.outgrown(now):
            self.generations.renew(stream_id, why, now)
        try:
            frame = outgoing.seal(payload, now, monotonic_ns, holdover=verdict is ClockVerdict.FLAG)
        except (ClockError, ExhaustedError) as error:
            self._say(stream_id, str(type(error)), error)
            self.counters["clock" if isinstance(error, ClockError) else "exhausted"] += 1
            self.generations.renew(stream_id, "the clock cannot be followed", now)
            return
        except LocalProtocolError as error:  # larger than was negotiated
            self._say(stream_id, "refused", error)
            self.counters["too_large"] += 1
            return
        if frame is not None:
            self._once.change(stream_id, "sealed", logging.DEBUG, "%s is sealed", stream_id)
            self.pass_on(stream_id, frame, is_key=is_key)

    def pass_on(self, stream_id: str, frame: SealedFrame, *, is_key: bool = True) -> None:
        """Hand a sealed frame to the link, or keep it."""
        outgoing = self._outgoing[stream_id]
        if outgoing.is_offline:
            self._spool.append(frame)
            return
        generation = outgoing.generation
        if generation is None:
            self.counters["not_connected"] += 1
            return
        stream = self._streams[stream_id]
        monotonic_ns = boottime_ns()
        # Noted first: what is sealed just when the connection goes is kept all the same.
        self.generations.sent(stream_id, frame, monotonic_ns)
        connection = self._connection()
        if connection is None:
            if not stream.keep:
                self.counters["not_connected"] += 1
            return
        is_datagram = (
            stream.link == "udp" and connection.has_udp and stream_id not in self.ways.lossy
        )
        if is_datagram:
            self.ways.sent(stream_id, frame.generation, frame.number, monotonic_ns)
        queue = self._queues["udp" if is_datagram else "tcp"]
        # At once where nothing waits: another task's turn comes later than all of this takes.
        if is_datagram and not len(queue) and connection.send_now(frame.segments):
            return
        queue.put(
            Waiting(
                stream_id=stream_id,
                frame=frame,
                is_picture=stream.is_picture,
                is_key=is_key,
                until_ns=monotonic_ns + generation.parameters.past_ns,
            )
        )

    async def summarise(self) -> None:
        """Say every 5 s what was sealed, for ever."""
        while True:
            await asyncio.sleep(SUMMARY_S)
            for stream_id, outgoing in self._outgoing.items():
                # What waits in a spool need not be told that nothing happened.
                if outgoing.is_live or outgoing.has_news:
                    frame = outgoing.summary(self._clock.now(), boottime_ns())
                    if frame is not None:
                        self.pass_on(stream_id, frame)

    async def deliver(self, way: str) -> None:
        """Send what waits for UDP or TCP, for ever."""
        queue = self._queues[way]
        while True:
            waiting = await queue.take()
            connection = self._connection()
            if connection is None or not connection.is_running:
                self.counters["not_connected"] += 1
                continue
            if boottime_ns() > waiting.until_ns:
                queue.count_late(waiting)
                continue
            segments = waiting.frame.segments
            try:
                if way == "tcp" or not await connection.send_datagrams(segments):
                    await connection.send(segments)
            except LinkError as error:
                _logger.debug("%s", error)
                self.counters["not_connected"] += 1

    async def drained(self) -> None:
        """Wait until nothing waits for the link."""
        while any(map(len, self._queues.values())):
            await asyncio.sleep(0.01)

    def down(self) -> None:
        """Give up what waits for a connection that is gone."""
        for queue in self._queues.values():
            queue.clear()
        self.ways.clear()

    def _judge(self, stream_id: str, now: ClockInterval) -> ClockVerdict:
        if stream_id in self.stopped:
            return ClockVerdict.STOP
        connection = self._connection()
        # A time that was taken from the gateway cannot disagree with it.
        disagrees = (
            connection is not None
            and connection.is_running
            and connection.session.clock_disagrees
            and now.discipline is not ClockDiscipline.GATEWAY
        )
        verdict = self._policy.judge(now, disagrees=disagrees)
        if verdict is ClockVerdict.STOP and stream_id not in self._trusted:
            verdict = ClockVerdict.HOLD  # it has not been good yet: that is no reason to give up
        if verdict is ClockVerdict.STOP:
            self.stopped.add(stream_id)
            self.generations.stop(stream_id, now)
        elif verdict is ClockVerdict.SEAL:
            self._trusted.add(stream_id)
        why = (
            "the gateway's clock disagrees"
            if disagrees
            else (f"it is known to {now.uncertainty_ns / 1e6:.1f} ms only")
        )
        self._once.change(
            f"{stream_id} clock", verdict, _LEVELS[verdict], _SAYS[verdict], stream_id, why
        )
        return verdict

    def _say(self, stream_id: str, state: str, error: Exception) -> None:
        self._once.change(stream_id, state, logging.WARNING, "%s: %s", stream_id, error)


_LEVELS = {
    ClockVerdict.SEAL: logging.DEBUG,
    ClockVerdict.FLAG: logging.INFO,
    ClockVerdict.HOLD: logging.WARNING,
    ClockVerdict.STOP: logging.ERROR,
}
_SAYS = {
    ClockVerdict.SEAL: "%s: the clock is good (%s)",
    ClockVerdict.FLAG: "%s: frames are marked, as the clock cannot be trusted: %s",
    ClockVerdict.HOLD: "%s: nothing is sealed until the clock can be trusted: %s",
    ClockVerdict.STOP: "%s: ended, as the clock cannot be trusted any more: %s; mend it, restart",
}

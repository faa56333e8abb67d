"""Reader: one separate sink that is connected: what it wants, holds keys of, and waits for."""

from dataclasses import dataclass

from tickseal.clock import ClockInterval
from tickseal.core.errors import LinkError
from tickseal.sessions.session import State
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.ingest.streams import Held, LiveStream

#: A generation, by its stream's handle and its number.
Key = tuple[int, int]


@dataclass(slots=True)
class Granted:
    """What a sink was granted of one generation.

    Attributes:
        until_tick: the first tick that it may not open.
        renew_at_ns: from when on it is granted more, ns TAI.
        told_handle: the stream's, where its segments do not tell it: their header is compact.
    """

    until_tick: int
    renew_at_ns: int
    told_handle: int | None = None


class Reader:
    """A sink that has subscribed.

    Attributes:
        connection: its session.
        sink_id: the registry's number.
        streams: ids that it wants; none for all that it may read.
        granted: by generation, in this session.
    """

    __slots__ = ("_waiting", "connection", "granted", "sink_id", "streams")

    def __init__(self, connection: Connection, sink_id: int) -> None:
        self.connection = connection
        self.sink_id = sink_id
        self.streams: frozenset[str] = frozenset()
        self.granted: dict[Key, Granted] = {}
        self._waiting: list[tuple[Key, bytes]] = []

    @property
    def is_ready(self) -> bool:
        """Whether it can be told something."""
        return self.connection.session.state is State.RUNNING

    def wants(self, stream: LiveStream) -> bool:
        """Tell whether it subscribed to a stream."""
        return not self.streams or stream.id in self.streams

    def cannot_have(self, held: Held) -> str:
        """Return the word for why it cannot be granted a generation, whatever policy says."""
        parameters, hello = held.generation.parameters, self.connection.hello
        if not parameters.depth:
            return "depth"
        if hello is not None and int(parameters.suite) not in hello.suites:
            return "suite"
        return ""

    def queue(self, key: Key, segment: bytes, tick: int) -> bool:
        """Queue a segment for the next flush; return False where its tick was not granted."""
        if tick >= self.granted[key].until_tick:
            return False
        self._waiting.append((key, segment))
        return True

    def forget(self, key: Key) -> bool:
        """Forget a generation, and what waits of it; return False where it was not granted."""
        if self.granted.pop(key, None) is None:
            return False
        self._waiting = [row for row in self._waiting if row[0] != key]
        return True

    def flush(self) -> None:
        """Send what waits; a sink that is gone is noticed by its connection."""
        waiting, self._waiting = self._waiting, []
        if not self.is_ready:
            return
        # A stream whose handle is to be told has records of its own.
        lanes: dict[int | None, list[bytes]] = {}
        for key, segment in waiting:
            lanes.setdefault(self.granted[key].told_handle, []).append(segment)
        for handle, segments in lanes.items():
            self.connection.session.forward(segments, handle)
        try:
            self.connection.flush()
        except LinkError:
            pass


def span_from(held: Held, now: ClockInterval, ahead_ns: int) -> tuple[int, int] | None:
    """Return the ticks that are taken now or within a time from now on; None for none.

    Args:
        ahead_ns: that time.
    """
    generation = held.generation
    parameters = generation.parameters
    until_ns = now.latest_ns + ahead_ns
    if ahead_ns <= 0 or until_ns < parameters.t0_ns:
        return None
    since_ns = max(parameters.t0_ns, now.earliest_ns - parameters.past_ns - parameters.skew_ns)
    held_from = generation.walker.start << parameters.epoch_bits
    start = max(held_from, parameters.tick_at(since_ns))
    end = min(parameters.tick_at(until_ns) + 1, parameters.tick_count)
    return (start, end) if start < end else None

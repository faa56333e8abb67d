"""SourceStreams: what a device asked for, what it was granted, and whether it takes it."""

import hmac
from collections import Counter
from dataclasses import replace

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.core.exporter import Exporter
from tickseal.sessions import control, events
from tickseal.sessions.events import Event
from tickseal.sessions.negotiation import AcceptancePolicy, NegotiationError, Wish
from tickseal.sessions.throttle import Throttle
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters

#: Streams of one session, open or being opened.
STREAMS_MAX = 256


class _Stream:
    """What is remembered of a stream that was opened: no secret."""

    __slots__ = ("generation", "handle", "previous", "throttle")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        #: Numbers of this generation and of the one before it; -1 for none.
        self.generation = -1
        self.previous = -1
        self.throttle = Throttle(doubles=True)


class SourceStreams:
    """The streams of one session, by id and by handle.

    Args:
        policy: what the device takes from its controller.
        counters: where requests that are not passed on are counted.
    """

    __slots__ = ("_counters", "_ids", "_opening", "_policy", "_streams")

    def __init__(self, policy: AcceptancePolicy, counters: Counter[str]) -> None:
        self._policy = policy
        self._counters = counters
        # What was asked for and not answered yet.
        self._opening: dict[str, tuple[StreamMetadata, Wish]] = {}
        self._streams: dict[str, _Stream] = {}
        self._ids: dict[int, str] = {}

    def ask(self, metadata: StreamMetadata, wish: Wish) -> control.Open | None:
        """Return the message that asks for a generation; None where one is being asked for.

        Raises:
            LocalProtocolError: there are 256 streams.
        """
        if metadata.id in self._opening:
            return None
        known = self._streams.keys() | self._opening.keys()
        if len(known) >= STREAMS_MAX and metadata.id not in known:
            raise LocalProtocolError(f"a session has at most {STREAMS_MAX} streams; close one")
        if not wish.suites:
            wish = replace(wish, suites=tuple(int(suite) for suite in self._policy.suites))
        message = control.Open(metadata=metadata.encode(), wish=wish)
        self._opening[metadata.id] = (metadata, wish)
        return message

    def opened(self, message: control.Opened, exporter: Exporter) -> Event:
        """Return GenerationStarted, or StreamRefused where what was granted is not taken.

        Raises:
            RemoteProtocolError: not asked for, contradicting itself, or with another stream's
                handle.
        """
        metadata, wish = self._answered(message.stream)
        # The controller has used its exporter too: both must move on, whatever comes of it.
        secret = exporter.initial_secret(message.stream, message.generation)
        parameters = StreamParameters.decode(message.parameters)
        stream = self._streams.get(message.stream) or _Stream(message.handle)
        if parameters.generation != message.generation:
            raise RemoteProtocolError("opened names another generation than its parameters")
        if (
            stream.handle != message.handle
            or self._ids.get(message.handle, message.stream) != message.stream
        ):
            raise RemoteProtocolError("opened with a handle that is not the stream's own")
        try:
            self._policy.check(parameters, offered=wish.suites)
        except NegotiationError as fault:
            return _refused(message, fault.reason, fault.detail)
        generation = Generation.derive(
            metadata,
            parameters,
            initial_secret=secret,
            salt=message.salt,
            handle=message.handle,
        )
        if not hmac.compare_digest(generation.confirm, message.confirm):
            generation.clear()
            return _refused(message, "confirm", "the controller derived other keys; open it again")
        stream.previous = stream.generation
        stream.generation = message.generation
        self._streams[message.stream] = stream
        self._ids[message.handle] = message.stream
        return events.GenerationStarted(generation=generation, stream_id=message.stream)

    def refused(self, message: control.Refused) -> Event:
        """Return StreamRefused, or raise RemoteProtocolError where the stream was not asked for."""
        self._answered(message.stream)
        return _refused(message, message.reason, message.detail)

    def report(self, message: control.Report) -> list[Event]:
        """Return Reported; where a new generation is being opened, opening it has helped."""
        for row in message.streams:
            stream = self._streams.get(self._ids.get(row.handle, ""))
            if stream is not None and stream.generation == row.generation and row.opened:
                stream.throttle.helped()
        return [events.Reported(rows=message.streams)]

    def resync(self, message: control.Resync, monotonic_ns: int) -> list[Event]:
        """Return ResyncRequested, unless it is out of date or came too soon; then it is counted."""
        stream_id = self._ids.get(message.handle, "")
        stream = self._streams.get(stream_id)
        # The sink may not know the number of what it cannot open; only the one before is surely out
        # of date.
        if stream is None or stream_id in self._opening or message.generation == stream.previous:
            self._counters["stale_resync"] += 1
            return []
        if not stream.throttle.allow(monotonic_ns):
            self._counters["throttled_resync"] += 1
            return []
        return [
            events.ResyncRequested(
                stream_id=stream_id,
                handle=message.handle,
                generation=message.generation,
                reason=message.reason,
            )
        ]

    def rekey(self, message: control.Rekey) -> list[Event]:
        """Return RekeyRequested, unless a new generation is under way; then it is counted."""
        stream_id = self._ids.get(message.handle)
        if stream_id is None or stream_id in self._opening:
            self._counters["stale_rekey"] += 1
            return []
        return [events.RekeyRequested(stream_id=stream_id, handle=message.handle)]

    def close(self, handle: int, generation: int) -> None:
        """Forget a stream if this is its present generation."""
        stream_id = self._ids.get(handle)
        if stream_id is not None and self._streams[stream_id].generation == generation:
            del self._streams[stream_id], self._ids[handle]

    def _answered(self, stream_id: str) -> tuple[StreamMetadata, Wish]:
        asked = self._opening.pop(stream_id, None)
        if asked is None:
            raise RemoteProtocolError("an answer for a stream that was not asked for")
        return asked


def _refused(message: control.Opened | control.Refused, reason: str, detail: str) -> Event:
    return events.StreamRefused(stream_id=message.stream, reason=reason, detail=detail)

"""Streams at the sink: what generations are held, what came of them, and the latest of each."""

import statistics
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator

from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError
from tickseal.generation import Generation
from tickseal.opening import Buffer
from tickseal.receiving import ReceivedGeneration, SegmentReceiver
from tickseal_gateway.readings import Batch, FrameMark, Picture, Reading, content_of, read_frame
from tickseal_gateway.registered import Device, Stream

#: Generations of one stream that are held at once: live ones, and ones that are backfilled.
LIVE_MOST, BACKFILLED_MOST = 8, 64
#: Names of one stream whose latest reading is kept.
_NAMES_MOST = 1000
#: Seconds over which frames a second are counted.
_RATE_S = 5
#: Silences whose median is a stream's usual one: a single outage does not change it.
_GAPS = 5
#: A stream is stale after so many usual silences, and never sooner than after so many seconds.
_STALE_GAPS, _STALE_S = 4.0, 3.0


class Held:
    """One generation that the sink holds.

    Attributes:
        received: its opener and counters.
        is_backfilled: it has no live window: frames are acknowledged once they are stored.
        is_offline: it was begun while the gateway was away.
        stored_until: backfilled frames below are on disk.
        opened_ns, last_frame_ns: ns since 1970 UTC.
        opened_monotonic_ns: ns, for its age.
        reported: what the last report said: frames, segments refused.
    """

    __slots__ = (
        "is_backfilled", "is_offline", "last_frame_ns", "opened_monotonic_ns", "opened_ns",
        "received", "reported", "stored_until", "summary_seen",
    )  # fmt: skip

    def __init__(
        self,
        received: ReceivedGeneration,
        *,
        is_offline: bool,
        stored_until: int,
        monotonic_ns: int,
    ) -> None:
        self.received = received
        self.is_backfilled = is_offline
        self.is_offline = is_offline
        self.stored_until = stored_until
        self.opened_ns = self.last_frame_ns = time.time_ns()
        self.opened_monotonic_ns = monotonic_ns
        self.reported = (0, 0)
        self.summary_seen = -1

    @property
    def generation(self) -> Generation:
        """The generation."""
        return self.received.opener.generation

    @property
    def refused(self) -> int:
        """Segments refused so far."""
        return self.received.opener.refusals.total()


class LiveStream:
    """One stream that was opened since the gateway started.

    Attributes:
        handle, id: its number and its name.
        device_id: the registry's number of its device.
        device: the device's name.
        held: its generations, by number, the newest last.
        is_withheld: its frames are opened, but given to no output (a clock cannot be trusted).
        frames, payload_bytes: opened in all.
        withheld, unreadable: frames that no output got; that are not what the metadata promise.
        latest: the newest reading of each name.
        picture: the newest picture.
        last_frame_ns: when the last frame came, ns since 1970 UTC; 0 before the first.
        rate: frames a second, over the last seconds.
    """

    def __init__(self, stream: Stream, device: Device) -> None:
        self.handle = stream.handle
        self.id = stream.id
        self.device_id = device.id
        self.device = device.name
        self.metadata = stream.metadata
        self.content = content_of(stream.metadata)
        self.held: dict[int, Held] = {}
        self.is_withheld = False
        self.frames = 0
        self.payload_bytes = 0
        self.withheld = 0
        self.unreadable = 0
        self.latest: dict[str, Reading] = {}
        self.picture: Picture | None = None
        self.last_frame_ns = 0
        # What generations that are gone have left behind.
        self._past_refusals: Counter[str] = Counter()
        self._past_missing = 0
        self._past_keys = 0
        self._counts: deque[int] = deque([0], maxlen=_RATE_S + 1)
        self._gaps_s: deque[int] = deque(maxlen=_GAPS)
        self._silent_s = 0

    @property
    def newest(self) -> Held | None:
        """The live generation that was opened last."""
        live = [held for held in self.held.values() if not held.is_backfilled]
        return live[-1] if live else None

    @property
    def refusals(self) -> Counter[str]:
        """Segments refused since the gateway started, by reason."""
        total = Counter(self._past_refusals)
        for held in self.held.values():
            total.update(held.received.opener.refusals)
        return total

    @property
    def missing(self) -> int:
        """Frames known to have been sealed that did not arrive whole."""
        return self._past_missing + sum(h.received.missing_frames for h in self.held.values())

    @property
    def keys_derived(self) -> int:
        """Frame keys derived since the gateway started."""
        return self._past_keys + sum(h.received.opener.keys_derived for h in self.held.values())

    @property
    def rate(self) -> float:
        """Frames a second over the last five seconds."""
        return (self._counts[-1] - self._counts[0]) / max(1, len(self._counts) - 1)

    def count_second(self) -> None:
        """Note that a second has passed."""
        self._silent_s += 1
        if self.frames != self._counts[-1]:
            if self._counts[-1]:  # the time before the first frame is no gap
                self._gaps_s.append(self._silent_s)
            self._silent_s = 0
        self._counts.append(self.frames)

    def is_stale(self, now_ns: int) -> bool:
        """Tell whether frames have stayed away for much longer than is usual for this stream.

        Args:
            now_ns: ns since 1970 UTC.
        """
        if not self.last_frame_ns:
            return True
        usual_s = statistics.median(self._gaps_s) if self._gaps_s else _STALE_S
        return now_ns - self.last_frame_ns > max(_STALE_S, _STALE_GAPS * usual_s) * 1e9

    def note(self, readings: Iterable[Reading]) -> None:
        """Keep the newest reading of each name."""
        for reading in readings:
            known = self.latest.get(reading.name)
            if known is None and len(self.latest) >= _NAMES_MOST:
                continue
            if known is None or known.time_ns <= reading.time_ns:
                self.latest[reading.name] = reading

    def drop(self, number: int) -> Held | None:
        """Fold a generation's counts into the stream's; its secrets are the receiver's to erase."""
        held = self.held.pop(number, None)
        if held is not None:
            self._past_refusals.update(held.received.opener.refusals)
            self._past_missing += held.received.missing_frames
            self._past_keys += held.received.opener.keys_derived
        return held


class StreamTable:
    """All streams at the sink, and the receiver that opens their segments.

    Attributes:
        receiver: takes the segments of all links.
        segments: segments that came so far.
        gone: generations that were dropped and are not yet written down; for the store.
    """

    def __init__(self) -> None:
        self.receiver = SegmentReceiver()
        self.segments = 0
        self.gone: deque[tuple[LiveStream, Held]] = deque(maxlen=1000)
        self._streams: dict[int, LiveStream] = {}

    def __iter__(self) -> Iterator[LiveStream]:
        """Iterate over the streams."""
        return iter(list(self._streams.values()))

    def get(self, handle: int) -> LiveStream | None:
        """Return the stream of a handle."""
        return self._streams.get(handle)

    def find(self, handle: int, number: int) -> Held | None:
        """Return one generation that is held."""
        stream = self._streams.get(handle)
        return stream.held.get(number) if stream else None

    def of_device(self, device_id: int) -> list[LiveStream]:
        """Return the streams of a device."""
        return [stream for stream in self if stream.device_id == device_id]

    def install(
        self,
        stream: Stream,
        device: Device,
        generation: Generation,
        *,
        monotonic_ns: int,
        offline_from: int | None = None,
    ) -> Held:
        """Hold a generation from now on.

        Args:
            offline_from: the first frame that may be opened of an offline generation; None for
                a live one.
        Raises:
            LocalProtocolError: its low bits are in use, or too many offline ones are held.
        """
        live = self._streams.get(stream.handle)
        if live is None:
            live = self._streams[stream.handle] = LiveStream(stream, device)
        live.metadata, live.content = stream.metadata, content_of(stream.metadata)
        is_offline = offline_from is not None
        same = [number for number, held in live.held.items() if held.is_backfilled is is_offline]
        if is_offline and len(same) >= BACKFILLED_MOST:
            raise LocalProtocolError(f"{BACKFILLED_MOST} generations wait to be backfilled")
        received = self.receiver.install(
            generation, is_live=not is_offline, highest_frame=(offline_from or 0) - 1
        )
        held = Held(
            received,
            is_offline=is_offline,
            stored_until=offline_from or 0,
            monotonic_ns=monotonic_ns,
        )
        live.held[generation.number] = held
        if not is_offline and len(same) >= LIVE_MOST:
            self.erase(stream.handle, same[0])
        return held

    def make_way(self, handle: int, number: int) -> None:
        """Erase what is in the way of a generation: itself, or a live one of the same low bits."""
        stream = self._streams.get(handle)
        for other, held in list(stream.held.items()) if stream else ():
            mask = (1 << constants.GENERATION_BITS[held.generation.parameters.profile]) - 1
            is_clash = other & mask == number & mask and not held.is_backfilled
            if other == number or is_clash:
                self.erase(handle, other)

    def erase(self, handle: int, number: int) -> None:
        """Erase one generation and its secrets; one that is not held is fine."""
        self.receiver.erase(handle, number)
        stream = self._streams.get(handle)
        if stream is not None:
            held = stream.drop(number)
            if held is not None:
                self.gone.append((stream, held))

    def erase_all(self, stream: LiveStream) -> None:
        """Erase all generations of a stream."""
        for number in list(stream.held):
            self.erase(stream.handle, number)

    def revoke(self, handle: int) -> None:
        """Erase a stream's secrets; its segments are refused as revoked from now on."""
        stream = self._streams.get(handle)
        if stream is not None:
            self.erase_all(stream)
        self.receiver.revoke(handle)

    def expire(self, now: ClockInterval) -> None:
        """Erase generations whose overlap with the next has passed. Call about once a second."""
        for received in self.receiver.expire(now):
            generation = received.opener.generation
            self.erase(generation.handle, generation.number)

    def announce(self, handle: int, number: int, ticks: tuple[int, int]) -> None:
        """Take only the ticks of an announced range in this generation, from now on.

        Raises:
            LocalProtocolError: it is not held, or there is no such range.
        """
        held = self.find(handle, number)
        if held is None:
            raise LocalProtocolError("the generation is not held")
        held.received.opener.announce(*ticks)
        held.is_backfilled = True

    def take(
        self, segments: list[Buffer], now: ClockInterval, *, lane: Iterable[Held] = ()
    ) -> Batch:
        """Open a batch of segments, and return what their frames hold. Nothing is raised.

        Args:
            now: the clock reading for the batch.
            lane: generations that this batch may backfill: their frames are marked in it.
        """
        received_ns = time.time_ns()
        batch = Batch(received_ns=received_ns)
        marks: list[FrameMark] = []
        self.segments += len(segments)
        for frame in self.receiver.receive(segments, now):
            generation = frame.source
            stream = self._streams[generation.handle]
            held = stream.held[generation.parameters.generation]
            stream.frames += 1
            stream.payload_bytes += len(frame.payload)
            stream.last_frame_ns = held.last_frame_ns = received_ns
            if stream.is_withheld and not held.is_backfilled:
                stream.withheld += 1
                continue
            readings, pictures = len(batch.readings), len(batch.pictures)
            if not read_frame(frame, stream.device, stream.content, batch):
                stream.unreadable += 1
            if len(batch.readings) > readings:
                stream.note(batch.readings[readings:])
            if len(batch.pictures) > pictures:
                stream.picture = batch.pictures[-1]
            if held.is_backfilled:
                marks.append(FrameMark(generation.handle, generation.number, frame.number))
        for held in lane:
            marks += _summary_mark(held)
        batch.marks = marks
        return batch


def _summary_mark(held: Held) -> Iterator[FrameMark]:
    """Yield a mark for a summary that came: a frame too, but the receiver keeps it to itself."""
    summary = held.received.summary
    if summary is not None and summary.until_frame != held.summary_seen:
        held.summary_seen = summary.until_frame
        generation = held.generation
        yield FrameMark(generation.handle, generation.number, summary.until_frame)

"""StreamTable: all streams at the sink, and the receivers that open their segments."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError
from tickseal.streams.allotment import Allotment
from tickseal.streams.generation import Generation
from tickseal.streams.opening import Buffer, OpenedSegment
from tickseal.streams.parameters import Profile
from tickseal.streams.receiving import Frame, ReceivedGeneration, SegmentReceiver
from tickseal_gateway.frames.readings import Batch, FrameMark, Opaque, content_of, read_frame
from tickseal_gateway.ingest.budgets import Budget
from tickseal_gateway.ingest.streams import Held, LiveStream
from tickseal_gateway.registry.registered import Device, Stream

#: Generations of one stream that are held at once: live ones, and ones that are backfilled.
LIVE_MOST, BACKFILLED_MOST = 8, 64
#: Bytes of incomplete frames and of newest pictures that are held for one device.
HELD_MOST = 256 << 20
# Half the time of Opaque(...).
_new_tuple = tuple.__new__


class Observer(Protocol):
    """Whoever follows generations and sealed segments. It must not raise, nor change anything.

    Attributes:
        takes_segments: whether opened() is to be called; after a change call update_taps().
    """

    takes_segments: bool

    def installed(self, stream: LiveStream, held: Held) -> None:
        """Note that a generation is held from now on; its source is told later."""

    def opened(self, stream: LiveStream, held: Held, segment: Buffer, what: OpenedSegment) -> None:
        """Note that a segment, as it came, was opened."""

    def erased(self, stream: LiveStream, held: Held) -> None:
        """Note that a generation is not held any more; its secrets are erased."""


class StreamTable:
    """All streams at the sink.

    One receiver takes the segments of all links; a link whose segments have the compact header,
    which names a stream on its own link only, has another: its lane.

    Attributes:
        segments: segments that came so far.
        gone: generations that were dropped and are not yet written down; for the store.
    """

    def __init__(self) -> None:
        self.segments = 0
        self.gone: deque[tuple[LiveStream, Held]] = deque(maxlen=1000)
        self._streams: dict[int, LiveStream] = {}
        self._by_device: defaultdict[int, list[LiveStream]] = defaultdict(list)
        self._common = SegmentReceiver()
        self._compact: dict[SegmentReceiver, set[tuple[int, int]]] = {}
        self._past_refusals: Counter[str] = Counter()
        self._observers: list[Observer] = []
        self._takers: list[Observer] = []
        self._budgets: dict[int, Budget] = {}
        self._allotments: defaultdict[int, Allotment] = defaultdict(lambda: Allotment(HELD_MOST))

    def watch(self, observer: Observer) -> None:
        """Tell somebody of generations and segments from now on."""
        self._observers.append(observer)
        self.update_taps()

    def update_taps(self) -> None:
        """Look anew at who takes segments."""
        self._takers = [observer for observer in self._observers if observer.takes_segments]
        for receiver in (self._common, *self._compact):
            receiver.tap = self._tap if self._takers else None

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

    def set_budget(self, device_id: int, budget: Budget | None) -> None:
        """Count what a device sends against a budget from now on; None for no more."""
        self._budgets.pop(device_id, None)
        if budget is not None:
            self._budgets[device_id] = budget
        for stream in self.of_device(device_id):
            stream.budget = budget

    def budgets(self) -> list[tuple[int, Budget]]:
        """Return the budgets, by the registry's number of the device."""
        return list(self._budgets.items())

    def of_device(self, device_id: int) -> list[LiveStream]:
        """Return the streams of a device."""
        return list(self._by_device.get(device_id, ()))

    @property
    def refusals(self) -> Counter[str]:
        """Segments refused before a generation was found, by reason."""
        total = self._common.refusals + self._past_refusals
        for receiver in self._compact:
            total.update(receiver.refusals)
        return total

    @property
    def unheld(self) -> Counter[int]:
        """Segments of known streams that were of a generation not held, by handle."""
        total = self._common.unheld.copy()
        for receiver in self._compact:
            total.update(receiver.unheld)
        return total

    def open_compact_lane(self) -> SegmentReceiver:
        """Return a receiver for the compact segments of one link; close it with the link."""
        receiver = SegmentReceiver(Profile.COMPACT)
        receiver.tap = self._common.tap
        self._compact[receiver] = set()
        return receiver

    def close_compact_lane(self, receiver: SegmentReceiver) -> None:
        """Erase all that a link's receiver holds."""
        for handle, number in self._compact.pop(receiver):
            stream = self._streams.get(handle)
            held = stream.held.get(number) if stream else None
            if held is not None and held.receiver is receiver:
                self.erase(handle, number)
        self._past_refusals += receiver.refusals

    def install(
        self,
        stream: Stream,
        device: Device,
        generation: Generation,
        *,
        monotonic_ns: int,
        offline_from: int | None = None,
        compact: SegmentReceiver | None = None,
    ) -> Held:
        """Hold a generation from now on.

        Args:
            offline_from: the first frame that may be opened of an offline generation; None for
                a live one.
            compact: the receiver of its link, where its header is compact.
        Raises:
            LocalProtocolError: its low bits are in use, too many offline ones are held, or a
                compact one has no receiver.
        """
        live = self._streams.get(stream.handle)
        if live is None:
            live = self._streams[stream.handle] = LiveStream(stream, device)
            live.budget = self._budgets.get(device.id)
            self._by_device[device.id].append(live)
        live.metadata, live.content = stream.metadata, content_of(stream.metadata)
        is_offline = offline_from is not None
        same = [number for number, held in live.held.items() if held.is_backfilled is is_offline]
        if is_offline and len(same) >= BACKFILLED_MOST:
            raise LocalProtocolError(f"{BACKFILLED_MOST} generations wait to be backfilled")
        receiver = self._common
        if generation.parameters.profile is Profile.COMPACT and compact is not None:
            receiver = compact
            self._compact[compact].add((stream.handle, generation.number))
        received = receiver.install(
            generation,
            is_live=not is_offline,
            highest_frame=(offline_from or 0) - 1,
            allotment=self._allotments[device.id],
        )
        held = Held(
            live,
            received,
            receiver,
            is_offline=is_offline,
            stored_until=offline_from or 0,
            monotonic_ns=monotonic_ns,
        )
        received.opener.source = held
        live.held[generation.number] = held
        live.settle()
        if not is_offline and len(same) >= LIVE_MOST:
            self.erase(stream.handle, same[0])
        for observer in self._observers:
            observer.installed(live, held)
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
        stream = self._streams.get(handle)
        held = stream.drop(number) if stream else None
        if stream is not None and held is not None:
            held.receiver.erase(handle, number)
            held.received.opener.source = None  # or it would hold itself
            if held.receiver in self._compact:
                self._compact[held.receiver].discard((handle, number))
            self.gone.append((stream, held))
            for observer in self._observers:
                observer.erased(stream, held)

    def erase_all(self, stream: LiveStream) -> None:
        """Erase all generations of a stream."""
        for number in list(stream.held):
            self.erase(stream.handle, number)

    def revoke(self, handle: int) -> None:
        """Erase a stream's secrets; its segments are refused as revoked from now on."""
        stream = self._streams.get(handle)
        if stream is not None:
            self.erase_all(stream)
        self._common.revoke(handle)

    def expire(self, now: ClockInterval) -> None:
        """Erase generations whose overlap with the next has passed. Call about once a second."""
        for receiver in (self._common, *self._compact):
            for received in receiver.expire(now):
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
        held.settle()

    def cut_off(self, device_id: int) -> None:
        """Take no more live segments of what a device has open, since it fell silent.

        It seals on until it notices, and announces all of that later. A datagram that the network
        held meanwhile must not come first: once opened, it would erase the keys of what lies more
        than a window before it.
        """
        for stream in self.of_device(device_id):
            for held in stream.held.values():
                if not held.is_backfilled:
                    opener, window = held.received.opener, held.generation.parameters.window_ticks
                    # The oldest tick whose key is held: this announcement erases none.
                    oldest = max(0, opener.highest_tick - window)
                    opener.announce(oldest, oldest + 1)

    def take(
        self,
        segments: Sequence[Buffer],
        now: ClockInterval,
        *,
        backfilled: Iterable[Held] = (),
        compact: SegmentReceiver | None = None,
    ) -> Batch:
        """Open a batch of segments, and return what their frames hold. Nothing is raised.

        Args:
            now: the clock reading for the batch.
            backfilled: generations that this batch may backfill: their frames are marked in it.
            compact: takes the segments with a compact header, on a link that has such.
        """
        received_ns = time.time_ns()
        batch = Batch(received_ns=received_ns)
        marks: list[FrameMark] = []
        add = batch.others.append
        self.segments += len(segments)
        # No more than this is done in Python for most frames: each object that is looked at takes
        # time, above all with thousands of streams, which are in no cache.
        held: Held
        for held, number, tick, payload, flags in self._open(segments, now, compact):
            held.heard_ns = received_ns
            if held.plain is None:
                frame = Frame(held.generation, number, tick, payload, flags)
                self._read(held, frame, batch, marks)
            else:
                add(_new_tuple(Opaque, (held.plain, payload, tick, number, flags, received_ns)))
        for held in backfilled:
            marks += _summary_mark(held)
        batch.marks = marks
        return batch

    def _read(self, held: Held, frame: Frame, batch: Batch, marks: list[FrameMark]) -> None:
        """Add what a frame carries to a batch, where that or its stream is to be looked at."""
        stream = held.stream
        if held.is_backfilled:
            marks.append(FrameMark(stream.handle, held.number, frame.number))
        elif stream.is_withheld:
            stream.withheld += 1
            return
        elif stream.budget is not None and not stream.budget.take(len(frame.payload)):
            stream.over_limit += 1
            return
        readings, pictures = len(batch.readings), len(batch.pictures)
        stream.unreadable += not read_frame(frame, stream.device, stream.content, batch)
        if len(batch.readings) > readings:
            stream.note(batch.readings[readings:])
        if len(batch.pictures) > pictures:
            stream.footage.add(batch.pictures[pictures:])
            allotment = self._allotments[stream.device_id]
            allotment.note(stream.footage, stream.footage.held_bytes)

    def _tap(self, received: ReceivedGeneration, segment: Buffer, what: OpenedSegment) -> None:
        held: Held = received.opener.source
        stream = held.stream
        budget = None if held.is_backfilled else stream.budget
        if (
            budget is not None
            and what.kind == constants.KIND_FRAME  # a summary passes: it tells what was left out
            and not budget.passes(stream.handle, what.segment_index, len(what.payload))
        ):
            return
        for taker in self._takers:
            taker.opened(stream, held, segment, what)

    def _open(
        self, segments: Sequence[Buffer], now: ClockInterval, compact: SegmentReceiver | None
    ) -> list[Frame]:
        if compact is None:
            return self._common.receive(segments, now)
        short = [s for s in segments if len(s) and s[0] & constants.KIND_COMPACT]
        others = [s for s in segments if not (len(s) and s[0] & constants.KIND_COMPACT)]
        return compact.receive(short, now) + self._common.receive(others, now)


def _summary_mark(held: Held) -> Iterator[FrameMark]:
    """Yield a mark for a summary that came: a frame too, but the receiver keeps it to itself."""
    summary = held.received.summary
    if summary is not None and summary.until_frame != held.summary_seen:
        held.summary_seen = summary.until_frame
        generation = held.generation
        yield FrameMark(generation.handle, generation.number, summary.until_frame)

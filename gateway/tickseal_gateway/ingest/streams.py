"""Streams at the sink: their generations, what came of them, and the latest of each."""

import statistics
import time
from collections import Counter
from collections.abc import Iterable

from tickseal.streams.generation import Generation
from tickseal.streams.receiving import ReceivedGeneration, SegmentReceiver
from tickseal_gateway.frames.footage import Footage
from tickseal_gateway.frames.readings import Content, Names, Picture, Reading, content_of
from tickseal_gateway.ingest.budgets import Budget
from tickseal_gateway.registry.registered import Device, Stream

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
        stream: of which it is.
        received: its opener and counters.
        receiver: what holds it.
        number: its number.
        is_backfilled: it has no live window: frames are acknowledged once they are stored.
        is_offline: it was begun while the gateway was away.
        stored_until: backfilled frames below are on disk.
        opened_ns, heard_ns: when it was opened, and its last frame came, ns since 1970 UTC; 0
            before the first frame.
        plain: what its frames are called, where they go to the outputs as they are; else None.
        opened_monotonic_ns: ns, for its age.
        reported: what the last report said: frames, segments refused.
        noted: what `heard` was when it was last noted in the store; -1 before that.
    """

    __slots__ = (
        "heard_ns", "is_backfilled", "is_offline", "noted", "number", "opened_monotonic_ns",
        "opened_ns", "plain", "received", "receiver", "reported", "stored_until", "stream",
        "summary_seen",
    )  # fmt: skip

    def __init__(
        self,
        stream: "LiveStream",
        received: ReceivedGeneration,
        receiver: SegmentReceiver,
        *,
        is_offline: bool,
        stored_until: int,
        monotonic_ns: int,
    ) -> None:
        self.stream = stream
        self.received = received
        self.number = received.opener.generation.number
        self.receiver = receiver
        self.is_backfilled = is_offline
        self.is_offline = is_offline
        self.stored_until = stored_until
        self.plain: Names | None = None
        self.opened_ns = time.time_ns()
        self.heard_ns = 0
        self.opened_monotonic_ns = monotonic_ns
        self.reported = (0, 0)
        self.noted = -1
        self.summary_seen = -1

    def settle(self) -> None:
        """Reckon anew what is to be done with its frames: something of it or its stream changed."""
        stream = self.stream
        is_plain = stream.is_plain and not self.is_backfilled
        self.plain = Names(stream.device, stream.id, self.number) if is_plain else None

    @property
    def last_frame_ns(self) -> int:
        """When the last frame came, or it was opened, ns since 1970 UTC."""
        return self.heard_ns or self.opened_ns

    @property
    def frames(self) -> int:
        """Frames of the application so far."""
        return self.received.frames - self.received.summaries

    @property
    def generation(self) -> Generation:
        """The generation."""
        return self.received.opener.generation

    @property
    def heard(self) -> int:
        """Segments opened or refused so far."""
        return self.received.opener.opened + self.refused

    @property
    def refused(self) -> int:
        """Segments refused so far."""
        refusals = self.received.opener.refusals
        return refusals.total() if refusals else 0


class LiveStream:
    """One stream that was opened since the gateway started.

    Attributes:
        handle, id: its number and its name.
        device_id: the registry's number of its device.
        held: its generations, by number, the newest last.
        withheld, over_limit: frames that no output got: for a clock; for the device's limits.
        unreadable: frames that are not what the metadata promise.
        latest: the newest reading of each name.
        footage: the newest pictures.
        rate: frames a second, over the last seconds.
    """

    __slots__ = (
        "_budget", "_counts", "_device", "_gaps_s", "_heard", "_is_withheld", "_past_bytes",
        "_past_frame_ns", "_past_frames", "_past_keys", "_past_missing", "_past_refusals",
        "_silent_s", "content", "device_id", "footage", "handle", "held", "id", "latest",
        "metadata", "over_limit", "unreadable", "withheld",
    )  # fmt: skip

    def __init__(self, stream: Stream, device: Device) -> None:
        self.handle = stream.handle
        self.id = stream.id
        self.device_id = device.id
        self._device = device.name
        self.metadata = stream.metadata
        self.content = content_of(stream.metadata)
        self.held: dict[int, Held] = {}
        self._is_withheld = False
        self._budget: Budget | None = None
        self.withheld = 0
        self.over_limit = 0
        self.unreadable = 0
        self.latest: dict[str, Reading] = {}
        self.footage = Footage()
        # What generations that are gone have left behind.
        self._past_frames = self._past_bytes = self._past_frame_ns = 0
        self._past_refusals: Counter[str] = Counter()
        self._past_missing = 0
        self._past_keys = 0
        self._heard = 0
        # Short lists: an empty deque takes more than all else here.
        self._counts = [0]
        self._gaps_s: list[int] = []
        self._silent_s = 0

    def settle(self) -> None:
        """Reckon anew what is to be done with its frames."""
        for held in self.held.values():
            held.settle()

    @property
    def device(self) -> str:
        """The device's name."""
        return self._device

    @device.setter
    def device(self, device: str) -> None:
        self._device = device
        self.settle()

    @property
    def is_withheld(self) -> bool:
        """Whether frames are opened, but given to no output: its clock cannot be trusted."""
        return self._is_withheld

    @is_withheld.setter
    def is_withheld(self, is_withheld: bool) -> None:
        self._is_withheld = is_withheld
        self.settle()

    @property
    def budget(self) -> Budget | None:
        """What its device may send; None for as much as it likes."""
        return self._budget

    @budget.setter
    def budget(self, budget: Budget | None) -> None:
        self._budget = budget
        self.settle()

    @property
    def is_plain(self) -> bool:
        """Whether live frames go to the outputs as they are: no look at them is needed."""
        return self.content is Content.OPAQUE and not self._is_withheld and self._budget is None

    @property
    def frames(self) -> int:
        """Frames opened in all."""
        return self._past_frames + sum([held.frames for held in self.held.values()])

    @property
    def payload_bytes(self) -> int:
        """Bytes in them."""
        return self._past_bytes + sum([h.received.payload_bytes for h in self.held.values()])

    @property
    def last_frame_ns(self) -> int:
        """When the last frame came, ns since 1970 UTC; 0 before the first."""
        return max([self._past_frame_ns, *(held.heard_ns for held in self.held.values())])

    @property
    def newest(self) -> Held | None:
        """The live generation that was opened last."""
        for held in reversed(self.held.values()):
            if not held.is_backfilled:
                return held
        return None

    @property
    def picture(self) -> Picture | None:
        """The newest picture."""
        return self.footage.newest

    @property
    def is_refused(self) -> bool:
        """Whether any segment was refused since the gateway started."""
        for held in self.held.values():
            if held.received.opener.refusals:
                return True
        return bool(self._past_refusals)

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

    def count_second(self) -> bool:
        """Note that a second has passed; return whether any segment was opened or refused in it.

        Most streams of a large fleet are silent in most seconds: they must cost next to nothing.
        """
        heard, frames = 0, self._past_frames
        for held in self.held.values():
            heard += held.heard
            frames += held.frames
        is_heard, self._heard = heard != self._heard, heard
        self._silent_s += 1
        if frames != self._counts[-1]:
            if self._counts[-1]:  # the time before the first frame is no gap
                self._gaps_s = [*self._gaps_s[1 - _GAPS :], self._silent_s]
            self._silent_s = 0
        self._counts.append(frames)
        if len(self._counts) > _RATE_S + 1:
            del self._counts[0]
        return is_heard

    def is_stale(self, now_ns: int) -> bool:
        """Tell whether frames have stayed away for much longer than is usual for this stream.

        Args:
            now_ns: ns since 1970 UTC.
        """
        last_ns = self.last_frame_ns
        if not last_ns:
            return True
        usual_s = statistics.median(self._gaps_s) if self._gaps_s else _STALE_S
        return now_ns - last_ns > max(_STALE_S, _STALE_GAPS * usual_s) * 1e9

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
            self._past_frames += held.frames
            self._past_bytes += held.received.payload_bytes
            self._past_frame_ns = max(self._past_frame_ns, held.heard_ns)
        return held

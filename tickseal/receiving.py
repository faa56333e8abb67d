"""SegmentReceiver: a sink's streams and generations; segments in, frames out, nothing raised."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

from tickseal.accepting import Interval
from tickseal.assembly import FrameAssembler
from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.generation import Generation
from tickseal.opening import Buffer, FrameOpener, OpenedSegment, Refused
from tickseal.parameters import Profile
from tickseal.summary import Summary


class Frame(NamedTuple):
    """One whole frame, opened.

    Attributes:
        source: the generation that it came in: stream, handle, metadata, parameters.
        number: frame number in its generation.
        tick: in which it was sealed.
        payload: what the source sealed.
        flags: FLAG_* of its last segment to arrive.
    """

    source: Generation
    number: int
    tick: int
    payload: bytes
    flags: int


class ReceivedGeneration:
    """One generation at the sink: its opener, its assembler and what is known of its completeness.

    Attributes:
        frames: frames completed, summaries included.
        payload_bytes: bytes in them.
        summary: the last summary that the source sealed; None before the first.
        ends_at_ns: ns TAI when it is erased, since a newer generation has taken over; None while
            current.
    """

    __slots__ = (
        "_first_frame", "assembler", "ends_at_ns", "frames", "opener", "payload_bytes", "summary",
    )  # fmt: skip

    def __init__(self, generation: Generation, *, is_live: bool, highest_frame: int) -> None:
        self.opener = FrameOpener(generation, live=is_live, highest_frame=highest_frame)
        self.assembler = FrameAssembler(generation.parameters)
        self._first_frame = highest_frame + 1
        self.frames = 0
        self.payload_bytes = 0
        self.summary: Summary | None = None
        self.ends_at_ns: int | None = None

    @property
    def missing_frames(self) -> int:
        """Frames known to be sealed and not complete here: lost, withheld, or still to come."""
        # A summary has the number after the last that it tells of, so it counts by itself.
        return self.opener.highest_frame + 1 - self._first_frame - self.frames


#: Told of a segment that was opened: whose it is, the segment, and what was in it.
Tap = Callable[[ReceivedGeneration, Buffer, OpenedSegment], None]


class _Stream:
    __slots__ = ("by_low_bits", "handle", "is_revoked", "latest", "unheld")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        # In the order of their installation; the low bits of no two are the same.
        self.by_low_bits: dict[int, ReceivedGeneration] = {}
        # Of which the last segment was.
        self.latest: ReceivedGeneration | None = None
        self.is_revoked = False
        self.unheld = 0


class SegmentReceiver:
    """Opens the segments of many streams.

    One receiver takes segments of one header profile: compact handles are unique on their own link
    only.

    Attributes:
        refusals: segments refused before any generation was found, by reason; the others are
            counted by the openers.
        tap: is told of every segment that was opened, as it came; None where nobody asks. It must
            not raise, nor change what the receiver holds.
    """

    __slots__ = (
        "_first_byte",
        "_handle_mask",
        "_head_bytes",
        "_is_compact",
        "_streams",
        "refusals",
        "tap",
    )

    def __init__(self, profile: Profile = Profile.STANDARD) -> None:
        self._is_compact = profile is Profile.COMPACT
        self._first_byte = constants.VERSION << 4 | constants.KIND_COMPACT * self._is_compact
        self._head_bytes = constants.HEADER_BYTES[profile]
        self._handle_mask = (1 << constants.HANDLE_BITS[profile]) - 1
        self._streams: dict[int, _Stream] = {}
        self.refusals: Counter[str] = Counter()
        self.tap: Tap | None = None

    def install(
        self, generation: Generation, *, is_live: bool = True, highest_frame: int = -1
    ) -> ReceivedGeneration:
        """Accept a generation from now on; an older live one ends after this one's first segment.

        Raises:
            LocalProtocolError: its header profile is not the receiver's, its low bits or those of
                its handle are in use, or the stream was revoked and not forgotten.
        """
        profile, handle = generation.parameters.profile, generation.handle
        if (profile is Profile.COMPACT) is not self._is_compact:
            raise LocalProtocolError(f"this receiver does not take the profile {profile.name}")
        stream = self._streams.get(handle & self._handle_mask) or _Stream(handle)
        if stream.handle != handle:
            raise LocalProtocolError(
                f"the low bits of handle {handle} are those of handle {stream.handle}"
            )
        if stream.is_revoked:
            raise LocalProtocolError(f"the stream of handle {handle} was revoked")
        low = generation.number & ((1 << constants.GENERATION_BITS[profile]) - 1)
        if low in stream.by_low_bits:
            raise LocalProtocolError(
                f"a generation with the low bits {low:#x} is held for handle {handle}"
            )
        received = ReceivedGeneration(generation, is_live=is_live, highest_frame=highest_frame)
        stream.by_low_bits[low] = received
        self._streams[handle & self._handle_mask] = stream
        return received

    def generations(self, handle: int) -> list[ReceivedGeneration]:
        """Return what is held of a stream, in the order of installation."""
        stream = self._streams.get(handle & self._handle_mask)
        return list(stream.by_low_bits.values()) if stream else []

    def find(self, handle: int, number: int) -> ReceivedGeneration | None:
        """Return one generation of a stream, or None."""
        for received in self.generations(handle):
            if received.opener.generation.number == number:
                return received
        return None

    def unheld(self, handle: int) -> int:
        """Return how many segments of a known stream were refused as of a generation not held."""
        stream = self._streams.get(handle & self._handle_mask)
        return stream.unheld if stream else 0

    def erase(self, handle: int, number: int) -> None:
        """Erase one generation and its secrets; nothing happens where it is not held."""
        stream = self._streams.get(handle & self._handle_mask)
        if stream is None:
            return
        for low, received in list(stream.by_low_bits.items()):
            if received.opener.generation.number == number:
                received.opener.clear()
                del stream.by_low_bits[low]

    def revoke(self, handle: int) -> None:
        """Erase a stream's secrets; its segments are refused as revoked from now on."""
        stream = self._streams.setdefault(handle & self._handle_mask, _Stream(handle))
        for received in stream.by_low_bits.values():
            received.opener.clear()
        stream.by_low_bits.clear()
        stream.latest = None
        stream.is_revoked = True

    def forget(self, handle: int) -> None:
        """Erase a stream and all trace of its handle."""
        self.revoke(handle)
        del self._streams[handle & self._handle_mask]

    def expire(self, now: Interval) -> list[ReceivedGeneration]:
        """Erase and return the generations whose overlap has passed. Call about once a second."""
        ended: list[ReceivedGeneration] = []
        for stream in self._streams.values():
            for low, received in list(stream.by_low_bits.items()):
                ends_at_ns = received.ends_at_ns
                # What is backfilled ends when the source says so, not by the clock.
                if (
                    ends_at_ns is not None
                    and received.opener.is_live
                    and now.earliest_ns > ends_at_ns
                ):
                    received.opener.clear()
                    del stream.by_low_bits[low]
                    ended.append(received)
        return ended

    def receive(self, segments: Iterable[Buffer], now: Interval) -> list[Frame]:
        """Return the frames that a batch of segments completes.

        Any bytes are allowed; nothing is raised.

        Args:
            segments: as they came from a link.
            now: the clock reading for the batch.
        """
        frames: list[Frame] = []
        for run in self._runs(segments):
            found = self._find(run[0])
            if not isinstance(found, str):
                self._open_run(*found, run, now, frames)
                continue
            self.refusals[found] += len(run)
            if found == errors.UNKNOWN_GENERATION:
                self._streams[self._handle(run[0])].unheld += len(run)
        return frames

    def _runs(self, segments: Iterable[Buffer]) -> Iterable[list[Buffer]]:
        """Put together what a batch holds for one generation: it is opened in one call."""
        if self._is_compact:
            return [[segment] for segment in segments]
        runs: dict[bytes, list[Buffer]] = {}
        first_byte = self._first_byte
        for segment in segments:
            if len(segment) < 16 or segment[0] ^ first_byte > 1:
                self.refusals[str(self._find(segment))] += 1
                continue
            place = bytes(segment[2:7])  # generation and handle
            run = runs.get(place)
            if run is None:
                runs[place] = [segment]
            else:
                run.append(segment)
        return runs.values()

    def _open_run(
        self,
        stream: _Stream,
        received: ReceivedGeneration,
        run: list[Buffer],
        now: Interval,
        frames: list[Frame],
    ) -> None:
        """Open segments of one generation, and add the frames that they complete."""
        opener, tap, add = received.opener, self.tap, received.assembler.add
        answers = opener.open_many(run, now) if len(run) > 1 else [opener.open(run[0], now)]
        for segment, opened in zip(run, answers, strict=True):
            if isinstance(opened, Refused):
                continue
            if stream.latest is not received and opener.is_live:
                self._took_over(stream, received, now)
            if tap is not None:
                tap(received, segment, opened)
            payload = add(opened)
            if payload is not None:
                self._complete(received, opened, payload, frames)

    def _find(self, segment: Buffer) -> tuple[_Stream, ReceivedGeneration] | str:
        """Return whose segment this is, or the reason to refuse it: the opener's first checks."""
        if len(segment) < self._head_bytes:
            return errors.TRUNCATED
        if segment[0] ^ self._first_byte > 1:
            return errors.WRONG_VERSION
        low = segment[1] & 15 if self._is_compact else segment[2]
        stream = self._streams.get(self._handle(segment))
        if stream is None:
            return errors.UNKNOWN_HANDLE
        received = stream.by_low_bits.get(low)
        if received is None:
            if stream.is_revoked:
                return errors.REVOKED
            return errors.UNKNOWN_GENERATION
        return stream, received

    def _handle(self, segment: Buffer) -> int:
        """Return the handle that a header names."""
        return segment[2] if self._is_compact else int.from_bytes(segment[3:7], "big")

    def _took_over(self, stream: _Stream, received: ReceivedGeneration, now: Interval) -> None:
        # An older one that still comes within the overlap ends nothing: all before it ends already.
        stream.latest = received
        for other in takewhile(lambda one: one is not received, stream.by_low_bits.values()):
            if other.ends_at_ns is None:
                parameters = other.opener.generation.parameters
                other.ends_at_ns = now.latest_ns + parameters.past_ns + parameters.skew_ns

    def _complete(
        self,
        received: ReceivedGeneration,
        opened: OpenedSegment,
        payload: bytes,
        frames: list[Frame],
    ) -> None:
        received.frames += 1
        if opened.kind == constants.KIND_FRAME:
            received.payload_bytes += len(payload)
            source = received.opener.generation
            frames.append(Frame(source, opened.frame_number, opened.tick, payload, opened.flags))
            return
        try:
            summary = Summary.decode(payload)
        except RemoteProtocolError:
            self.refusals[errors.MALFORMED] += 1
            return
        if received.summary is None or summary.until_frame > received.summary.until_frame:
            received.summary = summary

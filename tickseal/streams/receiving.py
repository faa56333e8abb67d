"""SegmentReceiver: a sink's streams and generations; segments in, frames out, nothing raised."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.native import IS_NATIVE
from tickseal.streams.accepting import Interval
from tickseal.streams.allotment import Allotment
from tickseal.streams.assembly import FrameAssembler
from tickseal.streams.generation import Generation
from tickseal.streams.opening import Buffer, Frame, FrameOpener, OpenedSegment, Refused
from tickseal.streams.parameters import Profile
from tickseal.streams.summary import Summary

__all__ = ["Frame", "ReceivedGeneration", "SegmentReceiver", "Tap", "by_place"]

_HEAD_BYTES = constants.HEADER_BYTES[Profile.STANDARD]
_FIRST_BYTE = constants.VERSION << 4


class ReceivedGeneration:
    """One generation at the sink: its opener, its assembler and what is known of its completeness.

    Attributes:
        frames: frames completed, summaries included.
        payload_bytes: bytes in them.
        summary: the last summary that the source sealed; None before the first.
        ends_at_ns: ns TAI when it is erased, since a newer generation has taken over; None while
            current.
        is_latest: whether the last segment of its stream was of it.
        allotment: what its incomplete frames count against; None for nothing.
        owner: for whoever installed it, to find again what belongs to it.
    """

    __slots__ = (
        "_first_frame", "allotment", "assembler", "ends_at_ns", "frames", "is_latest", "opener",
        "owner", "payload_bytes", "stream", "summary",
    )  # fmt: skip

    def __init__(
        self,
        stream: "_Stream",
        generation: Generation,
        *,
        is_live: bool,
        highest_frame: int,
        allotment: Allotment | None,
    ) -> None:
        self.stream = stream
        self.allotment = allotment
        self.opener = FrameOpener(generation, live=is_live, highest_frame=highest_frame)
        # Made for the first frame of several segments.
        self.assembler: FrameAssembler | None = None
        self._first_frame = highest_frame + 1
        self.frames = 0
        self.payload_bytes = 0
        self.summary: Summary | None = None
        self.ends_at_ns: int | None = None
        self.is_latest = False
        self.owner: Any = None

    @property
    def missing_frames(self) -> int:
        """Frames known to be sealed and not complete here: lost, withheld, or still to come."""
        # A summary has the number after the last that it tells of, so it counts by itself.
        return self.opener.highest_frame + 1 - self._first_frame - self.frames


#: Told of a segment that was opened: whose it is, the segment, and what was in it.
Tap = Callable[[ReceivedGeneration, Buffer, OpenedSegment], None]


class _Stream:
    __slots__ = ("by_low_bits", "handle", "is_revoked")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        # In the order of their installation; the low bits of no two are the same.
        self.by_low_bits: dict[int, ReceivedGeneration] = {}
        self.is_revoked = False


#: Frames of one generation that a batch completed, and the bytes in them.
Run = tuple[ReceivedGeneration, list[Frame], int]


def _place(low: int, handle: int) -> bytes:
    """Return what stands in the standard header from byte 2 on: generation and handle."""
    return bytes((low,)) + handle.to_bytes(4, "big")


def by_place(
    segments: Iterable[Buffer], places: Mapping[bytes, object]
) -> tuple[dict[bytes, list[Buffer]], list[Buffer]]:
    """Put together what a batch holds for one generation: it is opened in one call.

    Args:
        segments: with the standard header, or anything else.
        places: what is held, by generation and handle as in the header.
    Returns:
        The segments of each place that is held, in the order of the first of them; and all that
        belongs nowhere, of which version and header were checked just the same.
    """
    runs: dict[bytes, list[Buffer]] = {}
    strangers: list[Buffer] = []
    for segment in segments:
        place = bytes(segment[2:7])
        if len(segment) < _HEAD_BYTES or segment[0] ^ _FIRST_BYTE > 1 or place not in places:
            strangers.append(segment)
        else:
            runs.setdefault(place, []).append(segment)
    return runs, strangers


#: The one without native code; it stays complete.
pure_by_place = by_place

if not TYPE_CHECKING and IS_NATIVE:
    from tickseal.native.hotpath import by_place


class SegmentReceiver:
    """Opens the segments of many streams.

    One receiver takes segments of one header profile: compact handles are unique on their own link
    only.

    Attributes:
        refusals: segments refused before any generation was found, by reason; the others are
            counted by the openers.
        unheld: those of a known stream that were of a generation not held, by handle.
        tap: is told of every segment that was opened, as it came; None where nobody asks. It must
            not raise, nor change what the receiver holds.
    """

    __slots__ = (
        "_first_byte",
        "_handle_mask",
        "_head_bytes",
        "_is_compact",
        "_places",
        "_streams",
        "refusals",
        "tap",
        "unheld",
    )

    def __init__(self, profile: Profile = Profile.STANDARD) -> None:
        self._is_compact = profile is Profile.COMPACT
        self._first_byte = constants.VERSION << 4 | constants.KIND_COMPACT * self._is_compact
        self._head_bytes = constants.HEADER_BYTES[profile]
        self._handle_mask = (1 << constants.HANDLE_BITS[profile]) - 1
        self._streams: dict[int, _Stream] = {}
        # The same by what the standard header holds of generation and handle.
        self._places: dict[bytes, ReceivedGeneration] = {}
        self.refusals: Counter[str] = Counter()
        self.unheld: Counter[int] = Counter()
        self.tap: Tap | None = None

    def install(
        self,
        generation: Generation,
        *,
        is_live: bool = True,
        highest_frame: int = -1,
        allotment: Allotment | None = None,
    ) -> ReceivedGeneration:
        """Accept a generation from now on; an older live one ends after this one's first segment.

        Args:
            allotment: what its incomplete frames count against: its peer's, say.
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
        received = ReceivedGeneration(
            stream,
            generation,
            is_live=is_live,
            highest_frame=highest_frame,
            allotment=allotment,
        )
        stream.by_low_bits[low] = received
        self._places[_place(low, handle)] = received
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

    def erase(self, handle: int, number: int) -> None:
        """Erase one generation and its secrets; nothing happens where it is not held."""
        stream = self._streams.get(handle & self._handle_mask)
        if stream is None:
            return
        for low, received in list(stream.by_low_bits.items()):
            if received.opener.generation.number == number:
                self._drop(stream, low)

    def revoke(self, handle: int) -> None:
        """Erase a stream's secrets; its segments are refused as revoked from now on."""
        stream = self._streams.setdefault(handle & self._handle_mask, _Stream(handle))
        for low in list(stream.by_low_bits):
            self._drop(stream, low)
        stream.is_revoked = True

    def forget(self, handle: int) -> None:
        """Erase a stream and all trace of its handle."""
        self.revoke(handle)
        del self._streams[handle & self._handle_mask]
        self.unheld.pop(handle, None)

    def expire(self, now: Interval) -> list[ReceivedGeneration]:
        """Erase and return the generations whose overlap has passed. Call about once a second."""
        # What is backfilled ends when the source says so, not by the clock.
        ended = [
            (stream, low)
            for stream in self._streams.values()
            for low, received in stream.by_low_bits.items()
            if received.ends_at_ns is not None
            and received.opener.is_live
            and now.earliest_ns > received.ends_at_ns
        ]
        return [self._drop(stream, low) for stream, low in ended]

    def _drop(self, stream: _Stream, low: int) -> ReceivedGeneration:
        """Erase a generation, and return what it was."""
        received = stream.by_low_bits.pop(low)
        received.opener.clear()
        if received.assembler is not None:
            received.assembler.clear()
        del self._places[_place(low, stream.handle)]
        return received

    def receive(self, segments: Iterable[Buffer], now: Interval) -> list[Frame]:
        """Return the frames that a batch of segments completes.

        Any bytes are allowed; nothing is raised.

        Args:
            segments: as they came from a link.
            now: the clock reading for the batch.
        """
        return [frame for _, run, _ in self.receive_runs(segments, now) for frame in run]

    def receive_runs(self, segments: Iterable[Buffer], now: Interval) -> list[Run]:
        """Do the same, and return them with their generation."""
        done: list[Run] = []
        if self._is_compact:
            for segment in segments:
                found = self._find(segment)
                if isinstance(found, str):
                    self._refuse(segment, found)
                else:
                    self._open_run(found, [segment], now, done)
            return done
        runs, strangers = by_place(segments, self._places)
        places, open_run = self._places, self._open_run
        for place, run in runs.items():
            open_run(places[place], run, now, done)
        for segment in strangers:
            self._refuse(segment, str(self._find(segment)))
        return done

    def _open_run(
        self,
        received: ReceivedGeneration,
        run: list[Buffer],
        now: Interval,
        done: list[Run],
    ) -> None:
        """Open segments of one generation, and add the frames that they complete."""
        opener = received.opener
        if self.tap is not None:
            found = self._open_tapped(self.tap, received, run, now)
            parts, size = len(found), 0
        else:
            found, parts, size = opener.open_frames(run, now)
        if not found:
            return
        if not received.is_latest and opener.is_live:
            self._took_over(received, now)
        assembler = received.assembler
        if parts or (assembler is not None and assembler.is_busy):
            frames: list[Frame] = []
            for one in found:
                self._assemble(received, one, frames)
            if frames:
                done.append((received, frames, sum([len(frame.payload) for frame in frames])))
            return
        whole: list[Frame] = found  # type: ignore[assignment]
        received.frames += len(whole)
        received.payload_bytes += size
        done.append((received, whole, size))

    def _open_tapped(
        self, tap: Tap, received: ReceivedGeneration, run: list[Buffer], now: Interval
    ) -> list[Frame | OpenedSegment]:
        """Open segments, and tell the tap of each that was opened."""
        found: list[Frame | OpenedSegment] = []
        for segment, opened in zip(run, received.opener.open_many(run, now), strict=True):
            if not isinstance(opened, Refused):
                tap(received, segment, opened)
                found.append(opened)
        return found

    def _refuse(self, segment: Buffer, reason: str) -> None:
        self.refusals[reason] += 1
        if reason == errors.UNKNOWN_GENERATION:
            self.unheld[self._streams[self._handle(segment)].handle] += 1

    def _find(self, segment: Buffer) -> ReceivedGeneration | str:
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
        return received

    def _handle(self, segment: Buffer) -> int:
        """Return the handle that a header names."""
        return segment[2] if self._is_compact else int.from_bytes(segment[3:7], "big")

    def _took_over(self, received: ReceivedGeneration, now: Interval) -> None:
        held = received.stream.by_low_bits.values()
        for other in held:
            other.is_latest = other is received
        # An older one that still comes within the overlap ends nothing: all before it ends already.
        for other in takewhile(lambda one: one is not received, held):
            if other.ends_at_ns is None:
                parameters = other.opener.generation.parameters
                other.ends_at_ns = now.latest_ns + parameters.past_ns + parameters.skew_ns

    def _assemble(
        self, received: ReceivedGeneration, one: Frame | OpenedSegment, frames: list[Frame]
    ) -> None:
        """Take in a segment, or a frame that came in one, and add the frame that it completes."""
        if isinstance(one, Frame):
            one = OpenedSegment(
                one.payload, one.number, 0, one.tick, one.flags, constants.KIND_FRAME
            )
        if received.assembler is None:
            parameters = received.opener.generation.parameters
            received.assembler = FrameAssembler(parameters, received.allotment)
        payload = received.assembler.add(one)
        if payload is None:
            return
        received.frames += 1
        if one.kind == constants.KIND_FRAME:
            received.payload_bytes += len(payload)
            source = received.opener.generation
            frames.append(Frame(source, one.frame_number, one.tick, payload, one.flags))
            return
        try:
            summary = Summary.decode(payload)
        except RemoteProtocolError:
            self.refusals[errors.MALFORMED] += 1
            return
        if received.summary is None or summary.until_frame > received.summary.until_frame:
            received.summary = summary

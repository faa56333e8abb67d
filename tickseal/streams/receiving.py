"""SegmentReceiver: a sink's streams and generations; segments in, frames out, nothing raised."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import takewhile

from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.streams.accepting import Interval
from tickseal.streams.allotment import Allotment
from tickseal.streams.assembly import FrameAssembler
from tickseal.streams.generation import Generation
from tickseal.streams.opening import (
    Buffer,
    Frame,
    FrameOpener,
    OpenedSegment,
    Part,
    Refused,
    open_frames,
)
from tickseal.streams.parameters import Profile
from tickseal.streams.summary import Summary

__all__ = ["Frame", "ReceivedGeneration", "SegmentReceiver", "Tap"]


class ReceivedGeneration:
    """One generation at the sink: its opener, its assembler and what is known of its completeness.

    Attributes:
        summaries: how many of the frames were summaries.
        summary: the last summary that the source sealed; None before the first.
        ends_at_ns: ns TAI when it is erased, since a newer generation has taken over; None while
            current.
        has_begun: whether any segment of it was opened; an offline one need not.
        allotment: what its incomplete frames count against; None for nothing.
    """

    __slots__ = (
        "_assembled", "_assembled_bytes", "_first_frame", "allotment", "assembler", "ends_at_ns",
        "has_begun", "opener", "stream", "summaries", "summary",
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
        self._assembled = self._assembled_bytes = 0
        self.summaries = 0
        self.summary: Summary | None = None
        self.ends_at_ns: int | None = None
        self.has_begun = not is_live

    @property
    def frames(self) -> int:
        """Frames completed, summaries included."""
        return self.opener.frames + self._assembled

    @property
    def payload_bytes(self) -> int:
        """Bytes in the application's frames."""
        return self.opener.frame_bytes + self._assembled_bytes

    @property
    def missing_frames(self) -> int:
        """Frames known to be sealed and not complete here: lost, withheld, or still to come."""
        # A summary has the number after the last that it tells of, so it counts by itself.
        return self.opener.highest_frame + 1 - self._first_frame - self.frames

    @property
    def is_plain(self) -> bool:
        """Whether frames that come in one segment may pass by, as far as this is concerned."""
        return self.has_begun and not (self.assembler is not None and self.assembler.is_busy)

    def add(self, opened: OpenedSegment) -> bytes | None:
        """Return the payload of the frame that a segment completes, else None."""
        if self.assembler is None:
            self.assembler = FrameAssembler(self.opener.generation.parameters, self.allotment)
        payload = self.assembler.add(opened)
        if payload is not None:
            self._assembled += 1
            if opened.kind == constants.KIND_FRAME:
                self._assembled_bytes += len(payload)
            else:
                self.summaries += 1
        return payload


#: Told of a segment that was opened: whose it is, the segment, and what was in it.
Tap = Callable[[ReceivedGeneration, Buffer, OpenedSegment], None]


class _Stream:
    __slots__ = ("by_low_bits", "handle", "is_revoked")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        # In the order of their installation; the low bits of no two are the same.
        self.by_low_bits: dict[int, ReceivedGeneration] = {}
        self.is_revoked = False


class SegmentReceiver:
    """Opens the segments of many streams.

    One receiver takes segments of one header profile: compact handles are unique on their own link
    only.

    Attributes:
        refusals: segments refused before any generation was found, by reason; the others are
            counted by the openers.
        unheld: those of a known stream that were of a generation not held, by handle.
    """

    __slots__ = (
        "_first_byte",
        "_handle_mask",
        "_head_bytes",
        "_is_compact",
        "_openers",
        "_received",
        "_streams",
        "_tap",
        "refusals",
        "unheld",
    )

    def __init__(self, profile: Profile = Profile.STANDARD) -> None:
        self._is_compact = profile is Profile.COMPACT
        self._first_byte = constants.VERSION << 4 | constants.KIND_COMPACT * self._is_compact
        self._head_bytes = constants.HEADER_BYTES[profile]
        self._handle_mask = (1 << constants.HANDLE_BITS[profile]) - 1
        self._streams: dict[int, _Stream] = {}
        # The openers of all, by what the standard header holds of generation and handle; and whose.
        self._openers: dict[int, FrameOpener] = {}
        self._received: dict[FrameOpener, ReceivedGeneration] = {}
        self.refusals: Counter[str] = Counter()
        self.unheld: Counter[int] = Counter()
        self._tap: Tap | None = None

    @property
    def tap(self) -> Tap | None:
        """Who is told of every segment that was opened, as it came; None where nobody asks.

        It must not raise, nor change what the receiver holds.
        """
        return self._tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._tap = tap
        for received in self._received.values():
            received.opener.gives_frames = tap is None and received.is_plain

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
        received.opener.gives_frames = self._tap is None and received.is_plain
        self._openers[low << 32 | handle] = received.opener
        self._received[received.opener] = received
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
        del self._openers[low << 32 | stream.handle], self._received[received.opener]
        return received

    def receive(self, segments: Iterable[Buffer], now: Interval) -> list[Frame]:
        """Return the frames that a batch of segments completes.

        Any bytes are allowed; nothing is raised.

        Args:
            segments: as they came from a link.
            now: the clock reading for the batch.
        """
        if self._is_compact:
            frames, parts, strangers = self._open_compact(segments, now)
        else:
            frames, parts, strangers = open_frames(segments, self._openers, now)
        for opener, segment, part in parts:
            self._take_part(self._received[opener], segment, part, now, frames)
        for segment in strangers:
            self._refuse(segment, str(self._find(segment)))
        return frames

    def _open_compact(
        self, segments: Iterable[Buffer], now: Interval
    ) -> tuple[list[Frame], list[Part], list[Buffer]]:
        """Do as open_frames() does, for few streams at most: nothing here need be fast."""
        parts: list[Part] = []
        strangers: list[Buffer] = []
        for segment in segments:
            received = self._find(segment)
            if isinstance(received, str):
                strangers.append(segment)
                continue
            opened = received.opener.open(segment, now)
            if not isinstance(opened, Refused):
                parts.append((received.opener, segment, opened))
        return [], parts, strangers

    def _take_part(
        self,
        received: ReceivedGeneration,
        segment: Buffer,
        opened: OpenedSegment,
        now: Interval,
        frames: list[Frame],
    ) -> None:
        """Take in a segment that was opened, and add the frame that it completes."""
        if self._tap is not None:
            self._tap(received, segment, opened)
        if not received.has_begun:
            received.has_begun = True
            self._take_over(received, now)
        payload = received.add(opened)
        received.opener.gives_frames = self._tap is None and received.is_plain
        if payload is None:
            return
        if opened.kind == constants.KIND_FRAME:
            source = received.opener.source
            frames.append(Frame(source, opened.frame_number, opened.tick, payload, opened.flags))
            return
        try:
            summary = Summary.decode(payload)
        except RemoteProtocolError:
            self.refusals[errors.MALFORMED] += 1
            return
        if received.summary is None or summary.until_frame > received.summary.until_frame:
            received.summary = summary

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

    def _take_over(self, received: ReceivedGeneration, now: Interval) -> None:
        """Let those before a live generation that has begun end after the overlap."""
        if not received.opener.is_live:
            return
        held = received.stream.by_low_bits.values()
        for other in takewhile(lambda one: one is not received, held):
            if other.ends_at_ns is None:
                parameters = other.opener.generation.parameters
                other.ends_at_ns = now.latest_ns + parameters.past_ns + parameters.skew_ns

"""FrameOpener: checks a segment in the order of docs/protocol.md section 5.1, and opens it."""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidTag

from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import frame_number_base
from tickseal.native import IS_NATIVE
from tickseal.primitives import AEADS, Aead
from tickseal.streams.accepting import AcceptedTicks, Interval
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import Profile, Renewal
from tickseal.streams.windows import ReplayWindow

Buffer = bytes | bytearray | memoryview

#: Implementation: frame keys kept for the further segments of frames that come mixed.
_KEYS_KEPT = 16

_HEAD_BYTES = constants.HEADER_BYTES[Profile.STANDARD]
_FIRST_BYTE = constants.VERSION << 4
_FIRST = constants.FLAG_FIRST
_LAST = constants.FLAG_LAST
_WHOLE = _FIRST | _LAST
_FLAGS_ALL = constants.FLAGS_ALL
_EVERY_FRAME = constants.EVERY_FRAME_OF_INTERVAL
_EVERY_FRAME_8 = _EVERY_FRAME.to_bytes(8, "big")
# Generation, handle and tick lie side by side: they come as one number, and so do the compact
# profile's flags before them.
_unpack_standard = struct.Struct(">xBQIH").unpack_from
_unpack_compact = struct.Struct(">xIHB").unpack_from
_pack_nonce = struct.Struct(">QI").pack
# Half the time of OpenedSegment(...).
_new_tuple = tuple.__new__


class OpenedSegment(NamedTuple):
    """One segment whose sender, time and place are proved.

    Attributes:
        payload: its part of the frame.
        frame_number, segment_index: where that part belongs.
        tick: in which it was sealed.
        flags: FLAG_* of the header.
        kind: KIND_FRAME or KIND_SUMMARY.
    """

    payload: bytes
    frame_number: int
    segment_index: int
    tick: int
    flags: int
    kind: int


class Frame(NamedTuple):
    """One whole frame, opened.

    Attributes:
        source: the generation that it came in: stream, handle, metadata, parameters; or what was
            put in its place, see `FrameOpener.source`.
        number: frame number in its generation.
        tick: in which it was sealed.
        payload: what the source sealed.
        flags: FLAG_* of its last segment to arrive.
    """

    source: Any
    number: int
    tick: int
    payload: bytes
    flags: int


class Refused(NamedTuple):
    """A segment that was not opened, and why; reason is one of `core.errors.REASONS`."""

    reason: str


#: The answer for each reason.
REFUSED = {reason: Refused(reason) for reason in errors.REASONS}


def next_frame(highest_frame: int) -> int:
    """Return the first frame number that is expected, given the last that is not."""
    if not -1 <= highest_frame < 1 << 63:
        raise LocalProtocolError(f"highest_frame is -1..2^63-1, not {highest_frame}")
    return highest_frame + 1


class FrameOpener(AcceptedTicks):
    """Opens the segments of one generation.

    Args:
        generation: taken over; do not use it elsewhere.
        live: whether segments of now are accepted. An offline generation is not live: only
            announced ranges of ticks are.
        highest_frame: last frame number before the first expected, for a sink that joins late; -1
            from the start. Frames up to it are refused as stale.

    Attributes:
        refusals: how many segments were refused, by reason.
        opened: how many were opened.
        highest_tick: highest tick that has authenticated; -1 before the first.
        source: what each of its frames names; the generation, unless another is put there.
        gives_frames: whether open_frames() may hand out a frame that comes in one segment as such.
            It is false until somebody says so, and after each segment that is handed out singly.
        frames, frame_bytes: frames that were handed out as such, and the bytes in them.
    """

    __slots__ = (
        "_aead", "_beyond", "_compact", "_context", "_every_frame", "_first_byte",
        "_forgeries_left", "_frame_bytes", "_generation", "_handle_mask", "_hash_bytes",
        "_hash_end", "_head_bytes", "_identity", "_key_bytes", "_keys", "_known", "_last_index",
        "_live", "_lower", "_now", "_number_base", "_number_bits", "_number_mask", "_recent",
        "_replay", "_segment_bytes", "_shortest", "_span", "_steady", "_tick_base", "_tick_bits",
        "_tick_mask", "_upper", "_window", "frame_bytes", "frames", "gives_frames", "highest_tick",
        "opened", "refusals", "source",
    )  # fmt: skip

    def __init__(
        self, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> None:
        self._replay = ReplayWindow(next_frame(highest_frame) - 1)
        parameters = generation.parameters
        profile = parameters.profile
        self._context = generation.context
        self._aead = AEADS[parameters.suite]
        self._key_bytes = parameters.suite.key_bytes
        self._every_frame = parameters.renewal is Renewal.EVERY_FRAME

        self._compact = profile is Profile.COMPACT
        self._first_byte = constants.VERSION << 4 | (constants.KIND_COMPACT if self._compact else 0)
        handle_bits = constants.HANDLE_BITS[profile]
        self._handle_mask = (1 << handle_bits) - 1
        # What stands before the tick in the header: the low bits of generation and handle.
        self._identity = (
            generation.number & ((1 << constants.GENERATION_BITS[profile]) - 1)
        ) << handle_bits | generation.handle & self._handle_mask
        self._head_bytes = constants.HEADER_BYTES[profile]
        self._hash_bytes = parameters.hash_length
        self._hash_end = self._head_bytes + self._hash_bytes
        self._shortest = parameters.overhead_bytes
        self._segment_bytes = parameters.segment_bytes
        self._frame_bytes = parameters.frame_bytes
        self._last_index = parameters.segment_count - 1

        self._number_bits = constants.FRAME_BITS[profile]
        self._number_mask = (1 << self._number_bits) - 1
        self._number_base = frame_number_base(highest_frame, self._number_bits)
        # Hash and cipher of frames of which a segment has authenticated and more may come.
        self._known: dict[tuple[int, int], tuple[bytes, Aead]] = {}
        # What was found for the segment opened last, for as long as nothing else has moved: tick
        # and frame number as in the header, then whole, and what is known of its frame.
        self._recent: tuple[int, int, int, int, tuple[bytes, Aead]] | None = None
        self._forgeries_left = constants.SUITE_FORGERY_LIMIT[parameters.suite]
        self._begin_ticks(generation, live=live)
        self.highest_tick = -1
        self.refusals: Counter[str] = Counter()
        self.opened = 0
        self.source: Any = generation
        self.gives_frames = False
        self.frames = self.frame_bytes = 0

    @property
    def highest_frame(self) -> int:
        """Highest frame number that has authenticated; -1 before the first."""
        return self._replay.highest

    @property
    def keys_derived(self) -> int:
        """Frame keys derived so far, those for refused segments included."""
        return self._keys.derived

    # The checks stand in one function, in the protocol's order: calls would cost a third more time.
    def open(  # noqa: PLR0912, PLR0915
        self, segment: Buffer, now: Interval, /
    ) -> OpenedSegment | Refused:
        """Return the opened segment, or the reason why it was refused.

        Any bytes are allowed. State moves only when the segment has authenticated.

        Args:
            segment: one whole segment.
            now: the sink's clock reading; pass the same object for a batch, its window is computed
                once.
        Source: docs/protocol.md section 5.1.
        """
        if type(segment) is not bytes:
            segment = bytes(segment)
        size = len(segment)
        if size < self._head_bytes:
            return self._refuse(errors.TRUNCATED)
        kind = segment[0] ^ self._first_byte
        if kind > 1:
            return self._refuse(errors.WRONG_VERSION)
        if self._compact:
            place, number_low, index = _unpack_compact(segment)
            flags = place >> 28
            place &= 0xFFFFFFF
        else:
            flags, place, number_low, index = _unpack_standard(segment)
        identity = place >> self._tick_bits
        if identity != self._identity:
            is_stranger = (identity ^ self._identity) & self._handle_mask
            return self._refuse(errors.UNKNOWN_HANDLE if is_stranger else errors.UNKNOWN_GENERATION)
        payload_bytes = size - self._shortest
        if payload_bytes < 0:
            return self._refuse(errors.TRUNCATED)
        if payload_bytes > self._segment_bytes:
            return self._refuse(errors.OVERSIZE)
        if flags > _FLAGS_ALL or (flags & _FIRST) != (index == 0):
            return self._refuse(errors.MALFORMED)
        if flags & _LAST:
            if index and not payload_bytes:
                return self._refuse(errors.MALFORMED)
            if index * self._segment_bytes + payload_bytes > self._frame_bytes:
                return self._refuse(errors.MALFORMED)
        elif payload_bytes != self._segment_bytes or index >= self._last_index:
            return self._refuse(errors.MALFORMED)

        known: tuple[bytes, Aead] | None
        recent = self._recent
        if recent and recent[0] == place and recent[1] == number_low and now is self._now:
            _, _, tick, number, known = recent
        else:
            recent = None
            if now is not self._now:
                self._set_window(now)
            base = self._tick_base
            tick = base + ((place - base) & self._tick_mask)
            if not self._lower <= tick <= self._upper:
                return self._refuse(self._why_not(tick))
            base = self._number_base
            number = base + ((number_low - base) & self._number_mask)
            known = self._known.get((tick, number if self._every_frame else _EVERY_FRAME))
        replay = self._replay
        is_ahead = number > replay.highest
        if not is_ahead:
            seen = replay.check(number, index)
            if seen:
                return self._refuse(seen)

        nonce = _pack_nonce(number, index)
        if known:
            hashed, cipher = known
        else:
            key = self._keys.derive(tick, nonce[:8] if self._every_frame else _EVERY_FRAME_8)
            hashed = sha256(key).digest()[: self._hash_bytes]
            cipher = self._aead(key[: self._key_bytes])
        head_bytes, hash_end = self._head_bytes, self._hash_end
        if not compare_digest(segment[head_bytes:hash_end], hashed):
            return self._refuse(errors.WRONG_KEY_HASH)
        try:
            payload = cipher.decrypt(
                nonce, segment[hash_end:], segment[:head_bytes] + self._context
            )
        except InvalidTag:
            self._forgeries_left -= 1
            self._narrow()
            return self._refuse(errors.FORGED)

        # All checks have passed: from here on, and only here, state moves.
        replay.commit(number, index)
        self.opened += 1
        if recent:
            return _new_tuple(OpenedSegment, (payload, number, index, tick, flags, kind))
        # The base is 0 in the first half of the low bits' numbers.
        if is_ahead and number > self._number_mask // 2:
            self._number_base = frame_number_base(number, self._number_bits)
        self._recent = None
        if flags & _WHOLE != _WHOLE or not self._every_frame:
            if not known:
                known = (hashed, cipher)
                if len(self._known) >= _KEYS_KEPT:
                    del self._known[next(iter(self._known))]
                self._known[tick, number if self._every_frame else _EVERY_FRAME] = known
            self._recent = (place, number_low, tick, number, known)
        if tick > self.highest_tick:
            self.highest_tick = tick
            self._move_to(tick)
        return _new_tuple(OpenedSegment, (payload, number, index, tick, flags, kind))

    def clear(self) -> None:
        """Erase the secrets; every segment is refused from now on."""
        self._keys.clear()
        self._known.clear()
        self._narrow()

    def _refuse(self, reason: str) -> Refused:
        self.refusals[reason] += 1
        return REFUSED[reason]

    def _narrow(self) -> None:
        super()._narrow()
        self._recent = None

    def _drop_unheld(self) -> None:
        keys = self._keys
        for slot in [
            kept for kept in self._known if not keys.first_tick <= kept[0] < keys.end_tick
        ]:
            del self._known[slot]
        super()._drop_unheld()


#: A segment that was opened, for whoever makes frames of such: by whom, as it came, its content.
Part = tuple[FrameOpener, Buffer, OpenedSegment]


def place_of(segment: Buffer) -> int:
    """Return what stands in a standard header from byte 2 on: generation and handle, in one."""
    return int.from_bytes(segment[2:7], "big")


def open_frames(
    segments: Iterable[Buffer], openers: Mapping[int, FrameOpener], now: Interval, /
) -> tuple[list[Frame], list[Part], list[Buffer]]:
    """Open segments of many generations, each with its opener, in order.

    What is refused is counted by its opener, as ever.

    Args:
        segments: with the standard header, or anything else.
        openers: by place_of().
        now: the sink's clock reading.
    Returns:
        Frames of the application that came in one segment, of openers that give them; what else
        was opened; and all that has no opener here, of which nothing is known but that.
    """
    frames: list[Frame] = []
    parts: list[Part] = []
    strangers: list[Buffer] = []
    for segment in segments:
        opener = openers.get(place_of(segment))
        if opener is None or len(segment) < _HEAD_BYTES or segment[0] ^ _FIRST_BYTE > 1:
            strangers.append(segment)
            continue
        opened = opener.open(segment, now)
        if isinstance(opened, Refused):
            continue
        payload, number, _, tick, flags, kind = opened
        if opener.gives_frames and flags & _WHOLE == _WHOLE and kind == constants.KIND_FRAME:
            opener.frames += 1
            opener.frame_bytes += len(payload)
            frames.append(_new_tuple(Frame, (opener.source, number, tick, payload, flags)))
        else:
            opener.gives_frames = False  # what follows waits for what is made of this
            parts.append((opener, segment, opened))
    return frames, parts, strangers


#: The ones without native code; they stay complete.
PureFrameOpener = FrameOpener
pure_open_frames = open_frames

if not TYPE_CHECKING and IS_NATIVE:
    from tickseal.native.hotpath import open_frames
    from tickseal.native.opening import NativeFrameOpener as FrameOpener

"""FrameOpener: checks a segment in the protocol's order and opens it (docs/protocol.md section 5.1)."""

import struct
from collections import Counter
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag

from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import rebuild_frame_number, tick_window
from tickseal.framekeys import FrameKeys
from tickseal.generation import Generation
from tickseal.parameters import Renewal
from tickseal.primitives import Aead, aead
from tickseal.windows import ReplayWindow

Buffer = bytes | bytearray | memoryview

#: Implementation: frame keys kept for the further segments of frames that come mixed.
_KEYS_KEPT = 16

_WHOLE = constants.FLAG_FIRST | constants.FLAG_LAST
_unpack_standard = struct.Struct(">xBBIBHIH").unpack_from
_unpack_compact = struct.Struct(">xBBHHB").unpack_from


class Interval(Protocol):
    """What is asked of a clock reading: bounds of now in ns TAI (`tickseal.clock.ClockInterval` is one)."""

    @property
    def earliest_ns(self) -> int:
        """Now is not before this instant."""

    @property
    def latest_ns(self) -> int:
        """Now is not after this instant."""


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


class Refused(NamedTuple):
    """A segment that was not opened, and why; reason is one of `core.errors.REASONS`."""

    reason: str


_REFUSED = {reason: Refused(reason) for reason in errors.REASONS}


class FrameOpener:
    """Opens the segments of one generation.

    Args:
        generation: taken over; do not use it elsewhere.
        live: whether segments of now are accepted. An offline generation is not live: only announced ranges
            of ticks are.
        highest_frame: last frame number before the first expected, for a sink that joins late; -1 from the start.

    Attributes:
        refusals: how many segments were refused, by reason.
        opened: how many were opened.
        highest_tick: highest tick that has authenticated; -1 before the first.
    """

    __slots__ = (
        "_aead_bytes", "_beyond", "_compact", "_context", "_every_frame", "_first_byte", "_forgeries_left",
        "_frame_bits", "_frame_bytes", "_generation", "_generation_low", "_handle_low", "_hash_end", "_head_bytes", "_keys",
        "_known", "_live", "_longest", "_lower", "_now", "_replay", "_segment_bytes", "_segment_count", "_shortest", "_span",
        "_suite", "_tick_base", "_tick_mask", "_upper", "highest_tick", "opened", "refusals",
    )  # fmt: skip

    def __init__(
        self, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> None:
        parameters = generation.parameters
        profile = int(parameters.profile)
        self._generation = generation
        self._keys = FrameKeys(generation)
        self._context = generation.context
        self._compact = profile == constants.COMPACT
        self._first_byte = constants.VERSION << 4 | (constants.KIND_COMPACT if self._compact else 0)
        self._handle_low = generation.handle & ((1 << constants.HANDLE_BITS[profile]) - 1)
        self._generation_low = generation.number & ((1 << constants.GENERATION_BITS[profile]) - 1)
        self._tick_mask = (1 << constants.TICK_BITS[profile]) - 1
        self._frame_bits = constants.FRAME_BITS[profile]
        self._head_bytes = constants.HEADER_BYTES[profile]
        self._hash_end = self._head_bytes + parameters.hash_length
        self._shortest = self._hash_end + parameters.suite.tag_bytes
        self._longest = self._shortest + parameters.segment_bytes
        self._segment_count = parameters.segment_count
        self._segment_bytes = parameters.segment_bytes
        self._frame_bytes = parameters.frame_bytes
        self._suite = int(parameters.suite)
        self._aead_bytes = parameters.suite.key_bytes
        self._every_frame = parameters.renewal is Renewal.EVERY_FRAME
        self._span = -(-(parameters.past_ns + parameters.skew_ns) // parameters.interval_ns)
        self._live = live
        self._now: Interval | None = None
        self._lower, self._upper, self._tick_base = 0, -1, 0
        # Why a tick above the window is refused: backfill has no future.
        self._beyond = errors.EARLY
        self._replay = ReplayWindow()
        self._replay.highest = highest_frame
        # Hash and cipher of frames of which a segment has authenticated and more may come.
        self._known: dict[tuple[int, int], tuple[bytes, Aead]] = {}
        self._forgeries_left = constants.SUITE_FORGERY_LIMIT[self._suite]
        self.highest_tick = -1
        self.refusals: Counter[str] = Counter()
        self.opened = 0

    @property
    def generation(self) -> Generation:
        """The generation that this opener opens."""
        return self._generation

    @property
    def is_live(self) -> bool:
        """Whether segments of now are accepted; false for good once a range was announced."""
        return self._live

    @property
    def highest_frame(self) -> int:
        """Highest frame number that has authenticated; -1 before the first."""
        return self._replay.highest

    @property
    def keys_derived(self) -> int:
        """Frame keys derived so far, those for refused segments included."""
        return self._keys.derived

    def announce(self, from_tick: int, until_tick: int) -> None:
        """Accept the ticks [from, until), which the source announced over the control channel.

        Replaces the range announced before, and ends the live window for good: what is backfilled is not live.
        What lies before from_tick is erased.

        Raises:
            LocalProtocolError: the range is empty or wider than the header can tell apart.
        """
        widest = (self._tick_mask + 1) // 2
        if not 0 <= from_tick < until_tick <= from_tick + widest:
            raise LocalProtocolError(
                f"a backfill range spans 1 to {widest} ticks, not {from_tick} to {until_tick}"
            )
        self._live = False
        self._lower, self._upper, self._tick_base = from_tick, until_tick - 1, from_tick
        self._beyond = errors.LATE
        self._keys.puncture(from_tick)
        self._forget_keys_before(from_tick)

    def open(self, segment: Buffer, now: Interval) -> OpenedSegment | Refused:
        """Return the opened segment, or the reason why it was refused.

        Any bytes are allowed. State moves only when the segment has authenticated.

        Args:
            segment: one whole segment.
            now: the sink's clock reading; pass the same object for a batch, its window is computed once.
        Source: docs/protocol.md section 5.1.
        """
        size = len(segment)
        if size < self._head_bytes:
            return self._refuse(errors.TRUNCATED)
        kind = segment[0] ^ self._first_byte
        if kind > 1:
            return self._refuse(errors.WRONG_VERSION)
        if self._compact:
            flags, handle, tick_low, number_low, index = _unpack_compact(segment)
            generation, flags = flags & 15, flags >> 4
        else:
            flags, generation, handle, high, low, number_low, index = _unpack_standard(segment)
            tick_low = high << 16 | low
        if handle != self._handle_low:
            return self._refuse(errors.UNKNOWN_HANDLE)
        if generation != self._generation_low:
            return self._refuse(errors.UNKNOWN_GENERATION)
        if size < self._shortest:
            return self._refuse(errors.TRUNCATED)
        if size > self._longest:
            return self._refuse(errors.OVERSIZE)
        if (
            flags > constants.FLAGS_ALL
            or (flags & constants.FLAG_FIRST) != (index == 0)
            or (not flags & constants.FLAG_LAST and size != self._longest)
            or size - self._shortest > self._frame_bytes
            or (flags & _WHOLE != _WHOLE and not self._is_in_frame(index, size, flags))
        ):
            return self._refuse(errors.MALFORMED)

        if now is not self._now:
            self._set_window(now)
        base = self._tick_base
        tick = base + ((tick_low - base) & self._tick_mask)
        if tick > self._upper:
            return self._refuse(self._beyond)
        if tick < self._lower:
            return self._refuse(errors.LATE)
        keys = self._keys
        if tick < keys.first_tick:
            return self._refuse(errors.LATE)
        if tick >= keys.end_tick or not self._forgeries_left:
            return self._refuse(errors.EXHAUSTED)
        replay = self._replay
        number = rebuild_frame_number(number_low, replay.highest, self._frame_bits)
        seen = replay.check(number, index)
        if seen:
            return self._refuse(seen)

        slot = (tick, number if self._every_frame else constants.EVERY_FRAME_OF_INTERVAL)
        known = self._known.get(slot)
        if known is None:
            key = keys.derive(*slot)
            hashed = sha256(key).digest()
        else:
            hashed, cipher = known
        head_bytes, hash_end = self._head_bytes, self._hash_end
        if not compare_digest(segment[head_bytes:hash_end], hashed[: hash_end - head_bytes]):
            return self._refuse(errors.WRONG_KEY_HASH)
        if known is None:
            cipher = aead(self._suite, key[: self._aead_bytes])
        try:
            payload = cipher.decrypt(
                number.to_bytes(8, "big") + index.to_bytes(4, "big"),
                segment[hash_end:],
                bytes(segment[:head_bytes]) + self._context,
            )
        except InvalidTag:
            self._forgeries_left -= 1
            return self._refuse(errors.FORGED)

        # All checks have passed: from here on, and only here, state moves.
        replay.commit(number, index)
        self.opened += 1
        if tick > self.highest_tick:
            self._move_to(tick)
        if known is None and (flags & _WHOLE != _WHOLE or not self._every_frame):
            if len(self._known) >= _KEYS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[slot] = (hashed, cipher)
        return OpenedSegment(payload, number, index, tick, flags, kind)

    def clear(self) -> None:
        """Erase the secrets; every segment is refused from now on."""
        self._keys.clear()
        self._known.clear()

    def __repr__(self) -> str:
        return f"<FrameOpener of {self._generation!r}, highest frame {self.highest_frame}>"

    def _refuse(self, reason: str) -> Refused:
        self.refusals[reason] += 1
        return _REFUSED[reason]

    def _is_in_frame(self, index: int, size: int, flags: int) -> bool:
        payload_bytes = size - self._shortest
        if index * self._segment_bytes + payload_bytes > self._frame_bytes:
            return False
        if flags & constants.FLAG_LAST:
            return payload_bytes > 0
        return index < self._segment_count - 1

    def _set_window(self, now: Interval) -> None:
        self._now = now
        if not self._live:
            return
        parameters = self._generation.parameters
        self._lower, self._upper = tick_window(
            now.earliest_ns,
            now.latest_ns,
            parameters.t0_ns,
            parameters.interval_ns,
            parameters.past_ns,
            parameters.skew_ns,
            self._tick_mask.bit_length(),
        )
        if self._upper < self._lower:
            # Before t0: every candidate lies beyond the window.
            self._tick_base = 0
        else:
            self._tick_base = (self._lower + self._upper) // 2 - (self._tick_mask + 1) // 2

    def _move_to(self, tick: int) -> None:
        self.highest_tick = tick
        if self._live:
            oldest = tick - self._span
            self._keys.puncture(oldest)
            self._forget_keys_before(oldest)

    def _forget_keys_before(self, tick: int) -> None:
        for behind in [slot for slot in self._known if slot[0] < tick]:
            del self._known[behind]

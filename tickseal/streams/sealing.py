"""FrameSealer: `core.sealer` for the hot path, with prepared hash states, and proved equal."""

from hashlib import sha256
from typing import TYPE_CHECKING

from tickseal.core import constants
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.header import SegmentHeader
from tickseal.core.keyschedule import frame_key_message
from tickseal.forks import clear_in_child
from tickseal.native import IS_NATIVE
from tickseal.primitives import AEADS, Aead, HashState, hmac_states
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import Profile, Renewal

Buffer = bytes | bytearray | memoryview

_CARRIED_FLAGS = constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER
_WHOLE = constants.FLAG_FIRST | constants.FLAG_LAST
_NUMBERS_END = constants.EVERY_FRAME_OF_INTERVAL


class FrameSealer:
    """Seals the frames of one generation, each under its own key; numbers them itself.

    Since the sealer owns both the frame number and the walker, no (key, nonce) can come twice from
    it. A call that raises has sealed nothing and moved nothing. It is not thread-safe. A process
    that is forked finds it cleared.

    Args:
        generation: taken over; do not use it elsewhere.
    """

    __slots__ = (
        "__weakref__", "_aead", "_cipher", "_context", "_epoch", "_every_frame", "_flags",
        "_frame_bytes", "_generation", "_hash", "_hash_bytes", "_head", "_inner", "_key_bytes",
        "_kind", "_number", "_number_bytes", "_outer", "_pad", "_segment_bytes", "_tail", "_tick",
        "_unmarked", "keys_derived",
    )  # fmt: skip

    # Set when the first tick begins, before which nothing reads them: HMAC's two states under the
    # epoch secret; the first of them once it has taken in the tick; with one key an interval, that.
    _pad: HashState
    _outer: HashState
    _inner: HashState
    _hash: bytes
    _cipher: Aead

    def __init__(self, generation: Generation) -> None:
        parameters = generation.parameters
        profile = parameters.profile
        self._generation = generation
        self._context = generation.context
        self._every_frame = parameters.renewal is Renewal.EVERY_FRAME
        self._aead = AEADS[parameters.suite]
        self._key_bytes = parameters.suite.key_bytes
        self._hash_bytes = parameters.hash_length
        self._segment_bytes = parameters.segment_bytes
        self._frame_bytes = parameters.frame_bytes
        self._number_bytes = -(constants.FRAME_BITS[profile] // 8)
        self._tail = bytes(constants.SEGMENT_INDEX_BITS[profile] // 8)
        # Flags that a whole frame's first, middle and last segment do not bear, as they lie in the
        # header's second byte.
        self._unmarked = tuple(
            flags << (4 if profile is Profile.COMPACT else 0)
            for flags in (constants.FLAG_LAST, _WHOLE, constants.FLAG_FIRST)
        )
        self._epoch = -1
        self._tick: int | None = None
        # What the header's first bytes, up to the frame number, were made for.
        self._flags = self._kind = -1
        self._head = b""
        self._number = 0
        #: Frame keys derived so far.
        self.keys_derived = 0
        clear_in_child(self)

    @property
    def generation(self) -> Generation:
        """The generation that this sealer seals for."""
        return self._generation

    @property
    def frame_number(self) -> int:
        """The number that the next frame gets; the count of frames sealed so far."""
        return self._number

    @property
    def tick(self) -> int:
        """Tick of the last frame; -1 before the first."""
        return -1 if self._tick is None else self._tick

    def seal(
        self, payload: Buffer, tick: int, flags: int = 0, kind: int = constants.KIND_FRAME, /
    ) -> list[bytes]:
        """Return the segments of one frame, in order.

        Args:
            payload: 0..frame_bytes bytes.
            tick: the time component, not below that of the frame before.
            flags: FLAG_BACKFILL and FLAG_HOLDOVER as they apply.
            kind: KIND_FRAME or KIND_SUMMARY.
        Raises:
            LocalProtocolError: the tick goes back, or the payload is too large.
            ExhaustedError: the generation has no such tick; open the next one.
        Source: docs/protocol.md section 5.
        """
        if type(payload) is not bytes:
            payload = memoryview(payload).cast("B")
        size = len(payload)
        if size > self._frame_bytes:
            raise LocalProtocolError(
                f"a frame of {size} bytes is larger than frame_bytes = {self._frame_bytes}"
            )
        if tick != self._tick:
            self._advance(tick)
        if flags != self._flags or kind != self._kind:
            self._make_head(tick, flags, kind)

        # The number moves first: a failure below loses one, and never repeats one.
        number = self._number
        if number >= _NUMBERS_END:
            raise ExhaustedError("frame numbers are used up; open the next generation")
        self._number = number + 1
        number_8 = number.to_bytes(8, "big")
        if self._every_frame:
            inner = self._inner.copy()
            inner.update(number_8 + b"\x01")
            outer = self._outer.copy()
            outer.update(inner.digest())
            key = outer.digest()
            self.keys_derived += 1
            hashed = sha256(key).digest()[: self._hash_bytes]
            cipher = self._aead(key[: self._key_bytes])
        else:
            hashed, cipher = self._hash, self._cipher

        head = self._head + number_8[self._number_bytes :]
        if size > self._segment_bytes:
            return self._seal_segments(payload, cipher, head, hashed, number_8)
        head += self._tail
        return [
            head + hashed + cipher.encrypt(number_8 + b"\0\0\0\0", payload, head + self._context)
        ]

    def clear(self) -> None:
        """Erase the secrets; nothing can be sealed any more."""
        self._generation.clear()
        self._epoch = -1
        self._tick = None
        for name in ("_cipher", "_inner", "_outer", "_pad"):
            if hasattr(self, name):
                delattr(self, name)

    def __repr__(self) -> str:
        return f"<FrameSealer of {self._generation!r}, next frame {self._number}>"

    def _advance(self, tick: int) -> None:
        if tick < max(self.tick, 0):
            raise LocalProtocolError(f"tick {tick} is before tick {self.tick} of the frame before")
        if tick >> 64:
            raise ExhaustedError(f"tick {tick} is beyond every generation; is the clock set?")
        epoch = self._generation.epoch(tick)
        if epoch != self._epoch:
            self._pad, self._outer = hmac_states(self._generation.walker.take(epoch))
            self._epoch = epoch
        self._tick = tick
        self._kind = -1
        if self._every_frame:
            self._inner = self._pad.copy()
            self._inner.update(frame_key_message(tick, 0)[:-9])
            return
        inner, outer = self._pad.copy(), self._outer.copy()
        inner.update(frame_key_message(tick, constants.EVERY_FRAME_OF_INTERVAL))
        outer.update(inner.digest())
        key = outer.digest()
        self.keys_derived += 1
        self._hash = sha256(key).digest()[: self._hash_bytes]
        self._cipher = self._aead(key[: self._key_bytes])

    def _make_head(self, tick: int, flags: int, kind: int) -> None:
        generation = self._generation
        header = SegmentHeader(
            generation.parameters.profile,
            kind,
            flags & _CARRIED_FLAGS | _WHOLE,
            generation=generation.number,
            handle=generation.handle,
            tick=tick,
            frame_number=0,
            segment_index=0,
        ).pack()
        self._head = header[: self._number_bytes - len(self._tail)]
        self._flags, self._kind = flags, kind

    def _seal_segments(
        self, payload: bytes | memoryview, cipher: Aead, head: bytes, hashed: bytes, number_8: bytes
    ) -> list[bytes]:
        """Return the two or more segments of a frame; head ends before the segment index."""
        context, step, index_bytes = self._context, self._segment_bytes, -len(self._tail)
        start, marks, rest = head[:1], head[1], head[2:]
        first, middle, final = (start + bytes((marks ^ bits,)) + rest for bits in self._unmarked)
        heads = [first, *[middle] * ((len(payload) - 1) // step - 1), final]
        view = memoryview(payload)
        encrypt = cipher.encrypt
        segments: list[bytes] = []
        for index, unnumbered in enumerate(heads):
            index_4 = index.to_bytes(4, "big")
            header = unnumbered + index_4[index_bytes:]
            part = view[index * step : (index + 1) * step]
            segments.append(header + hashed + encrypt(number_8 + index_4, part, header + context))
        return segments


#: The one without native code; it stays complete.
PureFrameSealer = FrameSealer

if not TYPE_CHECKING and IS_NATIVE:
    from tickseal.native.sealing import NativeFrameSealer as FrameSealer

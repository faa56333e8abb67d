"""FrameSealer: `core.sealer` for the hot path, with prepared hash states; proved equal to it by a test."""

from hashlib import sha256

from tickseal.core import constants
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.header import SegmentHeader
from tickseal.core.keyschedule import frame_key_message
from tickseal.generation import Generation
from tickseal.parameters import Renewal
from tickseal.primitives import Aead, HashState, aead, hmac_states

Buffer = bytes | bytearray | memoryview

_CARRIED_FLAGS = constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER
_WHOLE = constants.FLAG_FIRST | constants.FLAG_LAST


class FrameSealer:
    """Seals the frames of one generation, each under its own key; numbers them itself.

    Since the sealer owns both the frame number and the walker, no (key, nonce) can come twice from it. It is
    not thread-safe.

    Args:
        generation: taken over; do not use it elsewhere.
    """

    __slots__ = (
        "_aead", "_context", "_epoch", "_every_frame", "_flags", "_frame_bytes", "_frame_state", "_generation",
        "_hash", "_hash_bytes", "_head", "_inner", "_key_bytes", "_number_bytes", "_outer", "_segment_bytes",
        "_suite", "_tail", "_tick", "frame_number", "keys_derived",
    )  # fmt: skip

    # Set when the first tick begins, before which nothing reads them.
    _aead: Aead
    _frame_state: HashState
    _hash: bytes
    _inner: HashState
    _outer: HashState

    def __init__(self, generation: Generation) -> None:
        parameters = generation.parameters
        self._generation = generation
        self._context = generation.context
        self._every_frame = parameters.renewal is Renewal.EVERY_FRAME
        self._suite = int(parameters.suite)
        self._key_bytes = parameters.suite.key_bytes
        self._hash_bytes = parameters.hash_length
        self._segment_bytes = parameters.segment_bytes
        self._frame_bytes = parameters.frame_bytes
        profile = parameters.profile
        self._number_bytes = -(constants.FRAME_BITS[profile] // 8)
        self._tail = bytes(constants.SEGMENT_INDEX_BITS[profile] // 8)
        self._epoch = -1
        self._tick = -1
        self._flags = -1
        self._head = b""
        #: The number that the next frame gets; the count of frames sealed so far.
        self.frame_number = 0
        #: Frame keys derived so far.
        self.keys_derived = 0

    @property
    def generation(self) -> Generation:
        """The generation that this sealer seals for."""
        return self._generation

    @property
    def tick(self) -> int:
        """Tick of the last frame; -1 before the first."""
        return self._tick

    def seal(
        self, payload: Buffer, tick: int, flags: int = 0, kind: int = constants.KIND_FRAME
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
        if tick != self._tick:
            self._advance(tick)
        size = len(payload)
        if size > self._segment_bytes or kind:
            return self._seal_general(payload, flags, kind)
        if flags != self._flags:
            self._set_flags(flags)

        # The number moves first: a failure below loses one, and never repeats one.
        number = self.frame_number
        self.frame_number = number + 1
        number_8 = number.to_bytes(8, "big")
        if self._every_frame:
            state = self._frame_state.copy()
            state.update(number_8 + b"\x01")
            outer = self._outer.copy()
            outer.update(state.digest())
            key = outer.digest()
            self.keys_derived += 1
            head = self._head + number_8[self._number_bytes :] + self._tail
            return [
                head
                + sha256(key).digest()[: self._hash_bytes]
                + aead(self._suite, key[: self._key_bytes]).encrypt(
                    number_8 + b"\0\0\0\0", payload, head + self._context
                )
            ]
        head = self._head + number_8[self._number_bytes :] + self._tail
        return [
            head
            + self._hash
            + self._aead.encrypt(number_8 + b"\0\0\0\0", payload, head + self._context)
        ]

    def clear(self) -> None:
        """Erase the secrets; nothing can be sealed any more."""
        self._generation.clear()
        self._epoch = self._tick = 1 << 64
        for name in ("_aead", "_frame_state", "_inner", "_outer"):
            if hasattr(self, name):
                delattr(self, name)

    def __repr__(self) -> str:
        return f"<FrameSealer of {self._generation!r}, next frame {self.frame_number}>"

    def _advance(self, tick: int) -> None:
        if tick < self._tick:
            raise LocalProtocolError(f"tick {tick} is before tick {self._tick} of the frame before")
        if tick < 0 or tick >= 1 << 64:
            raise ExhaustedError(f"tick {tick} is not of this generation; open the next one")
        epoch = self._generation.epoch(tick)
        if epoch != self._epoch:
            self._inner, self._outer = hmac_states(self._generation.walker.take(epoch))
            self._epoch = epoch
        self._tick = tick
        self._flags = -1
        if self._every_frame:
            self._frame_state = self._inner.copy()
            self._frame_state.update(frame_key_message(tick, 0)[:-9])
        else:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(frame_key_message(tick, constants.EVERY_FRAME_OF_INTERVAL))
            outer.update(inner.digest())
            key = outer.digest()
            self.keys_derived += 1
            self._hash = sha256(key).digest()[: self._hash_bytes]
            self._aead = aead(self._suite, key[: self._key_bytes])

    def _set_flags(self, flags: int) -> None:
        self._head = self._header(0, flags & _CARRIED_FLAGS | _WHOLE, constants.KIND_FRAME)[
            : self._number_bytes - len(self._tail)
        ]
        self._flags = flags

    def _header(self, index: int, flags: int, kind: int) -> bytes:
        generation = self._generation
        return SegmentHeader(
            generation.parameters.profile,
            kind,
            flags,
            generation.number,
            generation.handle,
            self._tick,
            self.frame_number,
            index,
        ).pack()

    def _seal_general(self, payload: Buffer, flags: int, kind: int) -> list[bytes]:
        size = len(payload)
        if size > self._frame_bytes:
            raise LocalProtocolError(
                f"a frame of {size} bytes is larger than frame_bytes = {self._frame_bytes}"
            )
        number = self.frame_number
        number_8 = number.to_bytes(8, "big")
        if self._every_frame:
            state, outer = self._frame_state.copy(), self._outer.copy()
            state.update(number_8 + b"\x01")
            outer.update(state.digest())
            key = outer.digest()
            self.keys_derived += 1
            hashed = sha256(key).digest()[: self._hash_bytes]
            cipher = aead(self._suite, key[: self._key_bytes])
        else:
            hashed, cipher = self._hash, self._aead
        step = self._segment_bytes
        last = max(0, (size - 1) // step)
        carried = flags & _CARRIED_FLAGS
        index_bytes = len(self._tail)
        first_head = self._header(0, carried | constants.FLAG_FIRST | (0 if last else 2), kind)
        middle = self._header(0, carried, kind)[:-index_bytes]
        final = self._header(0, carried | constants.FLAG_LAST, kind)[:-index_bytes]
        self.frame_number = number + 1
        encrypt, context = cipher.encrypt, self._context
        view = memoryview(payload)
        segments = []
        for index in range(last + 1):
            if index == 0:
                head = first_head
            elif index < last:
                head = middle + index.to_bytes(index_bytes, "big")
            else:
                head = final + index.to_bytes(index_bytes, "big")
            segments.append(
                head
                + hashed
                + encrypt(
                    number_8 + index.to_bytes(4, "big"),
                    view[index * step : (index + 1) * step],
                    head + context,
                )
            )
        return segments

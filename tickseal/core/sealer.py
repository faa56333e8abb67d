"""The reference sealer: a payload to segments, plainly. The microcontroller runs this one."""

from tickseal.core import constants, keyschedule
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.header import SegmentHeader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.keytree import Walker
    from tickseal.core.primitives import Primitives


class Sealer:
    """Seals the frames of one generation; counts them itself, so that no (key, nonce) can repeat.

    Args:
        context: C, 32 bytes.
        walker: of this generation; the sealer owns it from now on.
        parameters: the parameter map of docs/protocol.md section 2.2, by its wire keys.
    """

    __slots__ = (
        "_context", "_depth", "_epoch", "_epoch_bits", "_epoch_secret", "_frame_bytes",
        "_generation", "_handle", "_hash_length", "_primitives", "_profile", "_renew_every_frame",
        "_segment_bytes", "_suite", "_tick", "_walker", "frame_number",
    )  # fmt: skip

    def __init__(
        self,
        primitives: "Primitives",
        context: bytes,
        walker: "Walker",
        parameters: "dict[str, int]",
        handle: int,
    ) -> None:
        self._primitives = primitives
        self._context = context
        self._walker = walker
        self._handle = handle
        self._generation = parameters["generation"]
        self._suite = parameters["suite"]
        self._profile = parameters["profile"]
        self._depth = parameters["depth"]
        self._epoch_bits = parameters["epoch_bits"]
        self._hash_length = parameters["hash"]
        self._segment_bytes = parameters["segment_bytes"]
        self._frame_bytes = parameters["frame_bytes"]
        self._renew_every_frame = parameters["renewal"] == constants.RENEW_EVERY_FRAME
        self._epoch = -1
        self._epoch_secret = b""
        self._tick = -1
        #: The number that the next frame will get; also the count of frames sealed.
        self.frame_number = 0

    def seal(
        self, payload: bytes, tick: int, flags: int = 0, kind: int = constants.KIND_FRAME
    ) -> "list[bytes]":
        """Return the segments of one frame.

        Args:
            payload: 0..frame_bytes bytes.
            tick: not below that of the frame before.
            flags: FLAG_BACKFILL and FLAG_HOLDOVER as they apply.
            kind: KIND_FRAME or KIND_SUMMARY.
        Raises:
            LocalProtocolError: tick goes back, or the payload is too large.
            ExhaustedError: the generation has no such tick or no further frame number.
        """
        if len(payload) > self._frame_bytes:
            raise LocalProtocolError(
                "a frame of %d bytes is larger than frame_bytes = %d"
                % (len(payload), self._frame_bytes)
            )
        if tick < self._tick or tick < 0:
            raise LocalProtocolError(
                "tick %d is before tick %d of the frame before" % (tick, self._tick)
            )
        number = self.frame_number
        if tick >> 64 or number >= constants.EVERY_FRAME_OF_INTERVAL:
            raise ExhaustedError("ticks or frame numbers are used up; open the next generation")
        epoch = tick >> self._epoch_bits if self._depth else 0
        if epoch != self._epoch:
            self._epoch_secret = self._walker.take(epoch)
            self._epoch = epoch
        # Numbers move before anything is sealed: a failure below loses one, and never repeats one.
        self.frame_number = number + 1
        self._tick = tick

        primitives = self._primitives
        key = keyschedule.frame_key(
            primitives,
            self._epoch_secret,
            tick,
            number if self._renew_every_frame else constants.EVERY_FRAME_OF_INTERVAL,
        )
        hashed = keyschedule.key_hash(primitives, key, self._hash_length)
        aead_key = key[: constants.SUITE_KEY_BYTES[self._suite]]
        size = self._segment_bytes
        last = max(0, (len(payload) - 1) // size)
        segments: "list[bytes]" = []
        for index in range(last + 1):
            marks = flags & (constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER)
            if index == 0:
                marks |= constants.FLAG_FIRST
            if index == last:
                marks |= constants.FLAG_LAST
            header = SegmentHeader(
                self._profile,
                kind,
                marks,
                generation=self._generation,
                handle=self._handle,
                tick=tick,
                frame_number=number,
                segment_index=index,
            ).pack()
            segments.append(
                header
                + hashed
                + primitives.seal(
                    self._suite,
                    aead_key,
                    keyschedule.nonce(number, index),
                    header + self._context,
                    payload[index * size : (index + 1) * size],
                )
            )
        return segments

    def clear(self) -> None:
        """Erase the secrets; nothing can be sealed any more."""
        self._walker.clear()
        self._epoch_secret = b""
        self._epoch = -1

    def __repr__(self) -> str:
        return "<Sealer of handle %d, next frame %d>" % (self._handle, self.frame_number)

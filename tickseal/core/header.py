"""The segment header, packed and unpacked, in both profiles (section 5)."""

import struct

from tickseal.core import constants


class SegmentHeader:
    """The fields of a header as they are on the wire: low bits only.

    Attributes:
        kind: KIND_FRAME or KIND_SUMMARY.
        profile: STANDARD or COMPACT.
        flags: FLAG_* or'ed.
        generation, handle, tick, frame_number: low bits, as many as the profile carries.
        segment_index: whole.
    """

    __slots__ = (
        "flags", "frame_number", "generation", "handle", "kind", "profile", "segment_index", "tick",
    )  # fmt: skip

    def __init__(
        self,
        profile: int,
        kind: int,
        flags: int,
        *,
        generation: int,
        handle: int,
        tick: int,
        frame_number: int,
        segment_index: int,
    ) -> None:
        self.profile = profile
        self.kind = kind
        self.flags = flags
        self.generation = generation & ((1 << constants.GENERATION_BITS[profile]) - 1)
        self.handle = handle & ((1 << constants.HANDLE_BITS[profile]) - 1)
        self.tick = tick & ((1 << constants.TICK_BITS[profile]) - 1)
        self.frame_number = frame_number & ((1 << constants.FRAME_BITS[profile]) - 1)
        self.segment_index = segment_index

    def pack(self) -> bytes:
        """Return the header: 16 bytes standard, 8 compact."""
        if self.profile == constants.STANDARD:
            return struct.pack(
                ">BBBIBHIH",
                constants.VERSION << 4 | self.kind,
                self.flags,
                self.generation,
                self.handle,
                self.tick >> 16,
                self.tick & 0xFFFF,
                self.frame_number,
                self.segment_index,
            )
        return struct.pack(
            ">BBBHHB",
            constants.VERSION << 4 | constants.KIND_COMPACT | self.kind,
            self.flags << 4 | self.generation,
            self.handle,
            self.tick,
            self.frame_number,
            self.segment_index,
        )


def unpack(segment: bytes) -> "SegmentHeader | None":
    """Return the header at the head of a segment, or None where it is no header of this version."""
    size = len(segment)
    if size < 8:
        return None
    first = segment[0]
    if first >> 4 != constants.VERSION or first & 0x06:
        return None
    if not first & constants.KIND_COMPACT:
        if size < 16:
            return None
        _, flags, generation, handle, high, low, number, index = struct.unpack(
            ">BBBIBHIH", segment[:16]
        )
        return SegmentHeader(
            constants.STANDARD,
            first & 1,
            flags,
            generation=generation,
            handle=handle,
            tick=high << 16 | low,
            frame_number=number,
            segment_index=index,
        )
    _, mixed, handle, tick, number, index = struct.unpack(">BBBHHB", segment[:8])
    return SegmentHeader(
        constants.COMPACT,
        first & 1,
        mixed >> 4,
        generation=mixed & 15,
        handle=handle,
        tick=tick,
        frame_number=number,
        segment_index=index,
    )

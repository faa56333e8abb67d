"""The sealed summary: by it loss is told from withholding (docs/protocol.md section 5.3)."""

from dataclasses import dataclass

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

_U64 = (1 << 64) - 1
#: More than any summary has; a frame may be as large as the stream's frame_bytes.
_BYTES_MOST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was sealed in a generation before this summary.

    Args:
        first_frame, until_frame: frame numbers [first, until).
        from_tick, until_tick: ticks [from, until), empty ones included.
        is_final: nothing follows in this generation.
    """

    first_frame: int = 0
    until_frame: int
    from_tick: int
    until_tick: int
    is_final: bool = False

    def __post_init__(self) -> None:
        """Check the order of the numbers."""
        if not 0 <= self.first_frame <= self.until_frame <= _U64:
            raise LocalProtocolError("a summary's frames must be in order")
        if not 0 <= self.from_tick <= self.until_tick <= _U64:
            raise LocalProtocolError("a summary's ticks must be in order")

    def encode(self) -> bytes:
        """Return the payload of a frame of KIND_SUMMARY."""
        return cbor.encode(
            {
                "frames": [self.first_frame, self.until_frame],
                "ticks": [self.from_tick, self.until_tick],
                "final": self.is_final,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "Summary":
        """Return the summary of a payload, or raise RemoteProtocolError."""
        if len(payload) > _BYTES_MOST:
            raise RemoteProtocolError(f"a summary of {len(payload)} bytes")
        content = cbor.decode_map(payload)
        try:
            frames, ticks, is_final = (content.pop(key) for key in ("frames", "ticks", "final"))
        except KeyError:
            raise RemoteProtocolError("a summary lacks frames, ticks or final") from None
        if content or not isinstance(is_final, bool):
            raise RemoteProtocolError("a summary with an unknown key, or final is not a bool")
        first, until = _pair(frames)
        begin, end = _pair(ticks)
        try:
            return cls(
                first_frame=first,
                until_frame=until,
                from_tick=begin,
                until_tick=end,
                is_final=is_final,
            )
        except LocalProtocolError as error:
            raise RemoteProtocolError(str(error)) from None


def _pair(value: cbor.Value) -> tuple[int, int]:
    match value:
        case [int(low), int(high)] if not isinstance(low, bool) and not isinstance(high, bool):
            return low, high
        case _:
            raise RemoteProtocolError("a span of a summary is a list of two integers")

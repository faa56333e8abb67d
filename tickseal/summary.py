"""The sealed summary: what a source says it has sealed, so that loss can be told from withholding (section 5.3)."""

from dataclasses import dataclass

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

_U64 = (1 << 64) - 1


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
        match cbor.decode_map(payload):
            case {
                "frames": [int(first), int(until)],
                "ticks": [int(begin), int(end)],
                "final": bool(final),
                **rest,
            } if not rest and bool not in map(type, (first, until, begin, end)):
                try:
                    return cls(
                        first_frame=first,
                        until_frame=until,
                        from_tick=begin,
                        until_tick=end,
                        is_final=final,
                    )
                except LocalProtocolError as error:
                    raise RemoteProtocolError(str(error)) from None
        raise RemoteProtocolError("a summary has the keys frames, ticks and final")

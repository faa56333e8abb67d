"""What frames of cameras carry: one encoded picture behind a short head that says what it is."""

from dataclasses import dataclass

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

#: The `content` key of a stream's metadata, by which a sink knows how to read its frames.
CONTENT = "picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture, or one encoder output buffer of a video.

    Args:
        codec: "jpeg", "h264", ...: 1..16 characters.
        width, height: pixels, 1..65535.
        time_ns: when it was captured, ns since 1970 UTC, at least 0.
        sequence: number given at capture, so that frames the encoder dropped show as a gap.
        is_key: it can be decoded without the ones before.
        data: the encoded bytes.
    Raises:
        LocalProtocolError: a value is out of its range.
    """

    codec: str
    width: int
    height: int
    time_ns: int
    sequence: int
    is_key: bool
    data: bytes | memoryview

    def __post_init__(self) -> None:
        """Check every field of the head."""
        if not 1 <= len(self.codec) <= 16 or not self.codec.isascii():
            raise LocalProtocolError("a picture's codec is 1..16 ASCII characters")
        if not 1 <= self.width <= 65_535 or not 1 <= self.height <= 65_535:
            raise LocalProtocolError("a picture's width and height are 1..65535 pixels")
        if not 0 <= self.time_ns < 1 << 63 or not 0 <= self.sequence < 1 << 63:
            raise LocalProtocolError("a picture's time and sequence are 0..2^63-1")


def encode_picture(picture: Picture) -> bytes:
    """Return the payload of a frame: u8 length || CBOR head || data."""
    head = cbor.encode(
        {
            "codec": picture.codec,
            "width": picture.width,
            "height": picture.height,
            "time": picture.time_ns,
            "sequence": picture.sequence,
            "key": picture.is_key,
        }
    )
    return b"".join((bytes((len(head),)), head, picture.data))


def decode_picture(payload: bytes) -> Picture:
    """Return the picture of a payload; its data is a view, not a copy.

    Raises:
        RemoteProtocolError: the head is not one of a picture.
    """
    if not payload or len(payload) < 1 + payload[0]:
        raise RemoteProtocolError("a frame of a picture that is cut off")
    size = payload[0]
    match cbor.decode_map(payload[1 : 1 + size]):
        case {
            "codec": str(codec),
            "width": int(width),
            "height": int(height),
            "time": int(time_ns),
            "sequence": int(sequence),
            "key": bool(is_key),
            **rest,
        } if not rest:
            try:
                return Picture(
                    codec=codec,
                    width=width,
                    height=height,
                    time_ns=time_ns,
                    sequence=sequence,
                    is_key=is_key,
                    data=memoryview(payload)[1 + size :],
                )
            except LocalProtocolError as error:
                raise RemoteProtocolError(f"a picture not accepted: {error}") from None
        case _:
            raise RemoteProtocolError("a picture's head lacks a key or has an unknown one")

"""Readings and pictures for outputs under test."""

import io
import time
from collections.abc import Sequence

from PIL import Image
from tickseal_gateway.frames.readings import Batch, Picture, Reading

from tickseal.core import constants
from tickseal.payloads import pictures
from tickseal.payloads.samples import Measured

SECOND = 1_000_000_000
T0 = 1_780_000_000 * SECOND


def reading(
    value: Measured | None = 20.5,
    *,
    name: str = "air",
    stream: str = "garden/temperature",
    device: str = "garden",
    unit: str | None = "Cel",
    time_ns: int = T0,
    frame: int = 0,
    flags: int = 0,
) -> Reading:
    return Reading(device, stream, name, value, unit, time_ns, 7, frame, 0xABC, flags)


def batch(*readings: Reading, shown: Sequence[Picture] = ()) -> Batch:
    return Batch(received_ns=time.time_ns(), readings=list(readings), pictures=list(shown))


def numbered(count: int, start: int = 0) -> Batch:
    """Readings 0, 1, 2 and so on, a second apart."""
    return batch(
        *(reading(float(n), frame=n, time_ns=T0 + n * SECOND) for n in range(start, start + count))
    )


def jpeg(number: int, width: int = 64, height: int = 48) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (number * 8 % 256, 60, 90)).save(out, "JPEG")
    return out.getvalue()


def picture(
    number: int,
    data: bytes | None = None,
    *,
    stream: str = "garden/camera",
    codec: str = "jpeg",
    is_key: bool = True,
    time_ns: int | None = None,
    size: tuple[int, int] = (64, 48),
) -> Picture:
    """A picture, 100 ms after the one before."""
    content = pictures.Picture(
        codec=codec,
        width=size[0],
        height=size[1],
        time_ns=T0 + number * SECOND // 10 if time_ns is None else time_ns,
        sequence=number,
        is_key=is_key,
        data=jpeg(number, *size) if data is None else data,
    )
    return Picture("garden", stream, content, 0, number, 1, 0, T0)


HOSTILE = [
    reading(1.5, name="a,b=c d", stream='x "y"\\', device="käse\\", unit=None),
    reading('text with "quotes", commas\nand lines'),
    reading(True, name="door"),
    reading(None, name="failed"),
    reading(2**70, name="huge"),
    reading(-3, name="whole", flags=constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER),
]

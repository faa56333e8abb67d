"""A moving test pattern: the camera that needs no hardware."""

import io

from PIL import Image, ImageDraw

from tickseal.payloads.pictures import Picture

_BARS = ("white", "yellow", "cyan", "lime", "magenta", "red", "blue", "black")


class PatternCamera:
    """Colour bars, a ball that moves, and the picture's number, as JPEG.

    Args:
        width, height: pixels.
        quality: JPEG quality, 1..95.
    """

    is_paced = False

    def __init__(self, width: int = 640, height: int = 480, quality: int = 75) -> None:
        self._size = (width, height)
        self._quality = quality
        self._sequence = 0
        self._bars = Image.new("RGB", self._size)
        draw = ImageDraw.Draw(self._bars)
        for place, colour in enumerate(_BARS):
            left = place * width // len(_BARS)
            draw.rectangle((left, 0, (place + 1) * width // len(_BARS), height), fill=colour)

    def capture(self, time_ns: int) -> Picture:
        """Return the next picture, a few milliseconds later."""
        width, height = self._size
        picture = self._bars.copy()
        draw = ImageDraw.Draw(picture)
        radius = max(4, height // 12)
        left = _bounce(self._sequence * 7, width - 2 * radius)
        top = _bounce(self._sequence * 5, height - 2 * radius)
        draw.ellipse(
            (left, top, left + 2 * radius, top + 2 * radius), fill="orange", outline="black"
        )
        draw.rectangle((0, height - 14, width, height), fill="black")
        draw.text((4, height - 13), f"tickseal  picture {self._sequence}", fill="white")
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=self._quality)
        sequence, self._sequence = self._sequence, self._sequence + 1
        return Picture(
            codec="jpeg",
            width=width,
            height=height,
            time_ns=time_ns,
            sequence=sequence,
            is_key=True,
            data=encoded.getvalue(),
        )

    def close(self) -> None:
        """Nothing is held."""


def _bounce(way: int, room: int) -> int:
    """Return a place in 0..room that goes to and fro as the way grows."""
    room = max(1, room)
    place = way % (2 * room)
    return place if place <= room else 2 * room - place

"""The test pattern gives pictures that decode, move and are numbered."""

import io

from PIL import Image
from tickseal_edge.camera.pattern import PatternCamera


def test_pictures_decode_and_differ() -> None:
    camera = PatternCamera(320, 240)
    first, second = camera.capture(1), camera.capture(2)
    assert Image.open(io.BytesIO(bytes(first.data))).size == (320, 240)
    assert (first.sequence, second.sequence) == (0, 1)
    assert bytes(first.data) != bytes(second.data)


def test_any_size_works() -> None:
    for size in ((16, 16), (1, 1), (1920, 8)):
        assert PatternCamera(*size).capture(0).width == size[0]

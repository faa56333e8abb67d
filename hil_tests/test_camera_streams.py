"""What a camera sees arrives at the gateway as pictures that decode, in the order of their time."""

import io
from pathlib import Path

import pytest
from PIL import Image
from waiting import eventually

from hil_tests.bench.capabilities import Camera
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway

CONFIG = """
[[streams]]
id = "{stream}"
kind = "camera"
backend = "{backend}"
device = "{device}"
codec = "{codec}"
width = 320
height = 240
rate_hz = 3.0
"""


def kept_pictures(gateway: Gateway, stream: str) -> list[Path]:
    """Return the files of a stream's pictures in the order in which they were written.

    Those that a file system stamps with the same moment are in the order of their names.
    """
    files = (gateway.pictures / stream).glob("*/*.jpg")
    return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path))


def spoilt(gateway: Gateway, stream: str) -> tuple[int, int, dict[str, int]]:
    status = gateway.stream(stream)
    return status["missing"], status["unreadable"], status["refusals"]


@pytest.mark.parametrize("backend", ["picamera2", "v4l2"])
def test_pictures_arrive_and_decode(
    edge: Edge, gateway: Gateway, camera: Camera, backend: str
) -> None:
    stream = f"bench-{backend}"
    device = {"picamera2": str(camera.number), "v4l2": camera.device}[backend]
    edge.start(CONFIG.format(stream=stream, backend=backend, device=device, codec="jpeg"))
    files = eventually(
        lambda: found if len(found := kept_pictures(gateway, stream)) >= 6 else [],
        what=f"pictures by {backend}",
    )
    status = gateway.stream(stream)
    size = (status["picture"]["width"], status["picture"]["height"])
    for path in files:
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("JPEG", size)
            # Test pictures of black and white: no noise, no empty frame.
            grey = picture.convert("L").tobytes()
            assert (min(grey) < 50, max(grey) > 200) == (True, True)
    # A picture is named by when it was taken.
    names = [f"{path.parent.name}/{path.name}" for path in files]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    # A picture of which a part has come counts as missing until the rest has.
    eventually(
        lambda: spoilt(gateway, stream) == (0, 0, {}),
        what=lambda: f"all pictures arrive whole: {spoilt(gateway, stream)}",
    )

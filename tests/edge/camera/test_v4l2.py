"""A camera by V4L2: what it gives is taken as it is, or encoded; thinned, numbered and stamped."""

import io
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from tickseal_edge.camera import v4l2
from tickseal_edge.camera.v4l2 import V4L2Camera
from tickseal_edge.sensors.base import DeviceError

from tickseal.payloads.pictures import Picture

#: What select() finds readable always, and never.
READY, SILENT = os.open(os.devnull, os.O_RDONLY), os.eventfd(0)

KEY = b"\0\0\0\1\x67sps\0\0\0\1\x68pps\0\0\0\1\x65idr"
DELTA = b"\0\0\0\1\x41slice"


class FakeLibrary:
    """linuxpy's video module over a camera that does some formats, and gives what the test says."""

    def __init__(
        self, formats: dict[str, str], frames: list[Any], flips: tuple[str, ...] = ()
    ) -> None:
        self.formats = formats
        self.controls = {name: SimpleNamespace(value=False) for name in flips}
        self.is_silent = False
        self.frames = frames
        self.is_open = False
        self.wanted = ""

    def Device(self, path: str) -> "FakeLibrary":
        if path == "/dev/none":
            raise AssertionError
        return self

    def VideoCapture(self, _device: object) -> "FakeLibrary":
        return self

    def fileno(self) -> int:
        return SILENT if self.is_silent else READY

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def set_format(self, width: int, height: int, name: str) -> None:
        self.wanted = name if name in self.formats else next(iter(self.formats))

    def get_format(self) -> object:
        pixels = SimpleNamespace(name=self.formats[self.wanted], human_str=lambda: self.wanted)
        stride = {"RGB3": 12, "YUYV": 8}.get(self.wanted, 0)
        return SimpleNamespace(pixel_format=pixels, width=4, height=2, bytes_per_line=stride)

    def set_fps(self, rate: float) -> None:
        raise OSError("one rate only")

    def __iter__(self) -> Iterator[Any]:
        yield from self.frames
        raise OSError("No such device")


def frame(data: bytes, *, number: int = 0, stamp_s: float | None = None) -> Any:
    stamp = time.monotonic() if stamp_s is None else stamp_s
    return SimpleNamespace(data=data, frame_nb=number, timestamp=stamp)


def camera(
    monkeypatch: pytest.MonkeyPatch, library: FakeLibrary, codec: str = "jpeg", rotation: int = 0
) -> V4L2Camera:
    monkeypatch.setattr(v4l2, "_import", lambda: library)
    return V4L2Camera(
        device="/dev/video0",
        size=(4, 2),
        rate_hz=10,
        codec=codec,
        quality=90,
        rotation=rotation,
    )


def jpeg(left: str, right: str) -> bytes:
    """Return a picture, 32 by 16, of two colours."""
    image = Image.new("RGB", (32, 16), left)
    image.paste(Image.new("RGB", (16, 16), right), (16, 0))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG")
    return encoded.getvalue()


def is_red_on_the_right(picture: Picture) -> bool:
    image = Image.open(io.BytesIO(bytes(picture.data))).convert("RGB")
    red, _, blue = image.getpixel((image.width - 1, image.height // 2))  # type: ignore[misc]
    return bool(red > 128 > blue)


def test_jpeg_of_the_camera_is_passed_on_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary({"MJPG": "MJPEG"}, [frame(b"jpeg", number=41)])
    one = camera(monkeypatch, library)
    now = time.time_ns()
    picture = one.capture(now)
    assert (picture.codec, picture.data, picture.sequence, picture.is_key) == (
        "jpeg", b"jpeg", 41, True,
    )  # fmt: skip
    assert 0 <= now - picture.time_ns < 10**9
    one.close()
    assert not library.is_open


def test_a_camera_that_stops_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = camera(monkeypatch, FakeLibrary({"MJPG": "MJPEG"}, []))
    with pytest.raises(DeviceError, match="gives no pictures"):
        one.capture(0)


@pytest.mark.parametrize(
    ("name", "raw", "colour"),
    [
        ("RGB3", bytes((200, 30, 40)) * 8, (200, 30, 40)),
        # Y 90, U 102, V 206 is about the same red (ITU-R BT.601, full range).
        ("YUYV", bytes((90, 102, 90, 206)) * 4, (199, 44, 44)),
    ],
)
def test_raw_pictures_are_encoded(
    monkeypatch: pytest.MonkeyPatch, name: str, raw: bytes, colour: tuple[int, int, int]
) -> None:
    library = FakeLibrary({name: {"RGB3": "RGB24", "YUYV": "YUYV"}[name]}, [frame(raw)])
    picture = camera(monkeypatch, library).capture(0)
    image = Image.open(io.BytesIO(bytes(picture.data))).convert("RGB")
    assert image.size == (4, 2)
    assert all(
        abs(a - b) < 8
        for a, b in zip(image.getpixel((1, 1)), colour, strict=True)  # type: ignore[arg-type]
    )


def test_a_camera_that_gives_more_than_asked_is_thinned_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [frame(b"x", number=n, stamp_s=1000 + n / 30) for n in range(31)]
    one = camera(monkeypatch, FakeLibrary({"MJPG": "MJPEG"}, frames))
    numbers = []
    with pytest.raises(DeviceError):
        while True:
            numbers.append(one.capture(0).sequence)
    assert numbers == list(range(0, 31, 3))


def test_video_keeps_every_picture_and_marks_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [frame(data, number=n, stamp_s=1000 + n / 30) for n, data in enumerate((KEY, DELTA))]
    one = camera(monkeypatch, FakeLibrary({"H264": "H264"}, frames), "h264")
    assert [(p.codec, p.is_key) for p in (one.capture(0), one.capture(0))] == [
        ("h264", True),
        ("h264", False),
    ]


def test_a_camera_without_such_pictures_says_how_to_see_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DeviceError, match="list-formats-ext"):
        camera(monkeypatch, FakeLibrary({"MJPG": "MJPEG"}, []), "h264")


@pytest.mark.parametrize("flips", [(), ("horizontal_flip",)], ids=["no control", "one only"])
def test_jpeg_of_a_camera_that_cannot_turn_it_is_turned_here(
    monkeypatch: pytest.MonkeyPatch, flips: tuple[str, ...]
) -> None:
    library = FakeLibrary({"MJPG": "MJPEG"}, [frame(jpeg("red", "blue"))], flips)
    assert is_red_on_the_right(camera(monkeypatch, library, rotation=180).capture(0))
    assert not any(control.value for control in library.controls.values()), "half is a mirror"


def test_raw_pictures_are_turned_and_preferred_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = bytes((200, 0, 0)) * 2 + bytes((0, 0, 200)) * 2
    library = FakeLibrary({"MJPG": "MJPEG", "RGB3": "RGB24"}, [frame(pixels * 2)])
    assert is_red_on_the_right(camera(monkeypatch, library, rotation=180).capture(0))
    assert library.wanted == "RGB3"


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_a_camera_that_can_turns_its_pictures_itself(
    monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    formats = {"MJPG": "MJPEG", "H264": "H264"}
    library = FakeLibrary(formats, [frame(KEY)], ("horizontal_flip", "vertical_flip"))
    one = camera(monkeypatch, library, codec, rotation=180)
    assert all(control.value for control in library.controls.values())
    assert one.capture(0).data == KEY, "as it came"


def test_video_that_nobody_can_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary({"H264": "H264"}, [frame(KEY)])
    with pytest.raises(DeviceError, match="cannot turn its video"):
        camera(monkeypatch, library, "h264", rotation=180)
    assert not library.is_open


def test_a_damaged_picture_is_left_out_and_many_are_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [frame(b"", number=1), frame(jpeg("red", "blue"), number=2, stamp_s=2e9)]
    frames += [frame(b"damaged", stamp_s=3e9 + n) for n in range(20)]
    one = camera(monkeypatch, FakeLibrary({"MJPG": "MJPEG"}, frames), rotation=180)
    assert one.capture(0).sequence == 2
    with pytest.raises(DeviceError, match="damaged"):
        one.capture(0)


def test_a_camera_that_falls_silent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "_SILENCE_S", 0.01)
    library = FakeLibrary({"MJPG": "MJPEG"}, [frame(b"x")])
    one = camera(monkeypatch, library)
    library.is_silent = True
    with pytest.raises(DeviceError, match="gave no picture for"):
        one.capture(0)


def test_no_camera_says_what_to_look_at() -> None:
    pytest.importorskip("linuxpy", reason="linuxpy is not installed")
    with pytest.raises(DeviceError, match="list-devices"):
        V4L2Camera(device="/dev/video99", size=(4, 2), rate_hz=1, codec="jpeg", quality=90)

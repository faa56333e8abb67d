"""A Raspberry Pi's camera: one buffer of its encoder is one picture, with the sensor's number."""

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from tickseal_edge.camera.picamera import PiCamera
from tickseal_edge.sensors.base import DeviceError


class FakePicamera2:
    """As much of picamera2 as is used; the test plays the sensor and the encoder."""

    made: "FakePicamera2"
    fails = False

    def __init__(self, number: int) -> None:
        if number:
            raise IndexError("list index out of range")
        FakePicamera2.made = self
        self.calls: list[str] = []
        self.pre_callback: Any = None

    def create_video_configuration(self, **given: object) -> dict[str, object]:
        self.configuration = given
        return given

    def configure(self, _configuration: object) -> None:
        if self.fails:
            raise RuntimeError("libcamera says no")

    def start(self) -> None:
        self.calls.append("start")

    def start_recording(self, encoder: Any, output: Any) -> None:
        self.encoder, self.output = encoder, output

    def stop(self) -> None:
        self.calls.append("stop")

    def stop_recording(self) -> None:
        self.calls.append("stop_recording")

    def close(self) -> None:
        self.calls.append("close")

    def capture_request(self, wait: float) -> Any:
        request = SimpleNamespace(
            get_metadata=lambda: {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME)},
            make_image=lambda _name: Image.new("RGB", (8, 4), "red"),
            release=lambda: self.calls.append("release"),
        )
        self.pre_callback(request)
        return request

    def sense(self, stamp_ns: int) -> None:
        """A picture leaves the sensor."""
        request = SimpleNamespace(get_metadata=lambda: {"SensorTimestamp": stamp_ns})
        self.pre_callback(request)


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def module(name: str, **content: object) -> None:
        made = ModuleType(name)
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, made)

    def encoder(**given: object) -> SimpleNamespace:
        return SimpleNamespace(given=given, firsttimestamp=None)

    module("libcamera", Transform=lambda **given: given)
    module("picamera2", Picamera2=FakePicamera2)
    module("picamera2.encoders", H264Encoder=encoder, JpegEncoder=encoder)
    module("picamera2.outputs", Output=object)
    sys.modules["picamera2"].encoders = sys.modules["picamera2.encoders"]  # type: ignore[attr-defined]


def camera(codec: str, number: int = 0) -> PiCamera:
    return PiCamera(
        number=number, size=(8, 4), rate_hz=25, codec=codec, quality=80, bitrate_kbit=1500,
        key_every=50, rotation=180,
    )  # fmt: skip


def test_it_is_configured_as_asked() -> None:
    camera("h264")
    made = FakePicamera2.made
    assert made.configuration == {
        "main": {"size": (8, 4)},
        "controls": {"FrameDurationLimits": (40_000, 40_000)},
        "transform": {"hflip": True, "vflip": True},
    }
    assert made.encoder.given == {"bitrate": 1_500_000, "repeat": True, "iperiod": 50}


def test_each_buffer_of_the_encoder_is_a_picture_and_what_it_dropped_is_a_gap() -> None:
    one = camera("h264")
    made = FakePicamera2.made
    start_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 * 1000
    made.encoder.firsttimestamp = start_ns // 1000
    for n in range(4):
        made.sense(start_ns + n * 1000)
    made.output.outputframe(b"key", True, 0)
    made.output.outputframe(b"sound", True, 1, audio=True)
    # The encoder was too slow for the second and third picture.
    made.output.outputframe(b"delta", False, 3)
    now = time.time_ns()
    first, second = one.capture(now), one.capture(now)
    assert (first.codec, first.data, first.is_key, first.sequence) == ("h264", b"key", True, 1)
    assert (second.data, second.is_key, second.sequence) == (b"delta", False, 4)
    assert 0 <= now - first.time_ns < 10**9
    assert second.time_ns - first.time_ns == pytest.approx(3000, abs=10**8)
    one.close()
    assert made.calls == ["stop_recording", "close"]


def test_pictures_that_nobody_takes_make_room_for_newer_ones() -> None:
    one = camera("mjpeg")
    made = FakePicamera2.made
    for n in range(100):
        made.output.outputframe(b"%d" % n, False, n)
    picture = one.capture(0)
    assert picture.data == b"92"
    assert picture.is_key, "each picture of MJPEG stands alone"


def test_single_pictures_are_encoded_as_they_are_asked_for() -> None:
    one = camera("jpeg")
    picture = one.capture(time.time_ns())
    assert bytes(picture.data[:2]) == b"\xff\xd8"
    assert (picture.codec, picture.sequence) == ("jpeg", 1)
    one.close()
    assert FakePicamera2.made.calls == ["start", "release", "stop", "close"]


def test_a_picture_is_of_when_the_sensor_took_it_not_of_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = camera("jpeg")
    now_ns = 1_000 * 10**9

    def slow_make_image(_name: str) -> Image.Image:
        nonlocal now_ns
        now_ns += 10**9
        return Image.new("RGB", (8, 4), "red")

    def slow_capture(wait: float) -> Any:
        nonlocal now_ns
        now_ns += 3 * 10**8
        taken = {"SensorTimestamp": now_ns}
        return SimpleNamespace(
            get_metadata=lambda: taken, make_image=slow_make_image, release=lambda: None
        )

    monkeypatch.setattr(time, "clock_gettime_ns", lambda _clock: now_ns)
    monkeypatch.setattr(FakePicamera2.made, "capture_request", slow_capture)
    assert one.capture(5 * 10**18).time_ns == 5 * 10**18 + 3 * 10**8


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (TimeoutError(), "gave no picture for 5 s; see its cable"),
        (RuntimeError("Camera frontend has timed out!"), "frontend has timed out"),
    ],
)
def test_a_camera_that_stops_giving_single_pictures_is_gone(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, says: str
) -> None:
    one = camera("jpeg")

    def fail(_camera: object, wait: float) -> None:
        raise raised

    monkeypatch.setattr(FakePicamera2, "capture_request", fail)
    with pytest.raises(DeviceError, match=says):
        one.capture(0)


def test_what_is_not_there_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="list-cameras"):
        camera("jpeg", number=3)
    monkeypatch.setattr(FakePicamera2, "fails", True)
    with pytest.raises(DeviceError, match="cannot do 8x4 jpeg: libcamera says no"):
        camera("jpeg")
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(DeviceError, match="apt install python3-picamera2"):
        camera("jpeg")

"""Any camera that the kernel knows, by V4L2: JPEG or H.264 as the camera gives it, or encoded."""

import io
from collections.abc import Iterator
from typing import Any

from tickseal.pictures import Picture
from tickseal_edge.camera import h264
from tickseal_edge.camera.stamps import utc_of
from tickseal_edge.sensors.base import DeviceError

#: What is asked of a camera for pictures, the cheapest first: the last two are encoded here.
_JPEG = ("MJPG", "JPEG", "RGB3", "YUYV")


class V4L2Camera:
    """One camera.

    Args:
        device: its path.
        size: width and height that are asked for; the camera may give others.
        rate_hz: pictures a second; a camera that gives more is thinned out.
        codec: "jpeg" or "mjpeg", which are the same here, or "h264".
        quality: of JPEG that is encoded here.
    Raises:
        DeviceError: linuxpy or the camera is not there, or the camera gives no such pictures.
    """

    is_paced = True

    def __init__(
        self, *, device: str, size: tuple[int, int], rate_hz: float, codec: str, quality: int
    ) -> None:
        self._codec = "h264" if codec == "h264" else "jpeg"
        self._quality = quality
        self._device = device
        self._apart_s = 1 / rate_hz
        self._due_s = 0.0
        library = _import()
        self._camera = library.Device(device)
        try:
            self._camera.open()
        except OSError as error:
            raise DeviceError(
                f"cannot open {device} ({error.strerror}); see `v4l2-ctl --list-devices`, and that "
                "this user is in the group video"
            ) from None
        try:
            self._capture = library.VideoCapture(self._camera)
            self._format = self._choose(size)
            self._set_rate(rate_hz)
            self._capture.open()
            self._frames: Iterator[Any] = iter(self._capture)
        except Exception:
            self._camera.close()
            raise

    def capture(self, time_ns: int) -> Picture:
        """Return the next picture."""
        while True:
            try:
                frame = next(self._frames)
            except (OSError, StopIteration) as error:
                raise DeviceError(f"{self._device} gives no pictures: {error}") from None
            if self._is_due(frame.timestamp):
                return self._picture(frame, time_ns)

    def close(self) -> None:
        """Stop and close the camera."""
        try:
            self._capture.close()
        except OSError:  # it is gone
            pass
        self._camera.close()

    # --- Private ---

    def _choose(self, size: tuple[int, int]) -> str:
        """Set the first of the formats that the camera takes."""
        wanted = ("H264",) if self._codec == "h264" else _JPEG
        for name in wanted:
            try:
                self._capture.set_format(*size, name)
                given = self._capture.get_format()
            except OSError:
                continue
            # A camera that cannot do it picks another by itself.
            if given.pixel_format.human_str() == name or given.pixel_format.name == _NAMES[name]:
                self._size = (given.width, given.height)
                self._stride = given.bytes_per_line
                return name
        raise DeviceError(
            f"{self._device} gives none of {', '.join(wanted)}; see `v4l2-ctl --list-formats-ext`"
        )

    def _set_rate(self, rate_hz: float) -> None:
        try:
            self._capture.set_fps(rate_hz)
        except OSError:  # many cameras have but one
            pass

    def _is_due(self, stamp_s: float) -> bool:
        """Thin out a camera that gives more than was asked for; of a video all is needed."""
        if self._codec == "h264":
            return True
        if stamp_s < self._due_s - self._apart_s / 4:
            return False
        # A camera that gives fewer never catches up.
        due_s = self._due_s + self._apart_s
        self._due_s = due_s if due_s > stamp_s else stamp_s + self._apart_s
        return True

    def _picture(self, frame: Any, time_ns: int) -> Picture:
        data = bytes(frame.data)
        if self._format in ("RGB3", "YUYV"):
            data = self._encode(data)
        return Picture(
            codec=self._codec,
            width=self._size[0],
            height=self._size[1],
            time_ns=utc_of(round(frame.timestamp * 1e9), time_ns),
            sequence=int(frame.frame_nb),
            is_key=h264.is_key(data) if self._codec == "h264" else True,
            data=data,
        )

    def _encode(self, raw: bytes) -> bytes:
        from PIL import Image  # noqa: PLC0415 - most cameras give JPEG

        if self._format == "RGB3":
            image = Image.frombuffer("RGB", self._size, raw, "raw", "RGB", self._stride, 1)
        else:
            image = _from_yuyv(raw, self._size, self._stride)
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=self._quality)
        return encoded.getvalue()


#: How linuxpy names the formats.
_NAMES = {"MJPG": "MJPEG", "JPEG": "JPEG", "RGB3": "RGB24", "YUYV": "YUYV", "H264": "H264"}


def _from_yuyv(raw: bytes, size: tuple[int, int], stride: int) -> Any:
    """Return a YCbCr image: JPEG is made of that, so no colour is computed twice."""
    from PIL import Image  # noqa: PLC0415

    width, height = size
    if stride != 2 * width:
        raw = b"".join(raw[row * stride : row * stride + 2 * width] for row in range(height))
    raw = raw[: 2 * width * height]
    luma = Image.frombytes("L", size, raw[0::2])
    blue, red = (
        Image.frombytes("L", (width // 2, height), raw[start::4]).resize(size) for start in (1, 3)
    )
    return Image.merge("YCbCr", (luma, blue, red))


def _import() -> Any:
    try:
        from linuxpy.video import device  # noqa: PLC0415 - only where it is used
    except ImportError:
        raise DeviceError("a camera by V4L2 needs linuxpy: pip install 'tickseal[v4l2]'") from None
    return device

"""Any camera that the kernel knows, by V4L2: JPEG or H.264 as the camera gives it, or encoded."""

import io
import select
from collections.abc import Iterator
from typing import Any

from tickseal.host.kernel_clock import boottime_ns
from tickseal.payloads.pictures import Picture
from tickseal_edge.camera import h264
from tickseal_edge.camera.stamps import utc_of
from tickseal_edge.sensors.base import DeviceError

#: What is asked of a camera for pictures, the cheapest first: raw pictures are encoded here.
_ENCODED, _RAW = ("MJPG", "JPEG"), ("RGB3", "YUYV")
#: What turns a camera's picture by 180 degrees within it.
_FLIPS = ("horizontal_flip", "vertical_flip")
_SILENCE_S = 5.0
#: Pictures in a row that cannot be decoded, before the camera is opened anew.
_DAMAGED_MOST = 10


class V4L2Camera:
    """One camera.

    Args:
        device: its path.
        size: width and height that are asked for; the camera may give others.
        rate_hz: pictures a second; a camera that gives more is thinned out.
        codec: "jpeg" or "mjpeg", which are the same here, or "h264".
        quality: of JPEG that is encoded here.
        rotation: 0 or 180 degrees: by the camera where it can, else here, which H.264 rules out.
    Raises:
        DeviceError: linuxpy or the camera is not there, or the camera gives no such pictures.
    """

    is_paced = True

    def __init__(
        self,
        *,
        device: str,
        size: tuple[int, int],
        rate_hz: float,
        codec: str,
        quality: int,
        rotation: int = 0,
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
            self._turns_here = bool(rotation) and not self._turn()
            self._capture = library.VideoCapture(self._camera)
            self._format = self._choose(size)
            self._set_rate(rate_hz)
            self._capture.open()
            self._frames: Iterator[Any] = iter(self._capture)
        except Exception:
            self._camera.close()
            raise

    def capture(self, time_ns: int) -> Picture:
        """Return the next picture; one that comes damaged is left out: a gap in the numbers."""
        ahead_ns = time_ns - boottime_ns()
        damaged = 0
        while True:
            frame = self._next()
            if not self._is_due(frame.timestamp):
                continue
            try:
                return self._picture(frame, ahead_ns)
            except (OSError, ValueError) as error:  # of the decoder
                damaged += 1
                if damaged >= _DAMAGED_MOST:
                    raise DeviceError(
                        f"{self._device} gives damaged pictures ({error}); see its cable"
                    ) from None

    def close(self) -> None:
        """Stop and close the camera."""
        try:
            self._capture.close()
        except OSError:  # it is gone
            pass
        self._camera.close()

    # --- Private ---

    def _next(self) -> Any:
        if not select.select([self._camera], [], [], _SILENCE_S)[0]:
            raise DeviceError(f"{self._device} gave no picture for {_SILENCE_S:g} s; see its cable")
        try:
            return next(self._frames)
        except (OSError, StopIteration) as error:
            raise DeviceError(f"{self._device} gives no pictures: {error}") from None

    def _turn(self) -> bool:
        """Have the camera turn its pictures; False where it cannot."""
        turned = []
        try:
            for control in [self._camera.controls[name] for name in _FLIPS]:
                control.value = True
                turned.append(control)
        except (KeyError, AttributeError, OSError):  # not there; not to be written
            for control in turned:  # half of it would be a mirror
                control.value = False
        if len(turned) < len(_FLIPS) and self._codec == "h264":
            raise DeviceError(
                f"{self._device} cannot turn its video; turn the camera, or set rotation = 0 or "
                'codec = "mjpeg"'
            )
        return len(turned) == len(_FLIPS)

    def _choose(self, size: tuple[int, int]) -> str:
        """Set the first of the formats that the camera takes."""
        if self._codec == "h264":
            wanted: tuple[str, ...] = ("H264",)
        else:  # what is turned here is better not decoded for it
            wanted = (*_RAW, *_ENCODED) if self._turns_here else (*_ENCODED, *_RAW)
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

    def _picture(self, frame: Any, ahead_ns: int) -> Picture:
        data = bytes(frame.data)
        if self._format in _RAW or self._turns_here:
            data = self._encode(data)
        return Picture(
            codec=self._codec,
            width=self._size[0],
            height=self._size[1],
            time_ns=utc_of(round(frame.timestamp * 1e9), ahead_ns),
            sequence=int(frame.frame_nb),
            is_key=h264.is_key(data) if self._codec == "h264" else True,
            data=data,
        )

    def _encode(self, raw: bytes) -> bytes:
        from PIL import Image  # noqa: PLC0415 - most cameras give JPEG

        if self._format == "RGB3":
            image = Image.frombuffer("RGB", self._size, raw, "raw", "RGB", self._stride, 1)
        elif self._format == "YUYV":
            image = _from_yuyv(raw, self._size, self._stride)
        else:
            image = Image.open(io.BytesIO(raw))
        if self._turns_here:
            image = image.transpose(Image.Transpose.ROTATE_180)
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

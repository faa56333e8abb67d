"""Which of the ways to a camera is taken."""

import importlib.util

from tickseal_edge.camera.base import Camera
from tickseal_edge.production.stream_config import CameraStream


def open_camera(stream: CameraStream) -> Camera:
    """Open a configured camera.

    Raises:
        DeviceError: there is none, or what drives it is not installed.
    """
    backend = stream.backend
    if backend == "auto":
        is_path = stream.device.startswith("/")
        backend = "v4l2" if is_path or not _has_picamera2() else "picamera2"
    if backend == "picamera2":
        from tickseal_edge.camera.picamera import PiCamera  # noqa: PLC0415 - only where it is used

        return PiCamera(
            number=int(stream.device) if stream.device.isdigit() else 0,
            size=(stream.width, stream.height),
            rate_hz=stream.rate_hz,
            codec=stream.codec,
            quality=stream.quality,
            bitrate_kbit=stream.bitrate_kbit,
            key_every=stream.key_every,
            rotation=stream.rotation,
        )
    from tickseal_edge.camera.v4l2 import V4L2Camera  # noqa: PLC0415

    return V4L2Camera(
        device=stream.device or "/dev/video0",
        size=(stream.width, stream.height),
        rate_hz=stream.rate_hz,
        codec=stream.codec,
        quality=stream.quality,
        rotation=stream.rotation,
    )


def _has_picamera2() -> bool:
    if importlib.util.find_spec("picamera2") is None:
        return False
    try:
        from picamera2 import Picamera2  # noqa: PLC0415
    except ImportError:  # apt's libcamera is not there
        return False
    return bool(Picamera2.global_camera_info())

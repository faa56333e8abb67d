"""A Raspberry Pi's camera by picamera2: single JPEG pictures, MJPEG, or H.264."""

import queue
from typing import Any

from tickseal.host.kernel_clock import boottime_ns
from tickseal.payloads.pictures import Picture
from tickseal_edge.camera.stamps import utc_of
from tickseal_edge.sensors.base import DeviceError

_SILENCE_S = 5.0
_SILENT = f"the camera gave no picture for {_SILENCE_S:g} s; see its cable"
#: Encoded pictures that wait to be taken; the oldest make room.
_WAITING = 8
_STAMPS = 64


class PiCamera:
    """One camera.

    Args:
        number: as `rpicam-hello --list-cameras` counts.
        size: width and height, pixels.
        rate_hz: pictures a second.
        codec: "jpeg" encodes each picture as it is asked for, "mjpeg" and "h264" by an encoder.
        quality, bitrate_kbit, key_every, rotation: as in the configuration.
    Raises:
        DeviceError: picamera2 or the camera is not there, or refuses.
    """

    def __init__(
        self,
        *,
        number: int,
        size: tuple[int, int],
        rate_hz: float,
        codec: str,
        quality: int,
        bitrate_kbit: int,
        key_every: int,
        rotation: int,
    ) -> None:
        self._size = size
        self._codec = codec
        self._quality = quality
        self.is_paced = codec != "jpeg"
        self._encoded: queue.Queue[tuple[bytes, bool, int]] = queue.Queue(_WAITING)
        # Numbers given at capture, by the sensor's stamp: what an encoder drops is a gap in them.
        self._captured = 0
        self._numbers: dict[int, int] = {}
        module = _import()
        try:
            self._camera = module.Picamera2(number)
        except (IndexError, RuntimeError) as error:
            raise DeviceError(
                f"there is no camera {number} ({error}); see `rpicam-hello --list-cameras`, the "
                "cable, and that no other program uses it"
            ) from None
        try:
            self._start(size, rate_hz, rotation, bitrate_kbit, key_every)
        except Exception as error:  # libcamera and the encoders raise what they like
            self.close()
            raise DeviceError(
                f"camera {number} cannot do {size[0]}x{size[1]} {codec}: {error}"
            ) from None

    def capture(self, time_ns: int) -> Picture:
        """Return the next picture."""
        ahead_ns = time_ns - boottime_ns()
        if self._codec == "jpeg":
            return self._still(ahead_ns)
        try:
            data, is_key, stamp_ns = self._encoded.get(timeout=_SILENCE_S)
        except queue.Empty:
            raise DeviceError(_SILENT) from None
        number = self._numbers.get(stamp_ns // 1000, self._captured)
        return self._picture(data, is_key, number, utc_of(stamp_ns, ahead_ns))

    def close(self) -> None:
        """Stop and close the camera."""
        self._camera.stop_recording() if self.is_paced else self._camera.stop()
        self._camera.close()

    # --- Private ---

    def _start(
        self,
        size: tuple[int, int],
        rate_hz: float,
        rotation: int,
        bitrate_kbit: int,
        key_every: int,
    ) -> None:
        from libcamera import Transform  # noqa: PLC0415

        duration_us = int(1e6 / rate_hz)
        controls = {"FrameDurationLimits": (duration_us, duration_us)}
        transform = Transform(hflip=rotation == 180, vflip=rotation == 180)
        configure = self._camera.create_video_configuration
        main = {"size": size} if self.is_paced else {"size": size, "format": "BGR888"}
        self._camera.configure(configure(main=main, controls=controls, transform=transform))
        self._camera.pre_callback = self._note
        if not self.is_paced:
            self._camera.start()
            return
        self._encoder = _encoder(self._codec, self._quality, bitrate_kbit, key_every)
        self._camera.start_recording(self._encoder, _output(self._take))

    def _note(self, request: Any) -> None:
        """Number a picture as the sensor gives it, before any encoder sees it."""
        stamp_ns = int(request.get_metadata().get("SensorTimestamp", 0))
        self._captured += 1
        self._numbers[stamp_ns // 1000] = self._captured
        if len(self._numbers) > _STAMPS:
            del self._numbers[next(iter(self._numbers))]

    def _take(self, data: bytes, is_key: bool, stamp_us: int) -> None:
        # Encoders count from their first picture, which they remember.
        first_us = getattr(self._encoder, "firsttimestamp", None) or 0
        entry = (data, is_key or self._codec == "mjpeg", (first_us + stamp_us) * 1000)
        while True:
            try:
                self._encoded.put_nowait(entry)
            except queue.Full:
                self._drop()
            else:
                return

    def _drop(self) -> None:
        try:
            self._encoded.get_nowait()
        except queue.Empty:
            pass

    def _still(self, ahead_ns: int) -> Picture:
        import io  # noqa: PLC0415

        try:
            request = self._camera.capture_request(wait=_SILENCE_S)
        except TimeoutError:
            raise DeviceError(_SILENT) from None
        except Exception as error:  # libcamera raises what it likes
            raise DeviceError(f"the camera gives no picture: {error}") from None
        try:
            metadata = request.get_metadata()
            image = request.make_image("main")
        except Exception as error:
            raise DeviceError(f"the camera gives no picture: {error}") from None
        finally:
            request.release()
        encoded = io.BytesIO()
        image.convert("RGB").save(encoded, "JPEG", quality=self._quality)
        stamp_ns = int(metadata.get("SensorTimestamp", 0))
        number = self._numbers.get(stamp_ns // 1000, self._captured)
        return self._picture(encoded.getvalue(), True, number, utc_of(stamp_ns, ahead_ns))

    def _picture(self, data: bytes, is_key: bool, number: int, time_ns: int) -> Picture:
        return Picture(
            codec="h264" if self._codec == "h264" else "jpeg",
            width=self._size[0],
            height=self._size[1],
            time_ns=time_ns,
            sequence=number,
            is_key=is_key,
            data=data,
        )


def _import() -> Any:
    try:
        import picamera2  # noqa: PLC0415 - only where it is used
    except ImportError as error:
        raise DeviceError(
            f"the camera needs {error.name}: sudo apt install python3-picamera2, and a virtual "
            "environment made with --system-site-packages"
        ) from None
    return picamera2


def _encoder(codec: str, quality: int, bitrate_kbit: int, key_every: int) -> Any:
    from picamera2 import encoders  # noqa: PLC0415

    if codec == "mjpeg":
        return encoders.JpegEncoder(q=quality)
    # A Pi 5 has no encoder in hardware; there this name stands for libav's.
    return encoders.H264Encoder(bitrate=bitrate_kbit * 1000, repeat=True, iperiod=key_every)


def _output(take: Any) -> Any:
    from picamera2.outputs import Output  # noqa: PLC0415

    class SealingOutput(Output):  # type: ignore[misc]
        """One buffer of the encoder is one picture."""

        def outputframe(
            self,
            frame: bytes,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: object = None,
            audio: bool = False,
        ) -> None:
            if not audio:
                take(bytes(frame), keyframe, timestamp or 0)

    return SealingOutput()

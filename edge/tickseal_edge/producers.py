"""Producers: the configured sensors and cameras, each as something that gives payloads."""

import time
from typing import NamedTuple, Protocol

from tickseal import pictures, samples
from tickseal.core.errors import TicksealError
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import Wish
from tickseal_edge.camera.base import Camera
from tickseal_edge.config import AnyStream, HostStream, PatternStream
from tickseal_edge.sensors.base import Sensor


class DeviceError(TicksealError):
    """A sensor or camera cannot be opened or read: what, and what to do. It is tried again."""


class Payload(NamedTuple):
    """What one frame carries.

    Attributes:
        data: the bytes to seal.
        is_key: it can be understood without the frames before.
    """

    data: bytes
    is_key: bool = True


class Producer(Protocol):
    """Gives one payload a frame; called in the lane of its bus, since devices block."""

    #: Whether produce() waits for the device's own pace, as a camera's.
    is_paced: bool

    def produce(self, time_ns: int) -> Payload:
        """Return the next frame's payload.

        Args:
            time_ns: now, ns since 1970 UTC.
        Raises:
            TicksealError: the device is gone.
        """

    def close(self) -> None:
        """Give the device back."""


class SensorProducer:
    """Samples of one sensor as SenML."""

    is_paced = False

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor

    def produce(self, time_ns: int) -> Payload:
        """Return what the sensor reads."""
        return Payload(samples.encode_samples(self._sensor.read(time_ns)))

    def close(self) -> None:
        """Close the sensor."""
        self._sensor.close()


class CameraProducer:
    """Pictures of one camera."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.is_paced = camera.is_paced

    def produce(self, time_ns: int) -> Payload:
        """Return the next picture."""
        picture = self._camera.capture(time_ns)
        return Payload(pictures.encode_picture(picture), picture.is_key)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


def describe(stream: AnyStream) -> tuple[StreamMetadata, Wish]:
    """Return a configured stream's metadata and what is wished of its keys."""
    match stream:
        case HostStream():
            kind, content = "telemetry", samples.CONTENT
        case PatternStream():
            kind, content = "image/jpeg", pictures.CONTENT
    metadata = StreamMetadata(
        stream.id,
        kind,
        qos=stream.qos,
        extra={"content": content, "rate_hz": stream.rate_hz},
    )
    return metadata, Wish(interval_ns=stream.interval_ns, renewal=stream.renewal)


def open_producer(stream: AnyStream) -> Producer:
    """Open the device of a configured stream.

    Raises:
        TicksealError: the device is not there.
    """
    # Drivers are imported where they are used: what is not configured need not be installed.
    match stream:
        case HostStream():
            from tickseal_edge.sensors.host import HostSensor  # noqa: PLC0415

            return SensorProducer(HostSensor(time.monotonic_ns, stream.disk))
        case PatternStream():
            from tickseal_edge.camera.pattern import PatternCamera  # noqa: PLC0415

            return CameraProducer(PatternCamera(stream.width, stream.height, stream.quality))

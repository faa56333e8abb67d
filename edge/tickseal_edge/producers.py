"""Producers: the configured sensors and cameras, each as something that gives payloads."""

import time
from typing import Protocol

from tickseal import pictures, samples
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import Wish
from tickseal_edge.camera.base import Camera
from tickseal_edge.config import AnyStream, HostStream, PatternStream
from tickseal_edge.sensors.base import Sensor


class Producer(Protocol):
    """Gives one payload a frame; called in a thread of its own, since devices block."""

    def produce(self, time_ns: int) -> bytes:
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

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor

    def produce(self, time_ns: int) -> bytes:
        """Return what the sensor reads."""
        return samples.encode_samples(self._sensor.read(time_ns))

    def close(self) -> None:
        """Close the sensor."""
        self._sensor.close()


class CameraProducer:
    """Pictures of one camera."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    def produce(self, time_ns: int) -> bytes:
        """Return the next picture."""
        return pictures.encode_picture(self._camera.capture(time_ns))

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

"""Producers: the configured sensors and cameras, each as something that gives payloads."""

import time
from pathlib import Path
from typing import NamedTuple, Protocol

from tickseal.payloads import pictures, samples
from tickseal.sessions.negotiation import Wish
from tickseal.streams.metadata import StreamMetadata
from tickseal_edge.camera.base import Camera
from tickseal_edge.production.stream_config import (
    AnyStream,
    CameraStream,
    GPIOStream,
    HostStream,
    I2CStream,
    OneWireStream,
    PatternStream,
    ReplayStream,
    SPIStream,
)
from tickseal_edge.sensors.base import Sensor
from tickseal_edge.sensors.profiles import PROFILES, driver_package


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
        case PatternStream():
            kind, content = "image/jpeg", pictures.CONTENT
        case CameraStream():
            kind = "video/h264" if stream.codec == "h264" else "image/jpeg"
            content = pictures.CONTENT
        case _:
            kind, content = "telemetry", samples.CONTENT
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
        DeviceError: the device, or the package that reads it, is not there.
    """
    match stream:
        case PatternStream():
            from tickseal_edge.camera.pattern import PatternCamera  # noqa: PLC0415

            return CameraProducer(PatternCamera(stream.width, stream.height, stream.quality))
        case CameraStream():
            from tickseal_edge.camera.choose import open_camera  # noqa: PLC0415

            return CameraProducer(open_camera(stream))
        case _:
            return SensorProducer(_open_sensor(stream))


def _open_sensor(
    stream: HostStream | I2CStream | SPIStream | OneWireStream | GPIOStream | ReplayStream,
) -> Sensor:
    # Drivers are imported where they are used: what is not configured need not be installed.
    match stream:
        case HostStream():
            from tickseal_edge.sensors.host import HostSensor  # noqa: PLC0415

            return HostSensor(time.monotonic_ns, stream.disk)
        case I2CStream():
            return _open_i2c(stream)
        case SPIStream():
            return _open_spi(stream)
        case OneWireStream():
            from tickseal_edge.sensors.onewire import OneWireThermometers  # noqa: PLC0415

            return OneWireThermometers(stream.serial)
        case GPIOStream():
            from tickseal_edge.sensors.gpio import GPIOCounter  # noqa: PLC0415

            return GPIOCounter(
                chip=stream.chip, line=stream.line, edge=stream.edge, pull=stream.pull
            )
        case ReplayStream():
            from tickseal_edge.sensors.replay import ReplaySensor  # noqa: PLC0415

            return ReplaySensor(Path(stream.file).expanduser())


def _open_i2c(stream: I2CStream) -> Sensor:
    from tickseal_edge.sensors.i2c import open_i2c  # noqa: PLC0415

    profile = PROFILES.get(stream.profile)
    default = profile.address if profile else None
    return open_i2c(
        driver=profile.driver if profile else stream.driver,
        package=profile.package if profile else driver_package(stream.driver),
        bus=stream.bus,
        address=default if stream.address is None else stream.address,
        options=stream.options,
        readings=stream.readings or (profile.readings if profile else ()),
    )


def _open_spi(stream: SPIStream) -> Sensor:
    from tickseal_edge.sensors.spi import open_spi  # noqa: PLC0415

    profile = PROFILES.get(stream.profile)
    baudrate = {} if stream.baudrate is None else {"baudrate": stream.baudrate}
    return open_spi(
        driver=profile.spi_driver if profile else stream.driver,
        package=profile.package if profile else driver_package(stream.driver),
        bus=stream.bus,
        device=stream.device,
        select=None if stream.chip_select is None else (stream.chip, stream.chip_select),
        options={**stream.options, **baudrate},
        readings=stream.readings or (profile.readings if profile else ()),
    )

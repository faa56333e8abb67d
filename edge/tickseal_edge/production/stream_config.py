"""What can be streamed: a model for each kind of sensor and camera."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tickseal.configuration.configuration import Between, Duration, Length
from tickseal.core.errors import ConfigError
from tickseal.streams.parameters import DEFAULT_INTERVAL_NS, Renewal
from tickseal_edge.sensors.profiles import PROFILES, Profile
from tickseal_edge.sensors.readings import ReadingConfig

_SLOW = Annotated[float, Between(0.001, 1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """What every stream has.

    Args:
        id: unique name; by default DEVICE/KIND, or DEVICE/SENSOR on a bus.
        rate_hz: frames a second.
        renewal: a key for each frame, or one for each interval.
        interval_ns: length of a tick.
        link: how segments travel: as datagrams, or over the control connection; datagrams go over
            the connection too where the network loses many of them.
        qos: class of service, 0..255, for the application.
        keep: spool frames while the gateway is away.
    """

    id: Annotated[str, Length(0, 128)] = ""
    rate_hz: Annotated[float, Between(0.001, 1000)] = 10.0
    renewal: Renewal = Renewal.EVERY_FRAME
    interval_ns: Annotated[int, Duration("1ms", "1h")] = DEFAULT_INTERVAL_NS
    link: Literal["udp", "tcp"] = "udp"
    qos: Annotated[int, Between(0, 255)] | None = None
    keep: bool = True

    #: Pictures give way to samples where the link is slow.
    is_picture: ClassVar[bool] = False

    @property
    def lane(self) -> str:
        """What the device shares a thread with: the devices on one bus are used in turn."""
        return self.id

    @property
    def label(self) -> str:
        """What an id ends with where none is given."""
        return str(getattr(self, "kind", "stream"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStream(StreamConfig):
    """Host telemetry: CPU, temperature, memory, disk, network."""

    kind: Literal["host"] = "host"
    disk: str = "/"

    @property
    def lane(self) -> str:
        """All of it is this machine."""
        return "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStream(StreamConfig):
    """A sensor on a bus, by a profile or by any driver of CircuitPython's.

    Args:
        profile: a sensor that is known here; then all else has a default.
        driver: "module:class", in place of a profile.
        options: further keyword arguments of the driver.
        readings: what is read; by default all of the profile's.
    """

    rate_hz: _SLOW = 1.0
    profile: str = ""
    driver: str = ""
    options: dict[str, object] = field(default_factory=dict)
    readings: tuple[ReadingConfig, ...] = ()

    def __post_init__(self) -> None:
        """Check that it is known what to read, and from what."""
        profiles = self.profiles()
        known = ", ".join(sorted(profiles))
        if bool(self.profile) is bool(self.driver):
            raise ConfigError(f"say either profile (one of {known}) or driver")
        if self.profile and self.profile not in profiles:
            raise ConfigError(f'no profile "{self.profile}"; known: {known}; or name a driver')
        if self.driver and (":" not in self.driver or not self.readings):
            raise ConfigError(
                'a driver is "module:class", with readings = [{attribute = "temperature", '
                'unit = "Cel"}]'
            )

    @classmethod
    def profiles(cls) -> dict[str, Profile]:
        """Return the profiles that there are for this kind of bus."""
        return PROFILES

    @property
    def label(self) -> str:
        """The sensor."""
        return self.profile or self.driver.partition(":")[2].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class I2CStream(DriverStream):
    """A sensor on an I2C bus.

    Args:
        bus: N of /dev/i2c-N.
        address: of the sensor; by default the profile's, or the driver's own.
    """

    kind: Literal["i2c"] = "i2c"
    bus: Annotated[int, Between(0, 255)] = 1
    address: Annotated[int, Between(0x08, 0x77)] | None = None

    @property
    def lane(self) -> str:
        """The bus."""
        return f"i2c-{self.bus}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SPIStream(DriverStream):
    """A sensor on an SPI bus.

    Args:
        bus, device: B and D of /dev/spidevB.D.
        chip_select: GPIO line that selects the sensor, one that the kernel does not use; without
            one the kernel selects it, which is enough for chips that are read in one transfer.
        chip: N of /dev/gpiochipN that the line is on.
        baudrate: bits a second; by default the driver's own.
    """

    kind: Literal["spi"] = "spi"
    bus: Annotated[int, Between(0, 255)] = 0
    device: Annotated[int, Between(0, 255)] = 0
    chip_select: Annotated[int, Between(0, 511)] | None = None
    chip: Annotated[int, Between(0, 63)] = 0
    baudrate: Annotated[int, Between(1000, 100_000_000)] | None = None

    @classmethod
    def profiles(cls) -> dict[str, Profile]:
        """Return the profiles of chips that have an SPI port."""
        return {name: profile for name, profile in PROFILES.items() if profile.spi_driver}

    @property
    def lane(self) -> str:
        """The bus."""
        return f"spi-{self.bus}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWireStream(StreamConfig):
    """DS18B20 thermometers on a 1-Wire bus.

    Args:
        serial: of one, as "28-00000abcdef1"; by default all in one frame.
    """

    kind: Literal["ds18b20"] = "ds18b20"
    rate_hz: _SLOW = 0.2
    serial: str = ""

    @property
    def lane(self) -> str:
        """The bus."""
        return "1-wire"


@dataclass(frozen=True, slots=True, kw_only=True)
class GPIOStream(StreamConfig):
    """Pulses on a GPIO line, counted.

    Args:
        chip: N of /dev/gpiochipN; 0 on a Raspberry Pi, but 4 on a Pi 5 with an old kernel.
        line: number of the GPIO.
        edge, pull: which edges count, and the resistor that holds the line.
    """

    kind: Literal["gpio"] = "gpio"
    rate_hz: _SLOW = 1.0
    chip: Annotated[int, Between(0, 63)] = 0
    line: Annotated[int, Between(0, 511)]
    edge: Literal["rising", "falling", "both"] = "rising"
    pull: Literal["up", "down", "none"] = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStream(StreamConfig):
    """Readings from a CSV file, again and again.

    Args:
        file: the file; its first row is as "temperature [Cel],humidity [%RH]".
    """

    kind: Literal["replay"] = "replay"
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternStream(StreamConfig):
    """A moving test pattern, as JPEG."""

    kind: Literal["pattern"] = "pattern"
    rate_hz: Annotated[float, Between(0.001, 1000)] = 15.0
    width: Annotated[int, Between(16, 4096)] = 640
    height: Annotated[int, Between(16, 4096)] = 480
    quality: Annotated[int, Between(1, 95)] = 75
    keep: bool = False

    is_picture: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStream(StreamConfig):
    """A camera: the Raspberry Pi's by libcamera, or any other by V4L2.

    Args:
        backend: "picamera2" or "v4l2"; by default picamera2 where it is installed and has a camera.
        device: for V4L2 its path; for picamera2 the camera's number.
        codec: "jpeg" single pictures, "mjpeg" the same from an encoder, "h264" video.
        width, height: pixels.
        quality: of JPEG.
        bitrate_kbit: of H.264, kbit/s.
        key_every: a picture that needs none before it comes every so many, in H.264.
        rotation: 0 or 180 degrees.
    """

    kind: Literal["camera"] = "camera"
    rate_hz: Annotated[float, Between(0.01, 120)] = 10.0
    keep: bool = False
    backend: Literal["auto", "picamera2", "v4l2"] = "auto"
    device: str = ""
    codec: Literal["jpeg", "mjpeg", "h264"] = "jpeg"
    width: Annotated[int, Between(16, 8192)] = 1280
    height: Annotated[int, Between(16, 8192)] = 720
    quality: Annotated[int, Between(1, 95)] = 75
    bitrate_kbit: Annotated[int, Between(50, 50_000)] = 2000
    key_every: Annotated[int, Between(1, 600)] = 30
    rotation: Literal[0, 180] = 0

    is_picture: ClassVar[bool] = True


AnyStream = (
    HostStream
    | I2CStream
    | SPIStream
    | OneWireStream
    | GPIOStream
    | ReplayStream
    | PatternStream
    | CameraStream
)

"""[[outputs]]: where opened frames go besides the store; each entry's `kind` says what it is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from tickseal.configuration.configuration import Between, Duration, Length, Size
from tickseal.core.errors import ConfigError

_SECOND = 1_000_000_000

#: Shell patterns of stream ids, such as "garden/*"; none for every stream.
Streams: TypeAlias = Annotated[tuple[str, ...], Length(0, 64)]
Text: TypeAlias = Annotated[str, Length(1, 1024)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Readings as lines of text.

    Args:
        path: the file; when it is full it is renamed to path.1, path.1 to path.2, and so on.
        size_bytes: when it is full.
        keep: how many full ones are kept.
    """

    kind: Literal["jsonl", "csv"]
    name: str = ""
    streams: Streams = ()
    path: Text
    size_bytes: Annotated[int, Size("4KiB")] = 64 << 20
    keep: Annotated[int, Between(0, 10_000)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetConfig:
    """Readings as Parquet files, in a folder for each day.

    Args:
        folder: where; readings of the file under way lie there too, as an Arrow stream.
        every_ns: how much time a file holds at most.
        rows: how many readings a file holds at most.
    """

    kind: Literal["parquet"]
    name: str = ""
    streams: Streams = ()
    folder: Text
    every_ns: Annotated[int, Duration("1s", "24h")] = 3600 * _SECOND
    rows: Annotated[int, Between(1000, 10_000_000)] = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesConfig:
    """Pictures as files, one for each, in a folder for each stream and day.

    Args:
        every_ns: shortest time between two pictures of a stream that are kept; 0 for all.
        size_bytes: how much the folder holds; the oldest go.
    """

    kind: Literal["pictures"]
    name: str = ""
    streams: Streams = ()
    folder: Text
    every_ns: Annotated[int, Duration("0s", "24h")] = 10 * _SECOND
    size_bytes: Annotated[int, Size("1MiB")] = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoConfig:
    """Pictures as MP4, as they came: MJPEG and H.264 are not encoded anew.

    Args:
        every_ns: how much time a file holds.
        size_bytes: how much the folder holds; the oldest files go.
    """

    kind: Literal["video"]
    name: str = ""
    streams: Streams = ()
    folder: Text
    every_ns: Annotated[int, Duration("1s", "24h")] = 600 * _SECOND
    size_bytes: Annotated[int, Size("1MiB")] = 8 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MQTTConfig:
    """An MQTT 5 broker, and Home Assistant by way of it.

    Args:
        tls: with the system's certificates, or those of `ca`.
        password_file: a file that holds the password, so that the configuration need not.
        topic: under which everything is published.
        discovery: Home Assistant's prefix; empty for no announcements.
        every_ns: shortest time between two values of one series, and two pictures of one stream.
    """

    kind: Literal["mqtt"]
    name: str = ""
    streams: Streams = ()
    host: Text
    port: Annotated[int, Between(0, 65535)] = 0
    tls: bool = False
    ca: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    topic: Annotated[str, Length(1, 128)] = "tickseal"
    discovery: Annotated[str, Length(0, 128)] = "homeassistant"
    every_ns: Annotated[int, Duration("0s", "1h")] = _SECOND

    def __post_init__(self) -> None:
        """Check that the topics are topics, and that there is one password."""
        for text in (self.topic, self.discovery):
            if set(text) & set("+#\0") or text.startswith("/") or text.endswith("/"):
                raise ConfigError("topic and discovery hold no + and #, and no / at their ends")
        if self.password and self.password_file:
            raise ConfigError("give password or password_file, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """Metrics for Prometheus to fetch, at http://HOST:PORT/metrics.

    Args:
        readings: whether the latest reading of each series is among them.
    """

    kind: Literal["prometheus"]
    name: str = ""
    streams: Streams = ()
    host: Text = "127.0.0.1"
    port: Annotated[int, Between(0, 65535)] = 9471
    readings: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxConfig:
    """Readings as InfluxDB line protocol, over HTTP.

    Args:
        url: where lines are written, whole, for example
            "http://localhost:8086/api/v2/write?org=home&bucket=tickseal" or, for version 1,
            "http://localhost:8086/write?db=tickseal". The precision is added.
        token: of version 2 and 3.
        token_file: a file that holds it, so that the configuration need not.
        measurement: under which readings are written.
    """

    kind: Literal["influx"]
    name: str = ""
    streams: Streams = ()
    url: Text
    token: str = field(default="", repr=False)
    token_file: str = ""
    measurement: Annotated[str, Length(1, 64)] = "tickseal"

    def __post_init__(self) -> None:
        """Check that the address is one, and that there is one token."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError('url begins with "http://" or "https://"')
        if self.token and self.token_file:
            raise ConfigError("give token or token_file, not both")


OutputConfig: TypeAlias = (
    TextConfig
    | ParquetConfig
    | PicturesConfig
    | VideoConfig
    | MQTTConfig
    | PrometheusConfig
    | InfluxConfig
)


def secret(given: str, file: str) -> str:
    """Return a secret that is given, or that a file holds.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not file:
        return given
    try:
        return Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"[[outputs]] cannot read {file}: {getattr(error, 'strerror', 'not UTF-8')}"
        ) from None

"""Which outputs a configuration asks for, besides the store."""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tickseal.core.errors import ConfigError
from tickseal_gateway.config import Config
from tickseal_gateway.outputs import settings
from tickseal_gateway.outputs.base import Output, OutputRunner
from tickseal_gateway.outputs.catching_up import CatchesUp, CatchUp
from tickseal_gateway.outputs.health import HealthReader
from tickseal_gateway.outputs.pictures import PictureFiles
from tickseal_gateway.outputs.selection import SelectedOutput, SelectedReader
from tickseal_gateway.store.sqlite import SQLiteStore

T = TypeVar("T")
_MQTT_PORT, _MQTT_TLS_PORT = 1883, 8883


def configured_outputs(config: Config) -> list[Output]:
    """Return the outputs that a configuration asks for.

    Raises:
        ConfigError: two have one name, a secret cannot be read, or a package is not installed.
    """
    outputs: list[Output] = []
    if config.store.pictures:
        outputs.append(PictureFiles(Path(config.store.pictures).expanduser()))
    taken = {"store", *(output.name for output in outputs)}
    for given in config.outputs:
        if given.name in taken:
            raise ConfigError(f"[[outputs]] two outputs are called {given.name!r}: rename one")
        name = given.name or _free_name(given.kind, taken)
        taken.add(name)
        outputs.append(_selected(_make(given, name), given.streams))
    return outputs


def run_beside(output: Output, store: SQLiteStore | None) -> OutputRunner:
    """Return the runner of an output that catches up, where it is such, from a store."""
    catch_up = None
    if store is not None and isinstance(output, CatchesUp) and output.catches_up:
        catch_up = CatchUp(output.name, store.arrivals, store.path)
    return OutputRunner(output, catch_up=catch_up)


def health_readers(outputs: Iterable[Output]) -> list[HealthReader]:
    """Return those outputs that want to know how everything is."""
    return [output for output in outputs if isinstance(output, HealthReader)]


def _selected(output: Output, patterns: tuple[str, ...]) -> Output:
    if not patterns:
        return output
    if isinstance(output, HealthReader):
        return SelectedReader(output, output, patterns)
    return SelectedOutput(output, patterns)


def _make(given: settings.OutputConfig, name: str) -> Output:
    # What one output needs is not loaded, nor need be installed, for the others.
    match given:
        case settings.TextConfig():
            return _text(given, name)
        case settings.ParquetConfig():
            return _needing("parquet", "pyarrow", lambda: _parquet(given, name))
        case settings.PicturesConfig():
            return _pictures(given, name)
        case settings.VideoConfig():
            return _needing("video", "av", lambda: _video(given, name))
        case settings.MQTTConfig():
            return _needing("mqtt", "paho-mqtt", lambda: _mqtt(given, name))
        case settings.PrometheusConfig():
            return _prometheus(given, name)
        case settings.InfluxConfig():
            return _influx(given, name)


def _text(given: settings.TextConfig, name: str) -> Output:
    from tickseal_gateway.outputs.appending import AppendedFile  # noqa: PLC0415
    from tickseal_gateway.outputs.text import HEADS, TextFile  # noqa: PLC0415

    file = AppendedFile(
        Path(given.path).expanduser(),
        head=HEADS[given.kind],
        size_most=given.size_bytes,
        keep=given.keep,
    )
    return TextFile(file, given.kind, name)


def _parquet(given: settings.ParquetConfig, name: str) -> Output:
    from tickseal_gateway.outputs.parquet import ParquetFiles  # noqa: PLC0415

    folder, every_s = Path(given.folder).expanduser(), given.every_ns / 1e9
    return ParquetFiles(folder, every_s=every_s, rows_most=given.rows, name=name)


def _pictures(given: settings.PicturesConfig, name: str) -> Output:
    from tickseal_gateway.outputs.picture_archive import PictureArchive  # noqa: PLC0415

    folder, size = Path(given.folder).expanduser(), given.size_bytes
    return PictureArchive(folder, every_ns=given.every_ns, size_most=size, name=name)


def _video(given: settings.VideoConfig, name: str) -> Output:
    from tickseal_gateway.outputs.video import VideoFiles  # noqa: PLC0415

    folder, size = Path(given.folder).expanduser(), given.size_bytes
    return VideoFiles(folder, every_ns=given.every_ns, size_most=size, name=name)


def _mqtt(given: settings.MQTTConfig, name: str) -> Output:
    from tickseal_gateway.outputs.home_assistant import Topics  # noqa: PLC0415
    from tickseal_gateway.outputs.mqtt import MQTTOutput  # noqa: PLC0415

    context = None
    if given.tls or given.ca:
        try:
            context = ssl.create_default_context(cafile=given.ca or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"[[outputs]] {name}: cannot use ca {given.ca}: {error}") from None
    return MQTTOutput(
        given.host,
        given.port or (_MQTT_TLS_PORT if context else _MQTT_PORT),
        topics=Topics(given.topic),
        prefix=given.discovery,
        every_ns=given.every_ns,
        user=given.user,
        password=settings.secret(given.password, given.password_file),
        tls=context,
        name=name,
    )


def _prometheus(given: settings.PrometheusConfig, name: str) -> Output:
    from tickseal_gateway.outputs.prometheus import PrometheusMetrics  # noqa: PLC0415

    return PrometheusMetrics(given.host, given.port, readings=given.readings, name=name)


def _influx(given: settings.InfluxConfig, name: str) -> Output:
    from tickseal_gateway.outputs.influx import InfluxLines  # noqa: PLC0415

    token = settings.secret(given.token, given.token_file)
    return InfluxLines(given.url, measurement=given.measurement, token=token, name=name)


def _needing(extra: str, package: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except ImportError as error:
        raise ConfigError(
            f"[[outputs]] kind {extra!r} needs the package {package} ({error}); install it with: "
            f"pip install 'tickseal[{extra}]'"
        ) from None


def _free_name(kind: str, taken: set[str]) -> str:
    number, name = 2, kind
    while name in taken:
        name, number = f"{kind}-{number}", number + 1
    return name

"""The edge's configuration: one TOML file; everything has a default but what is to be streamed."""

import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tickseal.clock import ClockAction
from tickseal.configuration.configuration import Between, Duration, Length, Size
from tickseal.core.errors import ConfigError, EnrolmentError
from tickseal.host.configuration_file import read_configuration
from tickseal.invite import split_address
from tickseal_edge.production.stream_config import AnyStream, HostStream

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """What to do while the clock cannot be trusted.

    Args:
        action: flag the frames, hold them back, or stop.
        widest_ns: the widest uncertainty (half width) that counts as trusted.
        source: what tells the time: one of them, or the best that there is.
        ptp_device: the network card's clock; by default the one of ptp4l's interface.
        ptp_socket: ptp4l's management socket; by default where it usually is.
        ptp_domain: PTP domain number.
        ptp_untraceable: take a PTP grandmaster at its word that claims no primary reference.
        pps_device: the line of pulses.
        gpsd: "host:port" of gpsd, to name the second of the pulses; by default the kernel's clock
            does, which chrony or the like must steer then.
        chrony: "host:port" of chronyd's command port.
    """

    action: ClockAction = ClockAction.FLAG
    widest_ns: Annotated[int, Duration("1us", "1h")] = _SECOND // 2
    source: Literal["auto", "ptp", "pps", "chrony", "kernel"] = "auto"
    ptp_device: str = ""
    ptp_socket: str = ""
    ptp_domain: Annotated[int, Between(0, 255)] = 0
    ptp_untraceable: bool = False
    pps_device: str = "/dev/pps0"
    gpsd: str = ""
    chrony: str = "127.0.0.1:323"

    def __post_init__(self) -> None:
        """Check the addresses."""
        for name in ("gpsd", "chrony"):
            if value := getattr(self, name):
                try:
                    split_address(value)
                except EnrolmentError:
                    raise ConfigError(f'{name} = "{value}": it is written host:port') from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """How much is kept while the gateway is away.

    Args:
        most_bytes: beyond this the oldest frames are dropped, and counted.
        sync_ns: how often what waits is put on the disk: a power cut costs no more than that, and
            an SD card lives the longer the rarer it is.
    """

    most_bytes: Annotated[int, Size("64KiB", "64GiB")] = 64 << 20
    sync_ns: Annotated[int, Duration("100ms", "10min")] = 5 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """The whole file.

    Args:
        name: what the device calls itself; by default the machine's host name.
        state: directory of identity and state; by default ~/.local/state/tickseal-edge.
        suite: how frames are sealed; by itself the one that the processor is quicker at.
        streams: what is streamed; by default the host's telemetry.
    """

    name: Annotated[str, Length(0, 64)] = ""
    state: str = ""
    suite: Literal["auto", "aes-256-gcm", "chacha20-poly1305"] = "auto"
    clock: ClockConfig = field(default_factory=ClockConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)
    streams: tuple[AnyStream, ...] = (HostStream(),)

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the machine, and check that ids differ."""
        name = self.name or socket.gethostname()[:64] or "edge"
        object.__setattr__(self, "name", name)
        named = tuple(
            stream if stream.id else replace(stream, id=f"{name}/{stream.label}")
            for stream in self.streams
        )
        object.__setattr__(self, "streams", named)
        ids = [stream.id for stream in named]
        for repeated in {one for one in ids if ids.count(one) > 1}:
            raise ConfigError(f"two streams have the id {repeated!r}; give each an id of its own")

    @property
    def state_path(self) -> Path:
        """Where identity and state are."""
        if self.state:
            return Path(self.state).expanduser()
        return Path("~/.local/state/tickseal-edge").expanduser()


def load_config(path: Path | None) -> EdgeConfig:
    """Return the configuration of a file; the defaults where none is given.

    Raises:
        ConfigError: it cannot be read, or says something that is not allowed.
    """
    if path is None:
        return EdgeConfig(streams=(HostStream(),))
    return read_configuration(path, EdgeConfig)

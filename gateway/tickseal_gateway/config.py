"""What a gateway is told by its configuration file; every key has a default that works."""

import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tickseal.clock import ClockAction
from tickseal.configuration.configuration import Between, Duration, Length, Size
from tickseal.core import constants
from tickseal.core.errors import ConfigError
from tickseal.host.configuration_file import read_configuration
from tickseal.invite import split_address
from tickseal.sessions.negotiation import NegotiationPolicy, Span
from tickseal.streams.parameters import Profile, Renewal, Suite
from tickseal_gateway.outputs.settings import OutputConfig
from tickseal_gateway.serial import SerialConfig

_SECOND = 1_000_000_000
_HOUR = 3600 * _SECOND
#: What `host` says for every address of this machine, IPv6 and IPv4.
ANY_HOST = "*"
#: Fewest levels of the epoch tree where forward secrecy is asked for.
_DEPTH_MIN = 16


def _host_name() -> str:
    return socket.gethostname()[:64] or "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """[gateway]: who it is and where it listens.

    Args:
        name: by which it calls itself to devices.
        state: directory of keys and registry; empty for the default of default_state().
        registry: SQLAlchemy URL of the registry; empty for SQLite in the state directory.
        host: local address for control (TCP) and data (UDP); "*" for all.
        port: of both; 0 for any free one.
        addresses: "host:port" as devices reach it, for invites; empty for this machine's own.
    """

    name: Annotated[str, Length(1, 64)] = field(default_factory=_host_name)
    state: str = ""
    registry: str = field(default="", repr=False)
    host: Annotated[str, Length(1, 255)] = ANY_HOST
    port: Annotated[int, Between(0, 65535)] = 4710
    addresses: Annotated[tuple[str, ...], Length(0, 8)] = ()

    def __post_init__(self) -> None:
        """Check the form of the addresses."""
        for address in self.addresses:
            split_address(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """[page]: the local web page.

    Args:
        enabled: whether it is served.
        host, port: where; port 0 for any free one, host "*" for all addresses. Until a password is
            made on the page, only loopback.
        names: host names by which browsers reach it, besides addresses and this machine's own name.
        tls: auto: on wherever it is reached from other machines; on; off.
        certificate, key: PEM files; empty for a certificate that is made here.
    """

    enabled: bool = True
    host: Annotated[str, Length(1, 255)] = "127.0.0.1"
    port: Annotated[int, Between(0, 65535)] = 4780
    names: Annotated[tuple[str, ...], Length(0, 16)] = ()
    tls: Literal["auto", "on", "off"] = "auto"
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        """Check that a certificate comes with its key."""
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("certificate and key go together: name both or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """[policy]: what devices may have.

    Args:
        suites: allowed, the preferred first.
        renewals: how often keys may change, the preferred first.
        shortest_interval_ns, longest_interval_ns: allowed length of a tick.
        hash_shortest, hash_longest: bytes of key hash in a segment.
        past_ns, skew_ns: most that a segment may be late, or early.
        frame_bytes: largest frame.
        forward_secrecy: refuse streams whose keys all hang from one secret (depth 0).
        allow_classical: allow invites without ML-KEM-768, for microcontrollers.
        approve: a new device may open streams only after `tickseal gateway approve`.
        types: shell patterns of the types of data that streams may have; empty for every type.
        devices, streams: most in all, and most of one device.
        renew_after_ns, renew_frames: when a generation is replaced by the next.
        linger_ns: how long the keys of a device that is gone are kept.
    """

    suites: Annotated[tuple[Suite, ...], Length(1, 3)] = tuple(Suite)
    renewals: Annotated[tuple[Renewal, ...], Length(1, 2)] = (
        Renewal.EVERY_FRAME,
        Renewal.EVERY_INTERVAL,
    )
    shortest_interval_ns: Annotated[int, Duration("1us", "24h")] = 1_000_000
    longest_interval_ns: Annotated[int, Duration("1us", "24h")] = _HOUR
    hash_shortest: Annotated[int, Between(8, 32)] = constants.KEY_HASH_MIN
    hash_longest: Annotated[int, Between(8, 32)] = constants.KEY_HASH_MAX
    past_ns: Annotated[int, Duration("0ns", "1h")] = 60 * _SECOND
    skew_ns: Annotated[int, Duration("0ns", "1h")] = 10 * _SECOND
    frame_bytes: Annotated[int, Size("1B", "64MiB")] = 16 << 20
    forward_secrecy: bool = True
    allow_classical: bool = True
    approve: bool = False
    types: Annotated[tuple[str, ...], Length(0, 64)] = ()
    devices: Annotated[int, Between(1, 1_000_000)] = 10_000
    streams: Annotated[int, Between(1, 100_000)] = 1000
    renew_after_ns: Annotated[int, Duration("10s", "3650d")] = 24 * _HOUR
    renew_frames: Annotated[int, Between(1000, 1 << 40)] = 1 << 30
    linger_ns: Annotated[int, Duration("1s", "365d")] = 600 * _SECOND

    def __post_init__(self) -> None:
        """Check that the spans are not empty."""
        for name, low, high in (
            ("interval", self.shortest_interval_ns, self.longest_interval_ns),
            ("hash", self.hash_shortest, self.hash_longest),
        ):
            if low > high:
                raise ConfigError(f"the shortest {name} is longer than the longest: swap them")

    def negotiation(self) -> NegotiationPolicy:
        """Return the policy as the negotiation takes it."""
        return NegotiationPolicy(
            suites=self.suites,
            profiles=(Profile.STANDARD, Profile.COMPACT),
            renewals=self.renewals,
            depth=Span(_DEPTH_MIN if self.forward_secrecy else 0, constants.DEPTH_MAX),
            frame_bytes=Span(1, self.frame_bytes),
            hash_length=Span(self.hash_shortest, self.hash_longest),
            interval_ns=Span(self.shortest_interval_ns, self.longest_interval_ns),
            past_ns=Span(0, self.past_ns),
            skew_ns=Span(0, self.skew_ns),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """[store]: where opened readings are kept.

    Args:
        enabled: whether they are.
        path: the SQLite file; empty for readings.db in the state directory.
        retention_ns: how long a reading is kept; 0 for ever.
        size_bytes: how much is kept; the readings that came first go.
        pictures: directory for the latest picture of each stream as a file; empty for none.
        commit_ns: longest time from a reading's arrival to its commit.
    """

    enabled: bool = True
    path: str = ""
    retention_ns: Annotated[int, Duration("0s", "36500d")] = 30 * 24 * _HOUR
    size_bytes: Annotated[int, Size("1MiB")] = 16 << 30
    pictures: str = ""
    commit_ns: Annotated[int, Duration("10ms", "60s")] = _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """[clock]: what happens when a device's clock and this machine's contradict each other.

    Args:
        policy: flag: go on and raise an alarm; hold: take no frame of that device meanwhile;
            stop: close its streams until they agree.
        widest_ns: widest uncertainty (half width) of this machine's clock without an alarm.
    """

    policy: ClockAction = ClockAction.FLAG
    widest_ns: Annotated[int, Duration("1us", "1h")] = 2 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class SinksConfig:
    """[sinks]: what separate sinks on other machines get of the streams that they may read.

    Args:
        span_ns: how far ahead a sink holds keys; a revoked one loses access within that at latest.
    """

    span_ns: Annotated[int, Duration("5s", "1h")] = 60 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingsConfig:
    """[recordings]: segments kept sealed, as they came, and under a key what opens them.

    Args:
        record: whether they are kept; grants at rest are sensitive (docs/security.md).
        streams: shell patterns of stream ids; none for every stream.
        path: the folder; empty for recordings in the state directory.
        retention_ns: how long an hour is kept; 0 for ever.
        size_bytes: how much the folder holds; the oldest hours go.
        commit_ns: longest time from a segment's arrival until it is written.
    """

    record: bool = False
    streams: Annotated[tuple[str, ...], Length(0, 64)] = ()
    path: str = ""
    retention_ns: Annotated[int, Duration("0s", "36500d")] = 7 * 24 * _HOUR
    size_bytes: Annotated[int, Size("1MiB")] = 16 << 30
    commit_ns: Annotated[int, Duration("100ms", "60s")] = 2 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration of a gateway."""

    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    page: PageConfig = field(default_factory=PageConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    outputs: Annotated[tuple[OutputConfig, ...], Length(0, 32)] = ()
    sinks: SinksConfig = field(default_factory=SinksConfig)
    serial: Annotated[tuple[SerialConfig, ...], Length(0, 64)] = ()
    recordings: RecordingsConfig = field(default_factory=RecordingsConfig)

    @property
    def state_path(self) -> Path:
        """The state directory."""
        return Path(self.gateway.state).expanduser() if self.gateway.state else default_state()

    @property
    def recordings_path(self) -> Path:
        """The folder of recordings."""
        given = self.recordings.path
        return Path(given).expanduser() if given else self.state_path / "recordings"

    def with_overrides(self, *, state: Path | None = None, port: int | None = None) -> "Config":
        """Return the configuration with what a command line said instead."""
        gateway = self.gateway
        if state is not None:
            gateway = replace(gateway, state=str(state))
        if port is not None:
            gateway = replace(gateway, port=port)
        return replace(self, gateway=gateway)


def default_state() -> Path:
    """Return where state lies unless it is said: systemd's directory, /var/lib, or the home."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/tickseal/gateway")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tickseal" / "gateway"


def default_files() -> tuple[Path, ...]:
    """Return where a configuration is looked for when none is named."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (
        Path(base).expanduser() / "tickseal" / "gateway.toml",
        Path("/etc/tickseal/gateway.toml"),
    )


def load(path: Path | None) -> Config:
    """Return the configuration of a file; of the first default file that exists where None.

    Raises:
        ConfigError: the file cannot be read, or says what is not allowed.
    """
    if path is None:
        path = next((file for file in default_files() if file.is_file()), None)
        if path is None:
            return Config()
    return read_configuration(path, Config)

"""What a separate sink is told by its configuration file; every key has a default that works."""

import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tickseal.configuration.configuration import Length
from tickseal.host.configuration_file import read_configuration
from tickseal_gateway.config import Config, StoreConfig
from tickseal_gateway.outputs.settings import OutputConfig


def _host_name() -> str:
    return socket.gethostname()[:64] or "sink"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """[sink]: who it is and what it reads.

    Args:
        name: by which it calls itself to the gateway.
        state: directory of its identity and readings; empty for the default of default_state().
        streams: ids of streams to read; none for all that the gateway allows.
    """

    name: Annotated[str, Length(1, 64)] = field(default_factory=_host_name)
    state: str = ""
    streams: Annotated[tuple[str, ...], Length(0, 64)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """The whole configuration of a separate sink: [store] and [[outputs]] are as a gateway's."""

    sink: SinkConfig = field(default_factory=SinkConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    outputs: Annotated[tuple[OutputConfig, ...], Length(0, 32)] = ()

    @property
    def state_path(self) -> Path:
        """The state directory."""
        return Path(self.sink.state).expanduser() if self.sink.state else default_state()

    def as_gateway(self) -> Config:
        """Return what a gateway with these outputs would be told."""
        return Config(store=self.store, outputs=self.outputs)


def default_state() -> Path:
    """Return where state lies unless it is said: systemd's directory, /var/lib, or the home."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/tickseal/sink")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tickseal" / "sink"


def default_files() -> tuple[Path, ...]:
    """Return where a configuration is looked for when none is named."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "tickseal" / "sink.toml", Path("/etc/tickseal/sink.toml")


def load(path: Path | None, state: Path | None = None) -> SinkSettings:
    """Return the configuration of a file; of the first default file that exists where None.

    Args:
        state: state directory, in place of the configured one.
    Raises:
        ConfigError: the file cannot be read, or says what is not allowed.
    """
    settings = SinkSettings()
    path = path or next((file for file in default_files() if file.is_file()), None)
    if path is not None:
        settings = read_configuration(path, SinkSettings)
    if state is not None:
        settings = replace(settings, sink=replace(settings.sink, state=str(state)))
    return settings

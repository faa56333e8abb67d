"""Boards: what each has, and how it is switched on; for `doctor` and for making images."""

import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tickseal.configuration.configuration import Between, Length, parse_toml
from tickseal.core.errors import ConfigError

GENERIC = "generic-linux"
#: In the project's folder; an installed package keeps them where the microcontrollers' are too.
_CHECKOUT, _PACKAGE = Path(__file__).parents[2] / "boards", "tickseal_flash"
_MODEL = Path("/proc/device-tree/model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """N of /dev/i2c-N or /dev/spidevN.0, its pins, and the line of config.txt that enables it."""

    bus: Annotated[int, Between(0, 255)]
    pins: str
    enable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A function on a GPIO, and the line of config.txt that enables it."""

    gpio: Annotated[int, Between(0, 53)]
    enable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GPIO:
    """The chip that the header's pins are on: N of /dev/gpiochipN."""

    chip: Annotated[int, Between(0, 63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PTP:
    """Who stamps PTP's packets on which interface."""

    stamps: Literal["hardware", "software", "none"]
    interface: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPort:
    """Camera connectors, the line of config.txt, and what encodes H.264."""

    connectors: Annotated[int, Between(0, 8)]
    h264: Literal["hardware", "software", "none"]
    enable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is sensible: a spool of so many MiB, and pictures up to that."""

    spool_mib: Annotated[int, Between(1, 65_536)]
    pictures: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """How the software gets there: onto an SD card with a base image, or as a package.

    Args:
        base: the image to start from, for people.
        config: where the running system has config.txt.
        modules: of the kernel, loaded at boot for the buses.
        debian: whether Debian's own kernel and firmware package run on it as well.
    """

    method: Literal["sd-card", "package"]
    base: str
    config: str
    modules: tuple[str, ...] = ()
    debian: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board.

    Args:
        name: for people.
        kind: a Linux machine; the microcontrollers' boards are in the same folder.
        models: how the kernel names it, as the beginning of /proc/device-tree/model.
        architecture: as `uname -m` says; empty for any.
        memory_mib: sizes that there are.
        aes: whether the processor has instructions for AES; None where it is not known before.
    """

    name: Annotated[str, Length(1, 100)]
    kind: Literal["linux"]
    models: tuple[str, ...]
    architecture: str
    memory_mib: tuple[int, ...]
    aes: bool | None = None
    i2c: Bus | None = None
    spi: Bus | None = None
    onewire: Pin | None = None
    gpio: GPIO | None = None
    pps: Pin | None = None
    ptp: PTP
    camera: CameraPort
    limits: Limits
    flash: Flash


def load_boards() -> dict[str, Board]:
    """Return all Linux boards by the names of their files.

    Raises:
        ConfigError: a file does not say what it must, or there are none.
    """
    folder = _CHECKOUT
    spec = find_spec(_PACKAGE)
    if not folder.is_dir() and spec is not None and spec.origin is not None:
        folder = Path(spec.origin).with_name("boards")
    texts = {path: path.read_text("utf-8") for path in sorted(folder.glob("*.toml"))}
    boards = {
        path.stem: parse_toml(text, Board, where=str(path))
        for path, text in texts.items()
        if tomllib.loads(text).get("kind") == "linux"
    }
    if GENERIC not in boards:
        raise ConfigError(f"{folder} lacks {GENERIC}.toml; install tickseal again")
    return boards


def this_board(boards: dict[str, Board], model_path: Path = _MODEL) -> str:
    """Return the name of the board that this machine is."""
    try:
        model = model_path.read_text("utf-8", "replace").rstrip("\0\n")
    except OSError:
        return GENERIC
    fitting = {
        beginning: name
        for name, board in boards.items()
        for beginning in board.models
        if model.startswith(beginning)
    }
    # "Raspberry Pi 500" begins as "Raspberry Pi 5" does.
    return fitting[max(fitting, key=len)] if fitting else GENERIC

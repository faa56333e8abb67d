"""Board profiles: boards/*.toml, what people plug in and how it is told apart."""

import functools
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tickseal.core.errors import ConfigError

MICROPYTHON = "micropython"
_CHECKOUT = Path(__file__).parents[2] / "boards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Microcontroller:
    """One kind of board that runs MicroPython.

    Attributes:
        id: what the file is called, for example "pico".
        name, chip: for people.
        usb: (vendor, product) while MicroPython runs on it.
        bootloader: (vendor, product) while it waits for a firmware.
        led: name of the pin of its LED, empty for none.
        firmware: the page with MicroPython for it.
        firmware_how: how to put that there.
    """

    id: str
    name: str
    chip: str
    usb: tuple[tuple[int, int], ...]
    bootloader: tuple[tuple[int, int], ...]
    led: str
    firmware: str
    firmware_how: str


def _folder() -> Path:
    if _CHECKOUT.is_dir():
        return _CHECKOUT
    if find_spec("tickseal_flash") is not None:
        return Path(str(files("tickseal_flash"))) / "boards"
    return _CHECKOUT


@functools.cache
def microcontrollers() -> dict[str, Microcontroller]:
    """Return the known kinds of boards with MicroPython, by id.

    Raises:
        ConfigError: a profile is not as it should be.
    """
    found = {}
    for path in sorted(_folder().glob("*.toml")):
        given = tomllib.loads(path.read_text("utf-8"))
        if given.get("kind") == MICROPYTHON:
            found[path.stem] = _load(path.stem, given)
    return found


def _load(name: str, given: dict[str, Any]) -> Microcontroller:
    try:
        return Microcontroller(
            id=name,
            name=given["name"],
            chip=given["chip"],
            usb=tuple(map(_usb, given["usb"])),
            bootloader=tuple(map(_usb, given["bootloader"])),
            led=given["led"],
            firmware=given["firmware"],
            firmware_how=given["firmware_how"],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"boards/{name}.toml: {error!r}") from None


def _usb(text: str) -> tuple[int, int]:
    vendor, product = text.split(":")
    return int(vendor, 16), int(product, 16)


def known_usb() -> frozenset[tuple[int, int]]:
    """Return (vendor, product) of all boards that run MicroPython."""
    return frozenset(usb for board in microcontrollers().values() for usb in board.usb)

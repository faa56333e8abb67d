"""Builds MicroPython for the emulated board, of the port beside this file, once a recipe."""

import hashlib
from pathlib import Path

from hil_tests.bench import micropython_source as source

PROGRAMS = {"qemu-system-arm": "qemu-system-arm"}

_PORT = Path(__file__).parent / "port"


def firmware() -> Path:
    """Return the ELF file, building it first where the cache lacks it.

    Raises:
        LackingError: the sources cannot be fetched.
    """
    tree = source.tree()
    recipe = hashlib.sha256(str(tree.micropython).encode() + Path(__file__).read_bytes())
    for path in sorted(_PORT.iterdir()):
        recipe.update(path.name.encode() + path.read_bytes())
    elf = source.CACHE / f"cortex-m3-{recipe.hexdigest()[:16]}.elf"
    with source.exclusive():
        if not elf.exists():
            for old in source.CACHE.glob("cortex-m3-*.elf"):
                old.unlink()
            with source.building() as work:
                source.check(
                    *("make", "-s", "-j2", "-C", str(_PORT)),
                    *(f"TOP={tree.micropython}", f"BUILD={work}/build"),
                )
                (work / "build" / "firmware.elf").rename(elf)
    return elf

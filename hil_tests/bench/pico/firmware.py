"""Builds the RPI_PICO firmware of MicroPython, its C code unmodified, once for each recipe.

Frozen into it is what that board's own manifest freezes, less the four drivers of micropython-lib,
which Debian's source package leaves out.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hil_tests.bench import micropython_source as source

PROGRAMS = {"cmake": "cmake"}

_LEFT_OUT = ("onewire", "ds18x20", "dht", "neopixel")
#: Where flash begins in the address space, and the family that UF2 knows the chip by.
_FLASH = "0x10000000"
_RP2040 = "0xe48bff56"


def firmware(frozen: Mapping[str, bytes] | None = None) -> Path:
    """Return the UF2 image, building it first where the cache lacks it.

    Args:
        frozen: files to build it with, by name; the manifest.py among them takes the place of the
            board's own.
    Raises:
        LackingError: the sources cannot be fetched.
    """
    tree = source.tree()
    recipe = hashlib.sha256(str(tree.micropython).encode())
    recipe.update(Path(__file__).read_bytes() + repr(frozen).encode())
    kind = "frozen" if frozen else "plain"
    image = source.CACHE / f"pico-{kind}-{recipe.hexdigest()[:16]}.uf2"
    with source.exclusive():
        if not image.exists():
            for old in source.CACHE.glob(f"pico-{kind}-*.uf2"):
                old.unlink()
            with source.building() as work:
                _build(tree, work, frozen or {})
                (work / "firmware.uf2").rename(image)
    return image


def _build(tree: source.Tree, work: Path, frozen: Mapping[str, bytes]) -> None:
    build = work / "build"
    # MicroPython has no C++; the SDK's one C++ file would need libstdc++, 300 MB to download.
    libraries = work / "libraries"
    libraries.mkdir()
    for name in ("libstdc++.a", "libstdc++_nano.a"):
        source.check("arm-none-eabi-ar", "rc", str(libraries / name))
    for driver in _LEFT_OUT:
        empty = libraries / "micropython" / driver
        empty.mkdir(parents=True)
        (empty / "manifest.py").touch()
    (libraries / "README.md").touch()  # looked for, to see whether the libraries are there
    for name, content in frozen.items():
        (work / name).write_bytes(content)
    manifest = [f"-DMICROPY_FROZEN_MANIFEST={work}/manifest.py"] if frozen else []
    source.check(
        "cmake",
        *("-S", str(tree.micropython / "ports" / "rp2"), "-B", str(build)),
        "-DMICROPY_BOARD=RPI_PICO",
        *manifest,
        f"-DMICROPY_LIB_DIR={libraries}",
        f"-DPICO_SDK_PATH_OVERRIDE={tree.packages}/usr/src/pico-sdk",
        "-DPICO_NO_PICOTOOL=1",
        f"-DCMAKE_EXE_LINKER_FLAGS=-L{libraries}",
        CXXFLAGS="-DPICO_CXX_DISABLE_ALLOCATION_OVERRIDES=1",
    )
    source.check("make", "-s", "-j2", "-C", str(build))
    source.check(
        "python3",
        str(tree.micropython / "tools" / "uf2conv.py"),
        *("-b", _FLASH, "-f", _RP2040, "-c", "-o", str(work / "firmware.uf2")),
        str(build / "firmware.bin"),
    )

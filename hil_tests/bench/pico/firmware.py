"""Builds the RPI_PICO firmware of MicroPython, its C code unmodified, once for each recipe.

Frozen into it is what that board's own manifest freezes, less the four drivers of micropython-lib
(onewire, ds18x20, dht, neopixel), which Debian's source package leaves out.
"""

import hashlib
from pathlib import Path

from hil_tests.bench import micropython_source as source

PROGRAMS = {"cmake": "cmake"}

_HERE = Path(__file__)
_MANIFEST = _HERE.parent / "manifest.py"
#: Where flash begins in the address space, and the family that UF2 knows the chip by.
_FLASH = "0x10000000"
_RP2040 = "0xe48bff56"


def firmware() -> Path:
    """Return the UF2 image, building it first where the cache lacks it.

    Raises:
        LackingError: the sources cannot be fetched.
    """
    tree = source.tree()
    recipe = hashlib.sha256(str(tree.micropython).encode())
    recipe.update(_HERE.read_bytes() + _MANIFEST.read_bytes())
    image = source.CACHE / f"pico-{recipe.hexdigest()[:16]}.uf2"
    with source.exclusive():
        if not image.exists():
            for old in source.CACHE.glob("pico-*.uf2"):
                old.unlink()
            with source.building() as work:
                _build(tree, work)
                (work / "firmware.uf2").rename(image)
    return image


def _build(tree: source.Tree, work: Path) -> None:
    build = work / "build"
    # MicroPython has no C++; the SDK's one C++ file would need libstdc++, 300 MB to download.
    libraries = work / "libraries"
    libraries.mkdir()
    for name in ("libstdc++.a", "libstdc++_nano.a"):
        source.check("arm-none-eabi-ar", "rc", str(libraries / name))
    source.check(
        "cmake",
        *("-S", str(tree.micropython / "ports" / "rp2"), "-B", str(build)),
        "-DMICROPY_BOARD=RPI_PICO",
        f"-DMICROPY_FROZEN_MANIFEST={_MANIFEST}",
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

"""Compiles the emulator for this Python alone, once: three times as fast as its wheel from PyPI.

The wheel serves every Python by the stable ABI, in which each read and write of the chip's memory
looks for a Python method that may have taken the place of the compiled one. It brings its C code.
"""

import importlib.metadata
import shutil
import sysconfig
from pathlib import Path

from hil_tests.bench import micropython_source as source

_PACKAGE = "rp2040py"


def search_path() -> str:
    """Return what PYTHONPATH should be: a folder with the compiled emulator, or nothing.

    Where this Python's headers are not installed, the wheel has to do.
    """
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        return ""
    wheel = importlib.metadata.distribution(_PACKAGE)
    folder = source.CACHE / f"{_PACKAGE}-{wheel.version}-{sysconfig.get_config_var('SOABI')}"
    with source.exclusive():
        if not folder.exists():
            with source.building() as work:
                _compile(Path(str(wheel.locate_file(_PACKAGE))), work / _PACKAGE, headers)
                work.rename(folder)
    return str(folder)


def _compile(installed: Path, package: Path, headers: Path) -> None:
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for file in sorted((package / "native").glob("*.c")):
        module = str(file.with_suffix(sysconfig.get_config_var("EXT_SUFFIX")))
        source.check(
            "gcc", "-O2", "-w", "-shared", "-fPIC", f"-I{headers}", str(file), "-o", module
        )
        file.unlink()

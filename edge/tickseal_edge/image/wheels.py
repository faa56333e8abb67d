"""tickseal and the packages that it needs, for an image: fetched once, then from a cache.

pip can collect for another machine, but takes the conditions in what packages need from its own.
So it is started with the names of the other machine in place of its own.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution, requires, version
from importlib.util import find_spec
from pathlib import Path

from tickseal_edge.image.programs import ImageError
from tickseal_edge.image.progress import Progress

_CHECKOUT = Path(__file__).parents[3]
_PIP_AS = """
import platform, runpy, sys
machine, python = sys.argv[1:3]
del sys.argv[1:3]
platform.machine = lambda: machine
platform.python_version = lambda: python + ".0"
platform.python_version_tuple = lambda: (*python.split("."), "0")
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
#: Newest C library first; what Debian 12 (glibc 2.36) can load.
_GLIBC = (36, 35, 34, 33, 32, 31, 28, 27, 26, 24, 17)
#: Pure Python that its authors publish as source only.
_SOURCE_ONLY = ("adafruit-extended-bus",)
_SAID_LINES = 6
#: Compiles for the image, where it is installed (Debian: gcc-aarch64-linux-gnu).
_COMPILER = "aarch64-linux-gnu-gcc"
_HOT_PATH = "tickseal/native/hotpath.abi3.so"


def cache_folder() -> Path:
    """Return where downloads are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tickseal" / "image"


def requirements(extras: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return what this tickseal needs with these extras, and what is wanted besides."""
    wanted = ["pip", *more]
    for line in requires("tickseal") or []:
        requirement, _, condition = line.partition(";")
        extra = condition.partition("extra ==")[2].strip().strip("'\" ")
        if not extra or extra in extras:
            wanted.append(requirement.strip())
    return sorted(set(wanted))


def collect(wanted: Sequence[str], python: str, progress: Progress, *, refresh: bool) -> Path:
    """Return a folder with wheels for aarch64 of all that is wanted and what that needs.

    Args:
        python: the image's, "3.13".
        refresh: fetch again what the cache has.
    Raises:
        ImageError: something cannot be fetched, or has no wheel.
    """
    digest = hashlib.sha256(json.dumps(list(wanted)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"wheels-{python}-{digest}"
    if folder.exists() and not refresh:
        with progress.step(f"packages for Python {python}, from the cache"):
            return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.step(f"packages for Python {python}, downloaded"),
        tempfile.TemporaryDirectory(dir=folder.parent) as name,
    ):
        target = Path(name, "wheels")
        target.mkdir()
        for one in wanted:
            if one.startswith(_SOURCE_ONLY):
                _pip("wheel", "--no-deps", "--wheel-dir", str(target), one)
        places = ["--dest", str(target), "--find-links", str(target)]
        _pip_as(python, "download", *places, *_platforms(), *wanted)
        shutil.rmtree(folder, ignore_errors=True)
        target.rename(folder)
    return folder


def install(wanted: Sequence[str], python: str, wheels: Path, packages: Path) -> bool:
    """Unpack tickseal and all that is wanted into `packages`, without a network.

    Returns:
        Whether the hot path in C is among it.
    """
    places = ["--no-index", "--find-links", str(wheels), "--target", str(packages)]
    _pip_as(python, "install", "--no-compile", *places, *_platforms(), *wanted)
    # Its programs begin with this machine's Python.
    shutil.rmtree(packages / "bin", ignore_errors=True)
    if (_CHECKOUT / "pyproject.toml").is_file():
        with tempfile.TemporaryDirectory() as folder:
            environment = _environment(Path(folder))
            _pip("wheel", "--no-deps", "--wheel-dir", folder, str(_CHECKOUT), **environment)
            wheel = str(next(Path(folder).glob("tickseal-*.whl")))
            places = ["--target", str(packages), wheel]
            _pip("install", "--no-compile", "--no-deps", *places, **environment)
        shutil.rmtree(packages / "bin", ignore_errors=True)
    else:
        for source, place in _own_files():
            target = packages / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return (packages / _HOT_PATH).exists()


def own_version() -> str:
    """Return the version of tickseal that goes into the image: this one."""
    return version("tickseal")


def _own_files() -> Iterator[tuple[Path, str]]:
    """Return the files of the tickseal that is installed here, but for what is compiled."""
    own = distribution("tickseal")
    for file in own.files or []:
        place = str(file)
        if not place.startswith("..") and not place.endswith((".so", ".pyc")):
            yield Path(str(file.locate())), place


def _environment(folder: Path) -> dict[str, str]:
    """Return what has the hot path in C compiled for aarch64; it is left out where it cannot be.

    Args:
        folder: for a header.
    """
    machine = platform.machine()
    if machine == "aarch64":
        return {"TICKSEAL_PURE": "0"}
    if machine != "x86_64" or shutil.which(_COMPILER) is None:
        return {}
    # Debian keeps the sizes of C's types apart by machine; on these two they are the same.
    general = Path(sysconfig.get_config_h_filename())
    place = Path(general.parent.name, general.name)
    header = folder / "aarch64-linux-gnu" / place
    header.parent.mkdir(parents=True)
    header.write_text(f'#include "{general.parents[1] / "x86_64-linux-gnu" / place}"\n')
    return {
        "TICKSEAL_PURE": "0",
        "CC": _COMPILER,
        "CFLAGS": f"-I{folder}",
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",  # the wheel's name says so
    }


def _platforms() -> list[str]:
    names = [f"manylinux_2_{minor}_aarch64" for minor in _GLIBC]
    tags = [word for name in [*names, "manylinux2014_aarch64"] for word in ("--platform", name)]
    return [*tags, "--only-binary", ":all:"]


def _pip_as(python: str, *arguments: str) -> None:
    _run(["-c", _PIP_AS, "aarch64", python], [*arguments, "--python-version", python])


def _pip(*arguments: str, **environment: str) -> None:
    _run(["-m", "pip"], arguments, environment)


def _run(
    start: Sequence[str], arguments: Sequence[str], environment: dict[str, str] | None = None
) -> None:
    if find_spec("pip") is None:
        raise ImageError(
            f"this Python has no pip; run: {sys.executable} -m ensurepip (or, with uv: uv pip "
            "install pip)"
        )
    done = subprocess.run(  # noqa: S603 - this Python, and no shell
        [sys.executable, *start, "--disable-pip-version-check", "--no-input", *arguments],
        capture_output=True,
        text=True,
        check=False,
        # The hot path in C would be compiled for this machine.
        env=os.environ
        | {"TICKSEAL_PURE": "1", "PIP_QUIET": "1", "PIP_USER": "0"}
        | (environment or {}),
    )
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr).strip().splitlines()
    if any("No matching distribution" in line for line in said):
        advice = (
            "a package has no wheel for aarch64 and this Python, or the index cannot be reached"
        )
    else:
        advice = "check the network; what was fetched once is taken from the cache"
    raise ImageError("\n".join([f"pip failed: {advice}:", *said[-_SAID_LINES:]]))

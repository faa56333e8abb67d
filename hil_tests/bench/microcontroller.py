"""A microcontroller with MicroPython at the end of a serial cable, emulated or real, and mpremote.

What a test may do with one: copy files to it, run code on it, reset it, and open its cables.
"""

import os
import select
import subprocess
import sys
import time
import tty
from pathlib import Path
from typing import Protocol

#: What a board says when it waits for a line of Python.
PROMPT = b">>> "
#: Patience with emulators, which stand still while the machine has other work.
PROMPT_TIMEOUT_SECONDS = 300
PATIENCE_SECONDS = 600


class Microcontroller(Protocol):
    """One board. Files copied to it outlive a reset, and end with stop()."""

    @property
    def name(self) -> str:
        """What the board is, for people."""
        ...

    @property
    def repl(self) -> str:
        """The terminal that has its REPL; mpremote connects there."""
        ...

    @property
    def data(self) -> str:
        """The terminal on which its firmware speaks; the same one where the board has one cable."""
        ...

    def start(self, files: Path | None = None) -> None:
        """Give it power, and beforehand the content of a folder as its files.

        Returns when it answers; where its files have a main.py, when that runs.
        """
        ...

    def reset(self) -> None:
        """Do what its reset button does: lose what is in memory, keep the files, begin again."""
        ...

    def stop(self) -> None:
        """Take the power away, and with it its terminals and files."""
        ...


class MpremoteError(Exception):
    """mpremote failed; the message is what it said."""


def mpremote(
    board: Microcontroller, *arguments: str | Path, timeout_s: float = PATIENCE_SECONDS
) -> str:
    """Run a command of mpremote on a board and return what it printed.

    Raises:
        MpremoteError: it failed, or code that ran on the board did.
    """
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.repl, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        raise MpremoteError(done.stdout + done.stderr)
    return done.stdout


def copy(board: Microcontroller, folder: Path) -> None:
    """Copy what is in a folder to the root of a board's file system."""
    mpremote(board, "resume", "fs", "cp", "-r", *sorted(folder.iterdir()), ":")


def await_prompt(terminal: str, *, timeout_s: float = PROMPT_TIMEOUT_SECONDS) -> None:
    """Wait until a board answers a carriage return with its prompt.

    A board that runs its main.py does not; mpremote, which connects too early, waits for ever.

    Raises:
        TimeoutError: it does not answer.
    """
    heard = b""
    deadline = time.monotonic() + timeout_s
    file = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(file)
        while not heard.endswith(PROMPT):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{terminal}: no prompt in {timeout_s} s, but {heard[-200:]!r}")
            os.write(file, b"\r")
            while select.select([file], [], [], 0.3)[0]:
                heard += os.read(file, 4096)
    finally:
        os.close(file)

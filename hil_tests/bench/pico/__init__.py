"""A Raspberry Pi Pico: MicroPython's own firmware for it, run by the RP2040 emulator rp2040py.

The emulator counts the chip's own time exactly, and runs some seven times slower than the chip.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from hil_tests.bench import micropython_source
from hil_tests.bench.littlefs_image import littlefs_image
from hil_tests.bench.microcontroller import await_prompt
from hil_tests.bench.pico.chip_time import TIME_BYTES
from hil_tests.bench.pico.compiled import search_path
from hil_tests.bench.pico.firmware import PROGRAMS, firmware

#: The Pico's file system: the last 1408 KB of its flash.
BLOCKS = 352
BLOCK_BYTES = 4096

_EMULATOR = "hil_tests.bench.pico.emulator"

CHECKOUT = micropython_source.CACHE.parents[1]


def what_is_missing() -> str | None:
    """Return why there is no virtual Pico here and the way out, or None if there is."""
    for module, package in {"rp2040py": "rp2040py", "littlefs": "littlefs-python"}.items():
        if importlib.util.find_spec(module) is None:
            return f"the virtual Pico needs a Python package: pip install {package}"
    return micropython_source.what_is_missing(PROGRAMS)


class VirtualPico:
    """One Pico with an empty file system. REPL and data share its USB serial port.

    Args:
        frozen: files to build its firmware with, a manifest.py of MicroPython's among them.
    Attributes:
        clock: the file with the chip's own time, while it has power; see chip_time.
    Raises:
        LackingError: its firmware cannot be built here.
    """

    name = "virtual Raspberry Pi Pico"

    def __init__(self, frozen: Mapping[str, bytes] | None = None) -> None:
        self._firmware = firmware(frozen)
        self._environment = {**os.environ, "PYTHONPATH": search_path()}
        self._process: subprocess.Popen[str] | None = None
        self.repl = self.data = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self, files: Path | None = None) -> None:
        """Give it power; wait for its prompt, or where it has files until it is on USB."""
        self._folder = tempfile.TemporaryDirectory(prefix="pico-")
        folder = Path(self._folder.name)
        empty, flash, self.clock = folder / "empty", folder / "flash.img", folder / "time"
        empty.mkdir()
        self.clock.write_bytes(bytes(TIME_BYTES))
        flash.write_bytes(littlefs_image(files or empty, blocks=BLOCKS, block_bytes=BLOCK_BYTES))
        self._process = subprocess.Popen(
            [sys.executable, "-m", _EMULATOR, self._firmware, flash, self.clock],
            cwd=CHECKOUT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.repl = self.data = self._answer()
        if files is None:
            await_prompt(self.repl)

    def reset(self) -> None:
        """Press its reset button and wait until it is back on USB."""
        self._command("reset")
        self._answer()

    def set_entropy(self, *, good: bool) -> None:
        """Let its ring oscillator give random bits, or the same bit for ever."""
        self._command("entropy good" if good else "entropy stuck")

    def stop(self) -> None:
        """Take the power away."""
        if self._process:
            self._process.communicate()
            self._process = None
            self._folder.cleanup()

    def _command(self, line: str) -> None:
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            raise RuntimeError(f"the {self.name} has no power: call start() first")
        stdin.write(line + "\n")
        stdin.flush()

    def _answer(self) -> str:
        stdout = self._process.stdout if self._process else None
        line = stdout.readline().strip() if stdout else ""
        if not line:
            raise RuntimeError(f"the {self.name} ended; its emulator's output says why")
        return line

"""A Cortex-M3 with MicroPython and two UARTs, each a pseudo-terminal: QEMU's mps2-an385 board.

The second UART is a data cable of its own, `machine.UART(1)` on the board.
"""

import importlib.util
import json
import os
import subprocess
import tempfile
import tty
from pathlib import Path
from typing import Any, Self

from hil_tests.bench import micropython_source
from hil_tests.bench.cortex_m3.firmware import PROGRAMS, firmware
from hil_tests.bench.littlefs_image import littlefs_image
from hil_tests.bench.microcontroller import await_prompt
from hil_tests.bench.virtual_pi import host

#: Where port/_boot.py finds what its file system begins with, and how large that is.
FACTORY_IMAGE = 0x21800000
BLOCKS = 2048
BLOCK_BYTES = 512

#: Counts 8 ns an instruction instead of the host's time: measurements repeat, at 125 MIPS.
COUNTED = ("-icount", "shift=3,sleep=off,align=off")


def what_is_missing() -> str | None:
    """Return why there is no emulated Cortex-M3 here and the way out, or None if there is."""
    if importlib.util.find_spec("littlefs") is None:
        return "the emulated Cortex-M3 needs a Python package: pip install littlefs-python"
    return micropython_source.what_is_missing(PROGRAMS)


class CortexM3:
    """One board with an empty file system, whose memory its resets leave as it is.

    Args:
        counted_time: its clock counts instructions, for measurements; it runs with the host's
            clock otherwise, as whoever talks to it needs.

    Raises:
        LackingError: its firmware cannot be built here.
    """

    name = "emulated Cortex-M3"

    def __init__(self, *, counted_time: bool = False) -> None:
        self._firmware = firmware()
        self._counted_time = counted_time
        self._process: subprocess.Popen[str] | None = None
        self._terminals: list[int] = []
        self.repl = self.data = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self, files: Path | None = None) -> None:
        """Give it power; wait for its prompt, or where it has files until it is on its way."""
        self._folder = tempfile.TemporaryDirectory(prefix="cortex-m3-")
        folder = Path(self._folder.name)
        empty, flash = folder / "empty", folder / "flash.img"
        empty.mkdir()
        flash.write_bytes(littlefs_image(files or empty, blocks=BLOCKS, block_bytes=BLOCK_BYTES))
        self._process = subprocess.Popen(
            [
                *(host.find("qemu-system-arm") or "qemu-system-arm", "-machine", "mps2-an385"),
                *("-display", "none", "-qmp", "stdio"),
                # The board's random bytes are the host's, which it reads as a file.
                *("-semihosting-config", "enable=on,target=native"),
                *("-chardev", "pty,id=repl", "-serial", "chardev:repl"),
                *("-chardev", "pty,id=data", "-serial", "chardev:data"),
                *(COUNTED if self._counted_time else ()),
                *("-kernel", self._firmware),
                *("-device", f"loader,file={flash},addr={FACTORY_IMAGE:#x},force-raw=on"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._execute("qmp_capabilities")
        terminals = {each["label"]: each["filename"] for each in self._execute("query-chardev")}
        self.repl = terminals["repl"].removeprefix("pty:")
        self.data = terminals["data"].removeprefix("pty:")
        # QEMU looks only once a second whether somebody has opened a terminal; so we have.
        for terminal in (self.repl, self.data):
            file = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(file)
            self._terminals.append(file)
        if files is None:
            await_prompt(self.repl)

    def reset(self) -> None:
        """Press its reset button."""
        self._execute("system_reset")

    def stop(self) -> None:
        """Take the power away."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._folder.cleanup()
        while self._terminals:
            os.close(self._terminals.pop())

    def _execute(self, command: str) -> Any:
        """Run a command of QEMU's machine protocol and return its result."""
        process = self._process
        if not process or not process.stdin or not process.stdout:
            raise RuntimeError(f"the {self.name} has no power: call start() first")
        process.stdin.write(json.dumps({"execute": command}) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            # Between answers there are events, and what QEMU says for people.
            message = json.loads(line) if line.startswith("{") else {}
            if "error" in message:
                raise RuntimeError(f"QEMU refuses {command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]
        raise RuntimeError(f"the {self.name} ended; its emulator's output says why")

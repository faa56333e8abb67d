"""The machine: which board, what its processor can, disk, permissions, service, clock."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tickseal.core.errors import TicksealError
from tickseal_edge.boards import Board
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.clock.report import duration
from tickseal_edge.config import EdgeConfig
from tickseal_edge.doctor.findings import Finding, bad, note, well
from tickseal_edge.streams.suites import SUITES, has_aes

_UNIT = "tickseal-edge.service"
#: A card that takes longer than this for one small write is worn, or of the slowest kind.
_SLOW_SYNC_S = 0.5
_CLOCK_POLLS, _CLOCK_POLL_S = 3, 1.0
_OLDEST = (3, 11)


def check_board(name: str, board: Board) -> Iterator[Finding]:
    """Tell which board this is, and whether it is set up as it should be."""
    yield well("board", f"{board.name} ({name}), {platform.machine()}")
    if board.architecture and platform.machine() != board.architecture:
        yield bad(
            "board",
            f"a {platform.machine()} system on a board that does {board.architecture}",
            "install the 64-bit system: some packages have none for 32 bits",
        )
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    yield well("memory", f"{memory_mib} MiB")


def check_suite(config: EdgeConfig, board: Board) -> Iterator[Finding]:
    """Tell how frames will be sealed."""
    aes = has_aes()
    if config.suite == "auto":
        suite = "AES-256-GCM" if aes else "ChaCha20-Poly1305"
        yield well("suite", f"{suite}, as the processor has {'' if aes else 'no '}AES instructions")
    elif SUITES[config.suite] is SUITES["aes-256-gcm"] and not aes:
        yield note("suite", "AES-256-GCM without instructions for it", 'set suite = "auto"')
    else:
        yield well("suite", config.suite)
    if board.aes is not None and board.aes is not aes:
        yield note("suite", "the processor is not as this board's should be")


def check_disk(config: EdgeConfig) -> Iterator[Finding]:
    """Look at the state directory: rights, room, and how long the disk takes."""
    path = config.state_path
    while not path.exists():
        path = path.parent
    if not os.access(path, os.W_OK | os.X_OK):
        yield bad(
            "state",
            f"this user cannot write to {path}",
            f"run this as the service's user, or: sudo chown -R $USER {path}",
        )
        return
    free = shutil.disk_usage(path).free
    spooled = sum(file.stat().st_size for file in (config.state_path / "spool").glob("*"))
    needed = config.spool.most_bytes - spooled
    room = f"{free >> 20} MiB free, the spool may yet take {needed >> 20}"
    if needed > free:
        yield bad("disk", room, "make room, or set a smaller spool.most")
    else:
        yield well("disk", room)
    probe = path / f".doctor-{os.getpid()}"
    try:
        began = time.monotonic()
        with probe.open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        took = time.monotonic() - began
    except OSError as error:
        yield bad("disk", f"cannot write to {path}: {error.strerror}", "check the disk")
        return
    finally:
        probe.unlink(missing_ok=True)
    if took > _SLOW_SYNC_S:
        yield note("disk", f"a small write takes {took:.2f} s", "see whether the card is worn")
    else:
        yield well("disk", f"a small write takes {took * 1000:.1f} ms")


def check_service() -> Iterator[Finding]:
    """Look whether systemd starts it by itself."""
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").exists():
        yield note("service", "no systemd here", "start `tickseal edge run` at boot by other means")
        return
    done = subprocess.run(  # noqa: S603 - a fixed command
        ["systemctl", "is-enabled", _UNIT],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout.strip() == "enabled":
        yield well("service", f"{_UNIT} starts at boot")
    else:
        yield note(
            "service",
            f"{_UNIT} does not start at boot",
            f"sudo systemctl enable --now {_UNIT}",
        )


def check_clock(config: EdgeConfig, clock: ClockEnsemble) -> Iterator[Finding]:
    """Ask the clock's sources for a few seconds."""
    for _ in range(_CLOCK_POLLS):
        clock.poll()
        time.sleep(_CLOCK_POLL_S)
    try:
        now, status = clock.now(), clock.status()
    except TicksealError as error:
        yield bad("clock", str(error))
        return
    finally:
        clock.close()
    within = f"known to {duration(now.uncertainty_ns)}"
    if not now.is_synchronised:
        yield bad(
            "clock",
            f"nothing steers it; {within}",
            "install chrony, or systemd-timesyncd, and see that its servers can be reached; until "
            "then the gateway's time is used",
        )
    elif now.uncertainty_ns > config.clock.widest_ns:
        yield bad("clock", f"{within}, wider than clock.widest", "see `tickseal edge clock`")
    else:
        yield well("clock", f"by {status['source']}, {within}")
    if clock.disagreement:
        yield bad("clock", clock.disagreement, "see `tickseal edge clock`")


def check_python() -> Iterator[Finding]:
    """Look at the interpreter."""
    version = platform.python_version_tuple()
    if tuple(map(int, version[:2])) < _OLDEST:
        yield bad("python", platform.python_version(), "install Python 3.11 or newer")
    else:
        yield well("python", platform.python_version())

"""What flashing a board means: its files, its configuration, its invite, a seed for its keys."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tickseal.core.errors import ConfigError
from tickseal.host.boards import Microcontroller
from tickseal.host.leap_seconds import load_leap_seconds
from tickseal.invite import InviteToken
from tickseal_flash import build
from tickseal_flash.ports import BoardError, Mpremote
from tickseal_flash.sealed_file import seed_file

CONFIG = "config.json"
#: What makes a board who it is; only --new-identity takes these away.
IDENTITY = ("tickseal.key", "tickseal.identity")
INVITE = "tickseal.invite"
#: The oldest that runs the program.
MICROPYTHON = (1, 22)
_PROBE = """\
import os, sys
machine = getattr(sys.implementation, "_machine", sys.platform)
try:
    import cryptolib
    aes = 1
except ImportError:
    aes = 0
print(sys.implementation.version[0], sys.implementation.version[1], aes, "|", machine)
print(*os.listdir())
"""

_IS_FROZEN = """\
import sys
path = sys.path[:]
sys.path[:] = [".frozen"]
try:
    import tickseal_board
    print(1)
except ImportError:
    print(0)
sys.path[:] = path
"""
_CHECK = """\
import json
try:
    c = json.load(open("config.json"))
    print("fine" if c.get("streams") else "config.json names no streams")
except Exception as e:
    print("config.json cannot be read:", e)
"""


def default_config(board: Microcontroller, name: str) -> dict[str, Any]:
    """Return what a board measures unless it is told otherwise."""
    return {
        "name": name,
        "cable": {"kind": "usb"},
        "led": board.led,
        "leap_seconds": load_leap_seconds().offset_at(int(time.time())),
        "streams": [
            {
                "id": f"{name}/telemetry",
                "period_ms": 1000,
                "sensors": [{"kind": "chip_temperature"}, {"kind": "counter"}, {"kind": "memory"}],
            }
        ],
    }


def load_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a file of a person.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold a map")
    return config


def check_invite(token: str) -> str:
    """Return an invite that a board can use.

    Raises:
        ConfigError: it is for the hybrid handshake. EnrolmentError: it cannot be read.
    """
    if InviteToken.parse(token).hybrid:
        raise ConfigError(
            "this invite asks for the hybrid handshake, which a board does not have; make another: "
            "tickseal gateway invite --classical"
        )
    return token.strip()


def extras_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the modules that the sensors of a configuration need."""
    kinds = {
        sensor.get("kind")
        for stream in config.get("streams", ())
        for sensor in stream.get("sensors", ())
    }
    return tuple(extra for extra in build.EXTRAS if extra in kinds)


def flash(
    board: Mpremote,
    config: dict[str, Any],
    *,
    invite: str | None,
    new_identity: bool,
    say: Callable[[str], None],
    is_frozen: bool = False,
) -> None:
    """Put everything on a board and start it.

    Args:
        is_frozen: its firmware has the program: no file of it is needed.
    Raises:
        BoardError: it cannot be used, or lacks an invite or the program.
    """
    there = _probe(board, say)
    if is_frozen and not _has_frozen(board):
        raise BoardError(
            "the firmware of this board does not have the program: see `tickseal mcu build "
            "--frozen`, or leave --frozen away"
        )
    is_enrolled = IDENTITY[1] in there and not new_identity
    if invite is None and not is_enrolled and INVITE not in there:
        raise BoardError(
            "this board is not enrolled yet: make an invite with `tickseal gateway invite "
            "--classical` and give it with --invite"
        )
    if invite is not None and is_enrolled:
        raise BoardError(
            "this board is enrolled already; leave --invite away to keep its identity, or add "
            "--new-identity to replace it"
        )
    files = build.files(extras_of(config), is_frozen=is_frozen)
    files[CONFIG] = json.dumps(config).encode()
    if "tickseal.seed" not in there or new_identity:
        # Its own generator may be weak: keys are made of this too.
        files["tickseal.seed"] = seed_file(os.urandom(32))
    if invite is not None:
        files[INVITE] = invite.encode()
    with tempfile.TemporaryDirectory(prefix="tickseal-") as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        gone = (*IDENTITY, INVITE) if new_identity else ()
        # A file would be loaded in place of what is frozen.
        for name in (*gone, *(build.program() if is_frozen else ())):
            if name in there:
                board.run("resume", "fs", "rm", f":{name}")
        board.run("resume", "fs", "cp", "-r", *sorted(Path(folder).iterdir()), ":")
    size = sum(len(files.get(name, b"")) for name in build.program())
    program = f"has {size / 1000:.1f} KB" if size else "is in the firmware"
    say(f"written  {len(files)} files; the program {program}")
    board.run("reset")
    say("started  the board runs now, and again whenever it gets power")


def _probe(board: Mpremote, say: Callable[[str], None]) -> set[str]:
    """Return what files are on a board, once it is known to be able to run ours."""
    first, _, listed = board.run("exec", _PROBE).partition("\n")
    major, minor, aes, *_ = first.split()
    machine = first.partition("|")[2].strip()
    if (int(major), int(minor)) < MICROPYTHON:
        raise BoardError(
            f"MicroPython {major}.{minor} is on this board; 1.22 or newer is needed: update it"
        )
    if aes != "1":
        raise BoardError("this MicroPython has no cryptolib, without which it cannot seal")
    say(f"board    {machine}, MicroPython {major}.{minor}, at {board.port}")
    return set(listed.split())


def _has_frozen(board: Mpremote) -> bool:
    """Return whether a board's firmware has the program."""
    return board.run("exec", _IS_FROZEN).strip() == "1"


@dataclass(slots=True)
class Report:
    """What an examination found.

    Attributes:
        lines: everything, for people.
        problems: what keeps the board from streaming, each with what to do.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def examine(board: Mpremote) -> Report:
    """Look at a board's files and settings.

    Raises:
        BoardError: it does not answer, or cannot run the program at all.
    """
    report = Report()
    there = _probe(board, report.lines.append)
    program = tuple(build.program())
    if not there.intersection(program) and _has_frozen(board):
        report.lines.append("program              in the firmware")
        there.update(program)
    for name, why in (
        *((name, "the program is not on it") for name in program),
        ("main.py", "nothing starts the program"),
        (CONFIG, "it has no configuration"),
    ):
        report.lines.append(f"{name:21}{'there' if name in there else 'missing'}")
        if name not in there:
            report.problems.append(f"{why}: run `tickseal mcu flash`")
    if IDENTITY[1] in there:
        report.lines.append("enrolled             yes")
    elif INVITE in there:
        report.lines.append("enrolled             not yet; it has an invite")
    else:
        report.problems.append(
            "it is not enrolled and has no invite: run `tickseal mcu flash --invite ...`"
        )
    if not report.problems:
        said = board.run("exec", _CHECK).strip()
        report.lines.append(f"configuration        {said}")
        if said != "fine":
            report.problems.append(f"{said}: mend config.json and flash it again")
    return report

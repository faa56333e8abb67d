"""A board taken from bare MicroPython to live readings, as its owner does it, with real commands.

An invite by `tickseal gateway invite`, the program by `tickseal mcu flash`, then `tickseal gateway
run`, whose serial port is the board's, and its page.
"""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickseal_gateway.dashboard.page import LINK_FILE

from hil_tests.bench.microcontroller import Microcontroller
from hil_tests.bench.pico import CHECKOUT, VirtualPico

TICKSEAL = Path(sys.executable).with_name("tickseal")
GATEWAY = """
[gateway]
state = "{state}"
host = "127.0.0.1"
port = 0
[page]
port = 0
[[serial]]
port = "{port}"
"""
_COMMAND_SECONDS = 300
#: How often the page is asked, s.
_ASK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What came of it.

    Attributes:
        said: by `tickseal mcu flash`, and by the gateway.
        frames: that the gateway opened, by its page.
        refusals: of segments, by reason.
        latest: the last value of each quantity.
    """

    said: str
    frames: int
    refusals: Mapping[str, int]
    latest: Mapping[str, Any]


def stream(
    board: Microcontroller,
    config: Mapping[str, Any],
    folder: Path,
    *,
    frames: int,
    within_s: float,
    is_frozen: bool = False,
) -> Streamed:
    """Return once the gateway's page shows so many frames of a board that began with empty flash.

    Args:
        config: of the board.
        folder: for the gateway's files.
        within_s: s of the wall's time from the gateway's start on.
        is_frozen: the board's firmware has the program.
    Raises:
        TimeoutError: it takes longer. RuntimeError: a command failed.
    """
    gateway, file = folder / "gateway.toml", folder / "config.json"
    gateway.write_text(GATEWAY.format(state=folder / "state", port=board.data))
    file.write_text(json.dumps(config))
    invite = _tickseal(
        *("gateway", "invite", "--classical", "--json"),
        *("--address", "gateway:4710", "--config", gateway),
    )
    said = _tickseal(
        *("mcu", "flash", "--port", board.repl, "--config", file),
        *("--invite", json.loads(invite)["token"]),
        *(["--frozen"] if is_frozen else []),
    )
    log = folder / "gateway.log"
    until_s = time.monotonic() + within_s
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_in_its_time(board), "gateway", "run", "--config", gateway],
            cwd=CHECKOUT,
            stdout=output,
            stderr=output,
        )
    try:
        while (found := _shown(folder / "state")).get("frames", 0) < frames:
            if process.poll() is not None or time.monotonic() > until_s:
                raise TimeoutError(f"the {board.name} does not stream: {log.read_text()}")
            time.sleep(_ASK_SECONDS)
    finally:
        process.terminate()
        process.wait()
    return Streamed(
        said=said + log.read_text(),
        frames=found["frames"],
        refusals=found["refusals"],
        latest={one["name"]: one["value"] for one in found["latest"]},
    )


def _shown(state: Path) -> dict[str, Any]:
    """Return what the page shows of the first stream; empty before there is one."""
    # Before the page is served there is no link, or nobody there, or on a busy machine no answer.
    with contextlib.suppress(OSError):
        address = (state / LINK_FILE).read_text().partition("#")[0].rstrip("/")
        with urllib.request.urlopen(f"{address}/api/status", timeout=30) as answer:
            streams: list[dict[str, Any]] = json.load(answer)["streams"]
            return streams[0] if streams else {}
    return {}


def _in_its_time(board: Microcontroller) -> list[str | Path]:
    """Return the command `tickseal` for a host that has the board's patience."""
    if isinstance(board, VirtualPico):
        return [sys.executable, "-m", "hil_tests.bench.pico.in_its_time", board.clock]
    return [TICKSEAL]


def _tickseal(*arguments: str | Path) -> str:
    """Return what a command printed; it is a process of its own, which lives in the wall's time."""
    done = subprocess.run(
        [TICKSEAL, *arguments],
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"tickseal {arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}")
    return done.stdout

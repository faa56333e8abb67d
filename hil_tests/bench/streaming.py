"""A board taken from bare MicroPython to live readings, as its owner does it, with real commands.

An invite by `tickseal gateway invite`, the program by `tickseal mcu flash`, then a gateway whose
serial port is the board's.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickseal_gateway.config import load
from tickseal_gateway.service import Gateway

from hil_tests.bench.microcontroller import Microcontroller
from hil_tests.bench.pico import VirtualPico
from tickseal.host.state import StateDirectory

TICKSEAL = Path(sys.executable).with_name("tickseal")
GATEWAY = """
[gateway]
state = "{state}"
host = "127.0.0.1"
port = 0
[page]
enabled = false
[[serial]]
port = "{port}"
"""
_COMMAND_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What came of it.

    Attributes:
        said: by `tickseal mcu flash`.
        frames: that the gateway opened.
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
) -> Streamed:
    """Return once the gateway has opened so many frames of a board that began with empty flash.

    Args:
        config: of the board.
        folder: for the gateway's files.
        within_s: s of the wall's time from the gateway's start on.
    Raises:
        TimeoutError: it takes longer.
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
    )

    async def serve() -> Mapping[str, Any]:
        until_s = time.monotonic() + within_s
        loaded = load(gateway)
        with StateDirectory.open(loaded.state_path) as state:
            async with Gateway(loaded, state).running() as view:
                while True:
                    shown: Any = view.snapshot()
                    if shown["streams"] and shown["streams"][0]["frames"] >= frames:
                        return dict(shown["streams"][0])
                    if time.monotonic() > until_s:
                        raise TimeoutError(f"the {board.name} does not stream: {shown}")
                    await asyncio.sleep(0.05)

    with _in_its_time(board) as make_loop, asyncio.Runner(loop_factory=make_loop) as runner:
        found = runner.run(serve())
    return Streamed(
        said=said,
        frames=found["frames"],
        refusals=found["refusals"],
        latest={one["name"]: one["value"] for one in found["latest"]},
    )


def _in_its_time(
    board: Microcontroller,
) -> contextlib.AbstractContextManager[Callable[[], asyncio.AbstractEventLoop]]:
    """Surround the life of a host that has the board's patience; give what makes its loop."""
    if isinstance(board, VirtualPico):
        return board.time.taken()
    return contextlib.nullcontext(asyncio.new_event_loop)


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

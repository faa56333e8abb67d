"""Try it here: a gateway and a Data Source, streaming."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.core.errors import LinkError, TicksealError
from tickseal.host.control_socket import NotRunningError, ask

app = typer.Typer(rich_markup_mode=None)

_Process = subprocess.Popen[bytes]
_MARKER = ".tickseal-demo"
_START_S, _STOP_S, _SETTLE_S = 30.0, 10.0, 3.0
_GATEWAY = """\
[gateway]
name = "demo gateway"
state = {state}
host = "127.0.0.1"
port = 0

[page]
port = {page_port}
"""
_SERIAL = """
[[serial]]
port = {cable}
"""
_EDGE = """\
name = "demo device"
state = {state}

[[streams]]
id = "demo/telemetry"
kind = "host"
rate_hz = 10

[[streams]]
id = "demo/camera"
kind = "pattern"
width = 640
height = 480
rate_hz = 15
"""
_STREAMS = ("demo/telemetry", "demo/camera")
_BOARD = {
    "name": "demo board",
    "streams": [
        {
            "id": "demo/board",
            "period_ms": 200,
            "sensors": [{"kind": "counter"}, {"kind": "memory"}],
        }
    ],
}


class DemoError(TicksealError):
    """A part of the demo did not start, or ended by itself."""


@app.command(epilog="Example: tickseal demo --seconds 10")
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End by itself after so long; else on Ctrl-C.")
    ] = None,
    state: Annotated[
        Path, typer.Option(metavar="DIR", help="Where both keep their state; made anew each time.")
    ] = Path(".demo"),
    page_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0 for any free one.")
    ] = 0,
    mcu: Annotated[
        bool, typer.Option("--mcu", help="Add a microcontroller: MicroPython, as a process here.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the last status as JSON, and nothing else.")
    ] = False,
) -> None:
    """Run a gateway and a Data Source here, and show what flows.

    The source is enrolled by a one-time invite and streams this machine's telemetry (10 frames a
    second) and a moving test pattern (640x480, 15 pictures a second), every frame under a key of
    its own. With --mcu a third source streams, a microcontroller's program on a serial cable.
    Exit code 0 only if frames of all arrived and every one was opened.
    """
    say = _say_nothing if as_json else typer.echo
    folder = _fresh(state)
    with contextlib.ExitStack() as cleanup:
        stop = cleanup.enter_context(_stop_signals())
        gateway = cleanup.enter_context(_running("gateway", _prepare(folder, page_port, mcu=mcu)))
        status = _wait_for_gateway(gateway, folder / "gateway")
        parts = {"gateway": gateway}
        say(f"gateway   {status['gateway']['addresses'][0]}, a process of its own ({gateway.pid})")
        invite = ask(folder / "gateway", {"do": "invite"}, service="gateway")
        _command("edge", "enrol", invite["token"], "--config", str(folder / "edge.toml"))
        parts["edge"] = source = cleanup.enter_context(_running("edge", folder))
        say(f"source    enrolled by a one-time invite, a process of its own ({source.pid})")
        if mcu:
            parts["mcu"] = board = cleanup.enter_context(_board(folder))
            say(f"board     MicroPython on a serial cable, a process of its own ({board.pid})")
        say(f"page      {_page(folder / 'gateway', status)}")
        say(f"readings  {folder / 'gateway' / 'readings.db'} (SQLite)")
        say("" if seconds else "Ctrl-C ends the demo.\n")
        status = _watch(folder, parts, seconds, stop, _View(say))
        for part in reversed(parts.values()):
            if part is gateway:
                status = _settled(folder / "gateway", status)
            _end(part)
    if as_json:
        typer.echo(json.dumps(status))
    faults = _faults(status, [*_STREAMS, *(["demo/board"] if mcu else [])])
    say(_summary(status))
    if faults:
        raise DemoError("the demo failed: " + "; ".join(faults) + f"; see the logs in {folder}")
    say("every frame that was sealed was opened, each under a key of its own")


def _page(state: Path, status: dict[str, Any]) -> str:
    """Return the page's address, by which a browser may command, too."""
    try:
        return (state / "page" / "link").read_text("ascii").strip()
    except OSError:
        return status["gateway"]["page"] or "none"


def _say_nothing(_text: str) -> None:
    pass


def _fresh(state: Path) -> Path:
    """Return an empty folder for both; only what a demo made before is removed."""
    folder = state.absolute()
    try:
        if folder.exists():
            if any(folder.iterdir()) and not (folder / _MARKER).exists():
                raise DemoError(f"{folder} holds something else; choose another with --state DIR")
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise DemoError(f"cannot use {folder}: {error.strerror}; choose another --state") from None
    return folder


def _command(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tickseal.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(done.stderr.strip().removeprefix("tickseal: "))


def _prepare(folder: Path, page_port: int, *, mcu: bool) -> Path:
    """Write all configurations."""

    def text(template: str, **values: object) -> str:
        # JSON's strings are TOML's, too.
        return template.format_map({key: json.dumps(value) for key, value in values.items()})

    gateway = text(_GATEWAY, state=str(folder / "gateway"), page_port=page_port)
    if mcu:
        gateway += text(_SERIAL, cable=str(folder / "mcu" / "cable"))
    (folder / "gateway.toml").write_text(gateway, "utf-8")
    (folder / "edge.toml").write_text(text(_EDGE, state=str(folder / "edge")), "utf-8")
    (folder / "mcu.json").write_text(json.dumps(_BOARD), "utf-8")
    return folder


@contextlib.contextmanager
def _running(part: str, folder: Path, *arguments: str) -> Generator[_Process]:
    if not arguments:
        arguments = (part, "run", "--config", str(folder / f"{part}.toml"))
    with (folder / f"{part}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "tickseal.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C reaches the demo only, which then ends both in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def _board(folder: Path) -> Generator[_Process]:
    """A microcontroller's program, once its serial port is there."""
    request = {"do": "invite", "hybrid": False}
    invite = ask(folder / "gateway", request, service="gateway")["token"]
    given = ("--state", str(folder / "mcu"), "--config", str(folder / "mcu.json"))
    with _running("mcu", folder, "mcu", "simulate", *given, "--invite", invite) as board:
        until = time.monotonic() + _START_S
        while not (folder / "mcu" / "cable").exists():
            if board.poll() is not None or time.monotonic() > until:
                raise DemoError(f"the board did not start: {_last_line(folder / 'mcu.log')}")
            time.sleep(0.05)
        yield board


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("tickseal: ") if lines else "no output"


def _end(process: _Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _stop_signals() -> Generator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag, so that both processes are always ended."""
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_gateway(process: _Process, state: Path) -> dict[str, Any]:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(NotRunningError):
            status: dict[str, Any] = ask(state, {"do": "status"}, service="gateway")
            if status["gateway"]["page"]:
                return status
        time.sleep(0.05)
    raise DemoError(f"the gateway did not start: {_last_line(state.parent / 'gateway.log')}")


def _watch(
    folder: Path,
    parts: dict[str, _Process],
    seconds: float | None,
    stopped: Callable[[], bool],
    view: "_View",
) -> dict[str, Any]:
    until = time.monotonic() + (seconds or float("inf"))
    status: dict[str, Any] = {}
    while not stopped() and time.monotonic() < until:
        for part, process in parts.items():
            if process.poll() is not None:
                raise DemoError(f"the {part} ended by itself; see {folder / part}.log")
        status = ask(folder / "gateway", {"do": "status"}, service="gateway")
        view.show(status)
        time.sleep(0.25)
    return status


def _settled(state: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Return the status once what was under way has arrived."""
    until = time.monotonic() + _SETTLE_S
    frames = -1
    before = {stream["id"]: stream for stream in status.get("streams", [])}
    while time.monotonic() < until and status.get("totals", {}).get("frames") != frames:
        frames = status.get("totals", {}).get("frames", 0)
        time.sleep(0.2)
        with contextlib.suppress(LinkError):
            status = ask(state, {"do": "status"}, service="gateway")
    for stream in status.get("streams", []):
        # The keys of a board's stream are gone with its cable.
        if stream["suite"] is None and stream["id"] in before:
            stream.update({key: before[stream["id"]][key] for key in ("suite", "tick")})
    return status


def _faults(status: dict[str, Any], expected: Sequence[str]) -> list[str]:
    faults = []
    streams = {stream["id"]: stream for stream in status.get("streams", [])}
    for stream_id in expected:
        if not streams.get(stream_id, {}).get("frames"):
            faults.append(f"no frame of {stream_id} arrived")
    totals = status.get("totals", {})
    if totals.get("missing"):
        faults.append(f"{totals['missing']} frames are missing")
    if totals.get("refusals"):
        faults.append(f"segments were refused: {totals['refusals']}")
    return faults


def _summary(status: dict[str, Any]) -> str:
    totals = status.get("totals", {})
    lines = [""]
    for stream in status.get("streams", []):
        lines.append(
            f"{stream['id']:16} {stream['frames']:6} frames  {stream['keys_derived']:6} keys  "
            f"{stream['missing']} missing  suite {stream['suite']}  tick {stream['tick']}"
        )
    stored = next((o["written"] for o in status.get("outputs", []) if o["name"] == "store"), 0)
    lines.append(
        f"{totals.get('frames', 0)} frames, {totals.get('payload_bytes', 0) / 1e6:.1f} MB, "
        f"{stored} stored, refused: {totals.get('refusals') or 'none'}"
    )
    return "\n".join(lines)


class _View:
    """Shows a status: a block that is drawn over on a terminal, else a line now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._drawn = 0
        self._next_line = 0.0

    def show(self, status: dict[str, Any]) -> None:
        if self._is_terminal:
            lines = _block(status)
            width = shutil.get_terminal_size().columns
            back = f"\x1b[{self._drawn}A" if self._drawn else ""
            self._say(back + "\n".join(f"\x1b[2K{line[: width - 1]}" for line in lines))
            self._drawn = len(lines)
        elif time.monotonic() >= self._next_line and status.get("streams"):
            self._next_line = time.monotonic() + 2
            totals = status["totals"]
            self._say(
                f"{totals['frames']} frames ({totals['frames_per_s']:.0f} a second), "
                f"{totals['keys_derived']} keys, refused: {totals['refusals'] or 'none'}"
            )


def _block(status: dict[str, Any]) -> list[str]:
    totals = status["totals"]
    lines = [f"{'stream':16} {'frames':>7} {'per s':>6} {'tick':>7} {'keys':>7} {'missing':>7}"]
    for stream in status["streams"]:
        tick = "-" if stream["tick"] is None else stream["tick"]
        lines.append(
            f"{stream['id']:16} {stream['frames']:7} {stream['frames_per_s']:6.1f} {tick:>7} "
            f"{stream['keys_derived']:7} {stream['missing']:7}"
        )
    readings = [
        f"{reading['name']} {_short(reading['value'])}{reading['unit'] or ''}"
        for stream in status["streams"]
        for reading in stream["latest"]
        if isinstance(reading["value"], int | float)
    ]
    lines += ["readings  " + ", ".join(readings[at : at + 3]) for at in range(0, len(readings), 3)]
    lines.append(f"refused   {totals['refusals'] or 'none'}")
    return lines


def _short(value: float) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f} {prefix}"
    return f"{value:.1f} "

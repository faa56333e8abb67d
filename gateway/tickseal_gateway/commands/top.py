"""Watch the running gateway in the terminal."""

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.core.errors import LinkError, TicksealError
from tickseal.host.control_socket import NotRunningError, converse
from tickseal_gateway.commands import printing
from tickseal_gateway.config import load

app = typer.Typer(rich_markup_mode=None)

_EVERY_S = 0.5
_AGAIN_S = 1.0
_SCREEN, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_LINE, _END_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_PLAIN, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_RED, _GREEN, _YELLOW = "\x1b[31m", "\x1b[32m", "\x1b[33m"
#: Lines of alarms at most; the devices are more important than the tenth.
_ALARMS_MOST = 4

#: A line as pieces of a style and a text.
Line = list[tuple[str, str]]


class NoTerminalError(TicksealError):
    """There is nothing to draw on."""


@app.command(epilog="Example: tickseal top")
def top(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The gateway's file.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="The gateway's state directory.")
    ] = None,
) -> None:
    """Watch a running gateway in the terminal; q or Ctrl-C ends it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NoTerminalError(
            "this needs a terminal; for scripts and pipes: tickseal gateway status --json"
        )
    where = state if state is not None else load(config).state_path
    with _screen():
        _watch(where)


def _watch(state: Path) -> None:
    last: dict[str, Any] | None = None
    came_s = drawn_s = float("-inf")
    while True:
        said = ""
        try:
            for snapshot in converse(state, {"do": "watch"}, service="gateway"):
                last, came_s = snapshot, time.monotonic()
                if came_s - drawn_s >= _EVERY_S:
                    drawn_s = came_s
                    _draw(last, "")
                if _is_over(0):
                    return
            said = "the gateway has ended"
        except NotRunningError as error:
            if last is None:
                raise
            said = str(error)
        except LinkError as error:
            said = str(error)
        if last is not None:
            _draw(last, f"{said}: all this is {printing.age(time.monotonic() - came_s)} old")
        if _is_over(_AGAIN_S):
            return


def _draw(snapshot: dict[str, Any], fault: str) -> None:
    size = shutil.get_terminal_size()
    lines = frame(snapshot, width=size.columns, height=size.lines, fault=fault)
    text = f"{_END_LINE}\r\n".join(styled(line, size.columns) for line in lines)
    sys.stdout.write(f"{_HOME}{text}{_END_SCREEN}")
    sys.stdout.flush()


def frame(snapshot: dict[str, Any], *, width: int, height: int, fault: str = "") -> list[Line]:
    """Return what is drawn of a snapshot: at most `height` lines, for `width` columns.

    Args:
        fault: why the snapshot is old; empty while it is not.
    """
    lines = _head(snapshot, fault)
    for alarm in snapshot["alarms"][:_ALARMS_MOST]:
        whose = f" {alarm['device']}" if alarm["device"] else ""
        lines.append([(_RED + _BOLD, f"! {alarm['kind']}{whose}: "), (_RED, alarm["detail"])])
    devices = [device for device in snapshot["devices"] if device["state"] != "revoked"]
    streams = snapshot["streams"]
    # Each gets what the other leaves; two lines go to heads, two to the gaps above them.
    room = max(0, height - len(lines) - 4)
    for_devices = min(len(devices), max(room // 2, room - len(streams)))
    for_streams = room - for_devices
    most = max(_VALUE_LEAST, width - _REST)
    rows = [_stream(each, most) for each in streams]
    lines += [[], *_table(_DEVICE_HEAD, [_device(each) for each in devices], for_devices)]
    lines += [[], *_table(_STREAM_HEAD, rows, for_streams)]
    return lines[:height]


def styled(line: Line, width: int) -> str:
    """Return a line for a terminal, cut off at a width."""
    out, left = [], width
    for style, text in line:
        # A name from the network moves no cursor and clears no screen.
        clean = "".join(each if each.isprintable() else "?" for each in text)[:left]
        out.append(f"{style}{clean}{_PLAIN}" if style else clean)
        left -= len(clean)
    return "".join(out)


def _head(snapshot: dict[str, Any], fault: str) -> list[Line]:
    gateway, clock, totals = snapshot["gateway"], snapshot["clock"], snapshot["totals"]
    up = printing.age((gateway["now_ns"] - gateway["started_ns"]) / 1e9)
    refused = printing.counts(totals["refusals"])
    clock_style = "" if clock["is_synchronised"] else _YELLOW
    lines: list[Line] = [
        [
            (_BOLD, f"tickseal  {gateway['name']}"),
            ("", f"   up {up}   clock "),
            (
                clock_style,
                _clock(clock),
            ),
            (_DIM, "   q quits"),
        ],
        [
            (_BOLD, f"{totals['frames_per_s']:.1f}"),
            ("", f" frames/s   {totals['frames']} frames   {totals['keys_derived']} keys   "),
            ("", f"{printing.size(totals['payload_bytes'])}   {totals['missing']} missing   "),
            ("", "refused "),
            (_YELLOW if refused != "none" else _GREEN, refused),
        ],
    ]
    for output in snapshot["outputs"]:
        if output["error"]:
            lines.append([(_RED, f"output {output['name']}: {output['error']}")])
    if fault:
        lines.append([(_RED + _BOLD, fault)])
    return lines


def _clock(clock: dict[str, Any]) -> str:
    steered = printing.steered(clock["discipline"])
    return f"{steered} ±{printing.milliseconds(clock['uncertainty_ns'])}"


_DEVICE_HEAD = ("device", "state", "seen", "clock", "offset", "handshake", "address")
_STREAM_HEAD = (
    "stream", "frames/s", "last", "missing", "refused", "value", "frames", "generation", "suite",
)  # fmt: skip
#: Columns that the value has at least, and those that the rest of its line takes.
_VALUE_LEAST, _REST = 24, 92

#: A row: the style and the text of each cell.
Row = Sequence[tuple[str, str]]


def _device(device: dict[str, Any]) -> Row:
    session = device["session"]
    clock = session["clock"] if session else None
    state, style = device["state"], _YELLOW
    if device["state"] == "approved":
        state, style = ("connected", _GREEN) if device["is_connected"] else ("away", _RED)
    agrees = session is None or session["clock_agrees"]
    clock_style = "" if clock and clock["is_synchronised"] else _YELLOW
    return (
        (_BOLD, device["name"]),
        (style, state),
        ("", printing.age(device["seen_s"])),
        (
            clock_style,
            _clock(clock) if clock else "-",
        ),
        (
            "" if agrees else _RED,
            f"{clock['offset_ns'] / 1e6:+.2f} ms{'' if agrees else '!'}" if clock else "-",
        ),
        ("", device["handshake"]),
        (_DIM, session["address"] if session else "-"),
    )


def _stream(stream: dict[str, Any], value_most: int) -> Row:
    # What is old must not look live.
    style = _YELLOW if stream["is_stale"] else ""
    refused = sum(stream["refusals"].values())
    return (
        (style or _BOLD, stream["id"]),
        (style, f"{stream['frames_per_s']:.1f}"),
        (style, printing.age(stream["last_frame_s"])),
        (_YELLOW if stream["missing"] > 0 else "", str(max(0, stream["missing"]))),
        (_YELLOW if refused else "", str(refused)),
        (_DIM if stream["is_stale"] else "", _value(stream)[:value_most]),
        ("", str(stream["frames"])),
        ("", (stream["generation"] or "-")[:8]),
        ("", (stream["suite"] or "-").replace("_", "-")),
    )


def _value(stream: dict[str, Any]) -> str:
    picture = stream["picture"]
    if picture:
        shape = f"{picture['width']}x{picture['height']}"
        return f"{shape} {picture['codec']} {printing.size(picture['bytes'])}"
    texts = []
    for reading in stream["latest"][:8]:
        value = reading["value"]
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        texts.append(f"{reading['name']} {'-' if value is None else text}{_unit(reading['unit'])}")
    return ", ".join(texts) or "-"


def _unit(unit: str | None) -> str:
    return {"Cel": " °C", None: ""}.get(unit, f" {unit}")


def _table(head: Sequence[str], rows: Sequence[Row], most: int) -> list[Line]:
    if not rows:
        return [[(_DIM, f"no {head[0]} yet")]]
    shown = rows if len(rows) <= most else rows[: max(0, most - 1)]
    widths = [
        max([len(title), *(len(row[column][1]) for row in shown)])
        for column, title in enumerate(head)
    ]
    lines: list[Line] = [
        [(_DIM, title.ljust(width) + "  ") for title, width in zip(head, widths, strict=True)]
    ]
    for row in shown:
        cells = zip(row, widths, strict=True)
        lines.append([(style, text.ljust(width) + "  ") for (style, text), width in cells])
    if len(shown) < len(rows):
        lines.append([(_DIM, f"and {len(rows) - len(shown)} more")])
    return lines


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """Take the terminal over, and give it back as it was, whatever happens."""
    before = termios.tcgetattr(sys.stdin)
    old = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(_SCREEN)
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, old)
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_over(wait_s: float) -> bool:
    """Tell whether q was typed, or the terminal has gone, within so long."""
    ready, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(ready) and os.read(sys.stdin.fileno(), 64) in (b"q", b"Q", b"")

"""`tickseal top`: what is drawn, that it fits, and that the terminal is given back as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from running_gateway import TICKSEAL
from running_page import Streaming, running_page
from tickseal_gateway.commands.top import frame, styled
from waiting import PATIENCE_S


def snapshot(devices: int = 1, streams: int = 1, **more: Any) -> dict[str, Any]:
    clock = {"discipline": "ntp", "is_synchronised": True, "uncertainty_ns": 800_000}
    device = {
        "state": "approved", "is_connected": True, "seen_s": 0.4, "handshake": "hybrid",
        "session": {
            "clock": {**clock, "offset_ns": -1_250_000}, "clock_agrees": True,
            "address": "192.0.2.7",
        },
    }  # fmt: skip
    stream = {
        "device": "garden-0", "frames_per_s": 10.0, "last_frame_s": 0.1, "frames": 100,
        "missing": 2, "refusals": {"late": 3}, "generation": "0123456789abcdef",
        "suite": "AES_256_GCM", "is_stale": False, "picture": None,
        "latest": [{"name": "air", "value": 20.5, "unit": "Cel"}],
    }  # fmt: skip
    return {
        "gateway": {"name": "g", "now_ns": 10**10, "started_ns": 0},
        "clock": clock,
        "totals": {
            "frames": 100, "frames_per_s": 10.0, "keys_derived": 101, "payload_bytes": 5000,
            "missing": 2, "refusals": {"late": 3},
        },
        "devices": [{**device, "name": f"garden-{n}"} for n in range(devices)],
        "streams": [{**stream, "id": f"garden-{n}/air"} for n in range(streams)],
        "outputs": [],
        "alarms": [],
        **more,
    }  # fmt: skip


def text(given: dict[str, Any], width: int = 160, height: int = 40, fault: str = "") -> list[str]:
    lines = frame(given, width=width, height=height, fault=fault)
    return ["".join(part for _, part in line) for line in lines]


def test_a_device_and_its_stream_are_told_in_a_line_each() -> None:
    shown = text(snapshot())
    device = next(line for line in shown if line.startswith("garden-0 "))
    for word in ("connected", "0.4 s", "ntp ±0.8 ms", "-1.25 ms", "hybrid", "192.0.2.7"):
        assert word in device
    stream = next(line for line in shown if line.startswith("garden-0/air"))
    for word in ("10.0", "0.1 s", "01234567", "AES-256-GCM", "air 20.5 °C"):
        assert word in stream


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (10, 3), (1, 1)])
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_it_fits_any_terminal(width: int, height: int, count: int) -> None:
    given = snapshot(
        count, 3 * count, alarms=[{"kind": "clock", "device": "x", "detail": "y" * 99}]
    )
    lines = frame(given, width=width, height=height)
    assert len(lines) <= height
    for line in lines:
        plain = styled([("", part) for _, part in line], width)
        assert len(plain) <= width


def test_what_does_not_fit_is_counted() -> None:
    shown = "\n".join(text(snapshot(50, 50), height=24))
    assert shown.count("and ") == 2
    assert "more" in shown


def test_what_is_old_is_said_and_does_not_look_live() -> None:
    given = snapshot()
    given["streams"][0]["is_stale"] = True
    lines = frame(given, width=160, height=40)
    styles = {style for line in lines for style, part in line if "garden-0/air" in part}
    live = {
        style
        for line in frame(snapshot(), width=160, height=40)
        for style, part in line
        if "garden-0/air" in part
    }
    assert styles != live
    assert "the gateway has ended: all this is 5 s old" in "\n".join(
        text(given, fault="the gateway has ended: all this is 5 s old")
    )


def test_a_name_moves_no_cursor() -> None:
    assert styled([("", "a\x1b[2Jb\u202ec\r\n")], 80) == "a?[2Jb?c??"


def read_until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + PATIENCE_S
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            seen += os.read(terminal, 65536)
        assert time.monotonic() < deadline, seen[-500:]
    return seen


@pytest.mark.parametrize("ending", [b"q", b"\x03", "terminate"])
def test_it_watches_and_gives_the_terminal_back(tmp_path: Path, ending: bytes | str) -> None:
    with running_page(tmp_path) as site:
        device = Streaming(site, site.invite("garden"), picture=False)
        own, other = pty.openpty()
        before = termios.tcgetattr(other)
        fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        # A terminal of its own, so that Ctrl-C reaches it.
        process = subprocess.Popen(
            ["setsid", "--ctty", TICKSEAL, "top", "--state", site.state],
            stdin=other,
            stdout=other,
            stderr=other,
        )
        try:
            read_until(own, b"air 20 ")
            if isinstance(ending, bytes):
                os.write(own, ending)
            else:
                process.send_signal(signal.SIGTERM)
            read_until(own, b"\x1b[?25h\x1b[?1049l")
            assert process.wait(PATIENCE_S) == 0
            assert termios.tcgetattr(other) == before
        finally:
            process.kill()
            process.wait()
            os.close(own)
            os.close(other)
            device.stop()


def test_without_a_terminal_it_says_what_to_do_instead(tmp_path: Path) -> None:
    done = subprocess.run(
        [TICKSEAL, "top", "--state", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert "tickseal gateway status --json" in done.stderr


def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    own, other = pty.openpty()
    process = subprocess.Popen(
        [TICKSEAL, "top", "--state", tmp_path], stdin=other, stdout=other, stderr=other
    )
    try:
        read_until(own, b"tickseal gateway run")
        assert process.wait(PATIENCE_S) == 1
    finally:
        process.kill()
        process.wait()
        os.close(own)
        os.close(other)

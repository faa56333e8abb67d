"""`tickseal mcu`: boards are found, flashed, examined and heard, and every error says what to do.

The board is MicroPython's unix port with a REPL, files and resets of its own; USB is made up.
"""

import asyncio
import errno
import json
import os
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
from pytest_mock import MockerFixture
from running_gateway import GatewayFactory, tickseal
from tickseal_flash import build, flashing, ports, simulation

from bench import invite
from hil_tests.bench.unix_port import UnixPort
from tickseal.core import cable
from tickseal.core.cobs import encode
from tickseal.core.errors import ConfigError, LinkError
from tickseal.links.serial_port import SerialSettings, open_port

PICO = ports.kind_of("pico")


class OnUSB:
    """A serial port as pyserial lists it."""

    def __init__(self, device: str, usb: tuple[int, int], description: str = "Board") -> None:
        self.device, self.description = device, description
        self.vid, self.pid = usb


@pytest.fixture(autouse=True)
def usb(tmp_path: Path, mocker: MockerFixture) -> Callable[..., None]:
    """Plugs devices into a machine whose USB is empty."""
    devices = tmp_path / "usb"
    devices.mkdir()
    mocker.patch.object(ports, "_USB_DEVICES", devices)
    listed = mocker.patch("serial.tools.list_ports.comports", return_value=[])

    def plug(*found: OnUSB, waiting: tuple[int, int] | None = None) -> None:
        listed.return_value = list(found)
        if waiting:
            (devices / "1-1").mkdir()
            (devices / "1-1" / "idVendor").write_text(f"{waiting[0]:04x}\n")
            (devices / "1-1" / "idProduct").write_text(f"{waiting[1]:04x}\n")

    return plug


PROMPT = ports.await_prompt


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A port with nothing behind it but the test: its other end, and its path."""
    other, end = os.openpty()
    tty.setraw(end)
    yield other, os.ttyname(end)
    os.close(other)
    os.close(end)


@pytest.fixture(scope="module")
def board(code: Path) -> Iterator[UnixPort]:
    pytest.importorskip("mpremote", reason="no mpremote here: pip install mpremote")
    with UnixPort() as board:
        yield board


def said(*arguments: str) -> str:
    done = tickseal("mcu", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(*arguments: str) -> str:
    done = tickseal("mcu", *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, "one line"
    return done.stderr


# --- What is plugged in ---


def test_lists_what_is_plugged_in_and_what_waits_for_a_firmware(usb: Callable[..., None]) -> None:
    assert "no USB serial port is there" in said("list")
    assert "pico (Raspberry Pi Pico)" in said("list")
    usb(
        OnUSB("/dev/ttyACM0", (0x2E8A, 0x0005)),
        OnUSB("/dev/ttyUSB0", (0x0403, 0x6001), "FT232R"),
        waiting=(0x2E8A, 0x0003),
    )
    lines = said("list").splitlines()
    assert lines[0].startswith("/dev/ttyACM0  2e8a:0005  Raspberry Pi Pico")
    assert "not a known board  FT232R" in lines[1]
    assert "Raspberry Pi Pico, without MicroPython: hold BOOTSEL" in lines[2]
    rows = json.loads(said("list", "--json"))
    assert [(row["port"], row["bootloader"]) for row in rows] == [
        ("/dev/ttyACM0", False), ("/dev/ttyUSB0", False), (None, True),
    ]  # fmt: skip


def test_auto_takes_the_only_board_and_asks_where_there_are_more(usb: Callable[..., None]) -> None:
    assert "plug it in with a cable that carries data" in fails("logs")
    one, two = (OnUSB(f"/dev/ttyACM{n}", (0x2E8A, 0x0005)) for n in (0, 1))
    usb(one)
    assert ports.choose_port("auto", PICO) == "/dev/ttyACM0"
    usb(one, two)
    assert "/dev/ttyACM0, /dev/ttyACM1; choose one with --port" in fails("doctor")


def test_a_board_in_its_boot_loader_is_told_how_to_get_micropython(
    usb: Callable[..., None],
) -> None:
    usb(waiting=(0x2E8A, 0x0003))
    message = fails("doctor")
    assert "without MicroPython yet" in message
    assert "micropython.org/download/RPI_PICO/" in message
    assert "drive RPI-RP2" in message


# --- Ports that cannot be used ---


def test_a_port_that_is_not_there() -> None:
    assert "is not there; plug the board in, and see `tickseal mcu list`" in fails(
        "doctor", "--port", "/dev/ttyNONE"
    )


def test_a_port_that_another_program_has(terminal: tuple[int, str]) -> None:
    with open_port(SerialSettings(port=terminal[1])):
        message = fails("doctor", "--port", terminal[1])
    assert "is in use by another program; close it (a serial monitor" in message


def test_a_port_that_this_person_may_not_open(
    terminal: tuple[int, str], mocker: MockerFixture
) -> None:
    denied = serial.SerialException(errno.EACCES, "could not open port: Permission denied")
    mocker.patch("serial.Serial.open", side_effect=denied)
    message = fails("doctor", "--port", terminal[1])
    assert f"you may not open {terminal[1]}: it belongs to the group" in message
    assert "sudo usermod -aG" in message


def test_a_board_that_goes_while_it_is_asked() -> None:
    other, end = os.openpty()
    tty.setraw(end)
    port = os.ttyname(end)
    os.close(end)
    threading.Timer(0.2, os.close, (other,)).start()
    with pytest.raises(LinkError, match="went away; plug the board in again"):
        ports.await_prompt(port)


# --- Boards that cannot run it ---


def test_a_board_without_micropython(terminal: tuple[int, str], mocker: MockerFixture) -> None:
    mocker.patch.object(ports, "_ASK_S", 0.05)
    mocker.patch.object(ports, "await_prompt", lambda port: PROMPT(port, 0.2))
    os.write(terminal[0], b"\x00ets Jun  8 2016 rst:0x1 boot:0x13\r\n")
    message = fails("doctor", "--port", terminal[1])
    assert f"no MicroPython answers at {terminal[1]}; get MicroPython 1.22 or newer" in message
    assert "micropython.org/download/RPI_PICO/" in message
    # It was asked, and asked again.
    assert os.read(terminal[0], 4096).count(b"\x03") > 2


class Answering:
    """A board that answers the first question as it is told."""

    port = "/dev/board"

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def run(self, *_arguments: str | Path, timeout_s: float = 0) -> str:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("1 19 1 | rp2\n\n", "MicroPython 1.19 is on this board; 1.22 or newer is needed"),
        ("1 24 0 | rp2\n\n", "has no cryptolib"),
    ],
)
def test_a_micropython_that_cannot_run_it(answer: str, message: str) -> None:
    board: Any = Answering(answer)
    with pytest.raises(LinkError, match=message):
        flashing.examine(board)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/usr/bin/python: No module named mpremote", r"pip install 'tickseal\[mcu\]'"),
        ("mpremote: failed to access /dev/x (it may be in use by another program)", "not there"),
        ("TransportError: could not enter raw repl", "get MicroPython 1.22 or newer"),
        ("OSError: [Errno 28] ENOSPC", "Errno 28"),
    ],
)
def test_what_mpremote_says_is_told_in_plain_words(
    output: str, message: str, mocker: MockerFixture
) -> None:
    mocker.patch.object(ports, "await_prompt", return_value=True)
    done = mocker.patch("subprocess.run").return_value
    done.returncode, done.stdout, done.stderr = 1, "", output
    with pytest.raises(LinkError, match=message):
        ports.Mpremote("/dev/x", PICO).run("exec", "1")


# --- A board ---


def test_a_board_is_flashed_and_found_well(
    board: UnixPort, tmp_path: Path, gateways: GatewayFactory
) -> None:
    port = ("--port", board.repl)
    message = fails("doctor", *port)
    assert "the program is not on it: run `tickseal mcu flash`" in message
    assert "run `tickseal mcu flash --invite ...`" in message
    assert "make an invite with `tickseal gateway invite --classical`" in fails("flash", *port)

    async def token() -> str:
        async with gateways.inside() as view:
            return await invite(view)

    config = tmp_path / "config.json"
    # A cable that is not its REPL's, so that it can be asked while it runs.
    config.write_text(
        json.dumps(
            simulation.default_config("board") | {"cable": {"kind": "file", "path": "/dev/null"}}
        )
    )
    options = (*port, "--config", str(config))
    lines = said("flash", *options, "--invite", asyncio.run(token())).splitlines()
    assert [line.split()[0] for line in lines] == ["board", "written", "started"]
    assert "the program has" in lines[1]
    told = said("doctor", *port)
    assert "enrolled             not yet; it has an invite" in told
    assert "configuration        fine" in told
    assert "all is well" in told
    # Again, with another configuration: the invite that is there stays.
    config.write_text(json.dumps({"name": "board"}))
    said("flash", *options)
    assert "config.json names no streams: mend config.json and flash it again" in fails(
        "doctor", *port
    )


def test_a_firmware_without_the_program_is_not_taken_for_one_that_has_it(board: UnixPort) -> None:
    message = fails("flash", "--frozen", "--port", board.repl)
    assert "the firmware of this board does not have the program" in message


def test_builds_what_other_tools_put_on_a_board_or_into_a_firmware(tmp_path: Path) -> None:
    said("build", str(tmp_path / "files"))
    assert {path.name for path in (tmp_path / "files").iterdir()} == {
        "boot.py", "main.py", *build.program(),
    }  # fmt: skip
    said("build", "--frozen", str(tmp_path / "frozen"))
    manifest = (tmp_path / "frozen" / "manifest.py").read_text()
    asked: list[str] = []
    exec(manifest, {"include": asked.append, "module": lambda name, opt: asked.append(name)})
    assert asked == [
        "$(PORT_DIR)/boards/manifest.py", "tickseal_board.py", "tickseal_handshake.py",
    ]  # fmt: skip
    for name in asked[1:]:
        source = (tmp_path / "frozen" / name).read_text()
        module = name.removesuffix(".py")
        assert build.compile_mpy(source, module) == build.program()[f"{module}.mpy"]


def test_an_invite_that_a_board_cannot_use(gateways: GatewayFactory) -> None:
    async def token() -> str:
        async with gateways.inside() as view:
            return str((await view.invite())["token"])

    with pytest.raises(ConfigError, match="tickseal gateway invite --classical"):
        flashing.check_invite(asyncio.run(token()))


def test_logs_show_what_a_board_says_and_what_it_prints(terminal: tuple[int, str]) -> None:
    # A board that ends: a line in a packet, then its traceback, as MicroPython prints it.
    told = encode(bytes((cable.TEXT,)) + b"connected to porch")
    ends = b"Traceback (most recent call last):\r\n  MemoryError: \r\n"
    over = threading.Event()

    def speak() -> None:
        while not over.wait(0.02):
            os.write(terminal[0], told + ends)

    thread = threading.Thread(target=speak)
    thread.start()
    lines = said("logs", "--port", terminal[1], "--seconds", "0.3").splitlines()
    over.set()
    thread.join()
    assert "connected to porch" in lines
    assert "Traceback (most recent call last):" in lines

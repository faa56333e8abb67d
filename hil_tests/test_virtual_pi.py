"""The virtual Pi keeps what it promises: each of its devices is there and does its work."""

import contextlib
import io
import math
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from waiting import eventually

from hil_tests.bench.capabilities import I2C, PPS, PTP, Cable, Camera, Clock, Network, Power
from hil_tests.bench.shell import Shell

PYTHON = "/opt/tickseal/bin/python"
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000

# Bosch BST-BMP280-DS001, section 3.12: calibration, raw readings, and what they amount to.
BME280_ADDRESS = 0x76
BME280_CALIBRATION = struct.pack(
    "<HhhHhhhhhhhh",
    *(27504, 26435, -1000),
    *(36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000),
)
BME280_RAW_PRESSURE = 415148
BME280_RAW_TEMPERATURE = 519888
BME280_CELSIUS = 25.08
BME280_HECTOPASCAL = 1006.53

READ_BME280 = """
import warnings
warnings.simplefilter("ignore")
from adafruit_bme280.basic import Adafruit_BME280_I2C
from adafruit_extended_bus import ExtendedI2C
sensor = Adafruit_BME280_I2C(ExtendedI2C(1), 0x76)
print(sensor.temperature, sensor.pressure)
"""


def set_bme280(i2c: I2C, raw_temperature: int) -> None:
    i2c.set_registers(BME280_ADDRESS, 0xD0, b"\x60")
    i2c.set_registers(BME280_ADDRESS, 0x88, BME280_CALIBRATION)
    raw = (BME280_RAW_PRESSURE << 4).to_bytes(3) + (raw_temperature << 4).to_bytes(3) + b"\x80\0"
    i2c.set_registers(BME280_ADDRESS, 0xF7, raw)


def test_boots_a_debian_with_a_real_kernel(shell: Shell) -> None:
    assert "trixie" in shell.run("cat /etc/os-release").text
    assert shell.run("systemctl --failed --no-legend --plain").text == ""
    assert shell.run([PYTHON, "--version"]).text.startswith("Python 3.13.")


def test_reports_how_a_command_ended(shell: Shell) -> None:
    done = shell.run("cat; echo wrong >&2; exit 7", stdin=b"\0right\xff", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"\0right\xff", b"wrong\n")


def test_copies_files_both_ways(shell: Shell, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    shell.write("/run/somefile", content)
    assert shell.run("sha256sum < /run/somefile; stat -c %s /run/somefile").text.endswith("2560000")
    assert shell.read("/run/somefile") == content


def test_reads_i2c_registers_through_a_blinka_driver(shell: Shell, i2c: I2C) -> None:
    set_bme280(i2c, BME280_RAW_TEMPERATURE)
    celsius, hectopascal = map(float, shell.run([PYTHON, "-c", READ_BME280]).text.split())
    assert celsius == pytest.approx(BME280_CELSIUS, abs=0.01)
    assert hectopascal == pytest.approx(BME280_HECTOPASCAL, abs=0.01)
    # The driver has written as well: its mode, and how often to measure.
    assert i2c.get_registers(BME280_ADDRESS, 0xF4, 1) != b"\0"


def test_a_sensor_can_be_unplugged_and_comes_back(shell: Shell, i2c: I2C) -> None:
    set_bme280(i2c, BME280_RAW_TEMPERATURE)
    i2c.unplug(BME280_ADDRESS)
    assert (
        "No I2C device at address: 0x76"
        in shell.run([PYTHON, "-c", READ_BME280], check=False).stderr.decode()
    )
    i2c.plug(BME280_ADDRESS)
    assert i2c.get_registers(BME280_ADDRESS, 0xD0, 1) == b"\x60"


def test_words_of_a_sensor_with_wide_registers_lie_apart(i2c: I2C) -> None:
    i2c.set_registers(0x48, 0, b"\x12\x34")
    i2c.set_registers(0x48, 1, b"\x85\x83")
    assert i2c.get_registers(0x48, 0, 2) == b"\x12\x34"


def test_the_wall_clock_is_stepped_exactly(clock: Clock) -> None:
    before = clock.offset_ns()
    clock.step_ns(-3 * SECOND_NS)
    assert clock.offset_ns() - before == pytest.approx(-3 * SECOND_NS, abs=20 * MILLISECOND_NS)


def test_the_wall_clock_agrees_with_the_bench(clock: Clock) -> None:
    assert abs(clock.offset_ns()) < 20 * MILLISECOND_NS


def test_pps_edges_stay_when_the_wall_clock_is_stepped(
    shell: Shell, clock: Clock, pps: PPS
) -> None:
    clock.step_ns(SECOND_NS // 4)
    assert edge_fraction_ns(shell, pps) == pytest.approx(SECOND_NS // 4, abs=5 * MILLISECOND_NS)


def test_pps_edges_can_lie(shell: Shell, pps: PPS) -> None:
    pps.set_offset_ns(100 * MILLISECOND_NS)
    assert edge_fraction_ns(shell, pps) == pytest.approx(
        100 * MILLISECOND_NS, abs=5 * MILLISECOND_NS
    )


def edge_fraction_ns(shell: Shell, pps: PPS) -> int:
    """Return where in the wall clock's second the second edge from now on lies."""
    text = shell.run(f"stdbuf -oL ppstest {pps.device} | grep -m 2 assert").text
    edges = re.findall(r"assert \d+\.(\d{9})", text)
    assert len(edges) == 2, text
    return int(edges[-1])


def test_the_ptp_hardware_clock_runs_and_steps(shell: Shell, ptp: PTP) -> None:
    before = hardware_clock_ahead_ns(shell, ptp)
    assert abs(before) < 100 * MILLISECOND_NS
    ptp.step_device_ns(37 * SECOND_NS)
    assert hardware_clock_ahead_ns(shell, ptp) - before == pytest.approx(
        37 * SECOND_NS, abs=5 * MILLISECOND_NS
    )


def hardware_clock_ahead_ns(shell: Shell, ptp: PTP) -> int:
    text = shell.run(["phc_ctl", ptp.device, "cmp"]).text
    found = re.search(r"offset from CLOCK_REALTIME is (-?\d+)ns", text)
    assert found, text
    return -int(found[1])


def test_a_ptp_master_is_followed_lost_and_found(ptp: PTP) -> None:
    ptp.start_master()
    wait_for_port_state(ptp, "SLAVE")
    ptp.stop_master()
    wait_for_port_state(ptp, "LISTENING")
    ptp.start_master()
    wait_for_port_state(ptp, "SLAVE")


def test_a_ptp_master_can_lie(ptp: PTP) -> None:
    ptp.start_master(lie_ns=30 * MILLISECOND_NS)
    wait_for_port_state(ptp, "SLAVE")
    # Both stamp in software: what a busy machine holds up differs by as much.
    eventually(
        lambda: abs(ptp.master_offset_ns() + 30 * MILLISECOND_NS) < 5 * MILLISECOND_NS,
        what=lambda: f"the offset is the lie, not {ptp.master_offset_ns()} ns",
    )


def wait_for_port_state(ptp: PTP, state: str) -> None:
    eventually(lambda: ptp.port_state() == state, what=lambda: f"{state}, not {ptp.port_state()}")


def test_the_usb_serial_cable_carries_bytes_both_ways(shell: Shell, cable: Cable) -> None:
    script = f"""
import os, serial
host = serial.Serial({cable.host_end!r}, timeout=50, exclusive=True)
board = serial.Serial({cable.board_end!r}, timeout=50)
sent = bytes(range(256)) * 4
for one, other in ((host, board), (board, host)):
    one.write(sent)
    assert other.read(len(sent)) == sent
print("carried")
"""
    assert shell.run([PYTHON, "-c", script]).text == "carried"


def test_the_camera_gives_moving_pictures(shell: Shell, camera: Camera) -> None:
    size = 320 * 180 * 2
    shell.run(
        f"v4l2-ctl -d {camera.device} --set-fmt-video=width=320,height=180,pixelformat=YUYV"
        " --stream-mmap --stream-count=3 --stream-to=/run/frames"
    )
    frames = shell.read("/run/frames")
    assert len(frames) == 3 * size
    assert len({frames[start : start + size] for start in range(0, len(frames), size)}) == 3


READ_PICAMERA2 = """
import sys
from picamera2 import Picamera2
camera = Picamera2(int(sys.argv[1]))
camera.configure(
    camera.create_video_configuration(
        main={"size": (320, 240), "format": "BGR888"},
        controls={"FrameDurationLimits": (200_000, 200_000)},
    )
)
camera.start()
for name in sys.argv[2:]:
    camera.capture_file(name, format="jpeg")
camera.close()
"""


def test_picamera2_gives_pictures(shell: Shell, camera: Camera, tmp_path: Path) -> None:
    names = ["/run/one.jpg", "/run/two.jpg"]
    shell.run([PYTHON, "-c", READ_PICAMERA2, str(camera.number), *names])
    for name in names:
        with Image.open(io.BytesIO(shell.read(name))) as picture:
            assert picture.size == (320, 240)
            # The first of its bars is white, the last black.
            grey = picture.convert("L").tobytes()[120 * 320 : 121 * 320]
            assert grey[5] > 200
            assert grey[315] < 50


@contextlib.contextmanager
def echo_on_the_bench() -> Iterator[int]:
    """Send back every datagram that comes to 127.0.0.1; give the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("127.0.0.1", 0))

        def answer() -> None:
            while (received := echo.recvfrom(2048))[0]:
                echo.sendto(*received)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield echo.getsockname()[1]
        finally:
            echo.sendto(b"", echo.getsockname())
            thread.join()


ROUND_TRIPS = """
import socket, sys, time
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there.settimeout(0.5)
times = []
for number in range(6):
    start = time.monotonic()
    there.sendto(bytes([number]), (sys.argv[1], int(sys.argv[2])))
    try:
        while there.recv(10) != bytes([number]):
            pass  # an answer that came too late
    except TimeoutError:
        continue
    times.append(time.monotonic() - start)
print(min(times, default="inf"))
"""


def round_trip_s(shell: Shell, network: Network, port: int) -> float:
    """Return the shortest of a few; infinity where nothing came back."""
    command = [PYTHON, "-c", ROUND_TRIPS, network.gateway_address, str(port)]
    return float(shell.run(command).text)


def wait_for_round_trip(
    shell: Shell, network: Network, port: int, below_s: float, at_least_s: float = 0.0
) -> None:
    """Wait until a busy machine has given one that was held up by nothing but the network."""
    said: list[float] = []

    def is_short() -> bool:
        said.append(round_trip_s(shell, network, port))
        return said[-1] < below_s

    eventually(is_short, what=lambda: f"a round trip below {below_s} s: {said}")
    assert min(said) >= at_least_s


def test_netem_delays_both_directions(shell: Shell, network: Network) -> None:
    with echo_on_the_bench() as port:
        wait_for_round_trip(shell, network, port, 0.1)
        network.impair("delay 100ms")
        wait_for_round_trip(shell, network, port, 0.3, at_least_s=0.2)


def test_nothing_passes_while_the_network_cable_is_out(shell: Shell, network: Network) -> None:
    with echo_on_the_bench() as port:
        network.set_plugged(plugged=False)
        assert math.isinf(round_trip_s(shell, network, port))
        network.set_plugged(plugged=True)
        wait_for_round_trip(shell, network, port, 0.1)


def test_a_power_cut_keeps_what_was_fsynced_and_nothing_else(shell: Shell, power: Power) -> None:
    shell.run("rm -f /root/safe /root/unsafe && sync")
    shell.run("echo safe > /root/safe && sync /root/safe /root && echo lost > /root/unsafe")
    power.cut()
    power.give()
    assert shell.read("/root/safe") == b"safe\n"
    assert shell.run("cat /root/unsafe", check=False).text == ""


def test_the_command_of_this_checkout_runs_on_the_device(installed: str, shell: Shell) -> None:
    assert "Usage" in shell.run([installed, "--help"]).text

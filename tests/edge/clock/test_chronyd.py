"""A real chronyd that does not touch the clock, and believes what a test injects."""

import contextlib
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.clock.chrony import ChronySource, Tracking, parse_tracking
from waiting import eventually

from tickseal.clock import ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal.host.kernel_clock import KernelClock

needs_chronyd = pytest.mark.skipif(
    shutil.which("chronyd") is None, reason="chronyd is not installed (apt install chrony)"
)


class Chronyd:
    """chronyd -x with a reference clock whose samples are the test's."""

    def __init__(self, folder: Path, refid: str) -> None:
        self.samples = folder / "samples.sock"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = folder / "chrony.conf"
        config.write_text(
            f"refclock SOCK {self.samples} refid {refid} poll -2 filter 1 dpoll -3\n"
            f"cmdport {self.port}\nbindcmdaddress 127.0.0.1\nbindcmdaddress {folder}/cmd.sock\n"
            f"pidfile {folder}/pid\nport 0\n"
        )
        self.process = subprocess.Popen(
            ["chronyd", "-x", "-d", "-f", str(config), "-u", "root"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def feed(self, offset_s: float) -> None:
        """Tell it how far this machine's clock is behind the truth."""
        now = time.time()
        seconds = int(now)
        sample = struct.pack(
            "qqdiiii", seconds, int((now - seconds) * 1e6), offset_s, 0, 0, 0, 0x534F434B
        )
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
            contextlib.suppress(OSError),
        ):
            sock.sendto(sample, str(self.samples))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["NTP0", "PPS0"])
def chronyd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chronyd]:
    daemon = Chronyd(tmp_path, request.param)
    daemon.refid = request.param  # type: ignore[attr-defined]
    try:
        yield daemon
    finally:
        daemon.close()


def until(condition: Callable[[], object]) -> object:
    """Return what a condition gives once it is true, and raises no ClockError any more."""

    def look() -> object:
        with contextlib.suppress(ClockError):
            return condition()
        return None

    return eventually(look)


@needs_chronyd
def test_what_chrony_knows_of_the_clock_is_what_is_read(chronyd: Chronyd) -> None:
    kernel = KernelClock()
    source = ChronySource(kernel, ("127.0.0.1", chronyd.port))
    refid = chronyd.refid  # type: ignore[attr-defined]

    def poll() -> object:
        chronyd.feed(0.25)
        return source.poll()

    state = until(poll)
    # -x leaves the clock alone, so that the whole offset is what chrony would still correct.
    assert state.offset_ns == pytest.approx(-0.25e9, rel=0.01)  # type: ignore[attr-defined]
    # The machine may do something else between any two readings.
    before, read, after = kernel.now().midpoint_ns, source.read_ns(), kernel.now().midpoint_ns
    assert before + 0.2475e9 <= read <= after + 0.2525e9
    assert state.details["reference"] == refid  # type: ignore[attr-defined]
    is_pulse = refid.startswith("PPS")
    assert state.discipline is (ClockDiscipline.PPS if is_pulse else ClockDiscipline.NTP)  # type: ignore[attr-defined]
    assert 0 < state.uncertainty_ns < 10**9  # type: ignore[attr-defined]
    shown = subprocess.run(
        ["chronyc", "-c", "-h", "127.0.0.1", "-p", str(chronyd.port), "tracking"],
        check=True, capture_output=True, text=True,
    ).stdout.split(",")  # fmt: skip
    tracking = source.tracking()
    assert tracking.stratum == int(shown[2])
    assert tracking.root_dispersion_s == pytest.approx(float(shown[11]), abs=0.01)
    assert tracking.skew_ppm == pytest.approx(float(shown[9]), abs=0.01)


@needs_chronyd
def test_a_chrony_without_a_source_is_no_source(tmp_path: Path) -> None:
    daemon = Chronyd(tmp_path, "NTP0")
    try:
        source = ChronySource(KernelClock(), ("127.0.0.1", daemon.port))

        def refusal() -> bool:
            try:
                source.poll()
            except ClockError as error:
                return "has no source that it trusts" in str(error)
            return False

        assert until(refusal)
    finally:
        daemon.close()


def test_no_chrony_says_what_to_install() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ClockError, match="install chrony"):
        ChronySource(KernelClock(), ("127.0.0.1", port)).poll()


def test_the_bound_is_the_correction_the_dispersion_and_half_the_delay() -> None:
    tracking = Tracking(
        reference="10.0.0.1", is_refclock=False, stratum=2, is_synchronised=True, reference_s=0,
        correction_s=-0.002, skew_ppm=1, frequency_ppm=0, root_delay_s=0.010,
        root_dispersion_s=0.003, interval_s=64,
    )  # fmt: skip
    assert tracking.bound_ns == pytest.approx(10_000_000, abs=2)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_any_bytes_are_an_answer_an_error_or_none(packet: bytes, sequence: int) -> None:
    with contextlib.suppress(ClockError):
        parse_tracking(packet, sequence)

"""A real ptp4l, master and slave between two network namespaces; skipped where it cannot run."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tickseal_edge.clock.ptp import PTPSource
from tickseal_edge.clock.ptp_management import PTPManagement
from waiting import eventually

from tickseal.core.errors import ClockError
from tickseal.host.kernel_clock import KernelClock

#: Quick elections and many messages; both clocks are this machine's, so they are not touched.
_CONFIG = """[global]
free_running 1
time_stamping software
network_transport UDPv4
{role} 1
uds_address {uds}
logAnnounceInterval -3
announceReceiptTimeout 3
logSyncInterval -3
logMinDelayReqInterval -3
clockClass {clock_class}
[{interface}]
"""


def _can_make_namespaces() -> str:
    for tool in ("ip", "ptp4l"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt install linuxptp iproute2)"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    probe = f"tickseal-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


_problem = _can_make_namespaces()
pytestmark = pytest.mark.skipif(bool(_problem), reason=_problem)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Pair:
    """Two namespaces joined by a cable, a ptp4l in each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = [f"tickseal-{side}-{os.getpid()}" for side in ("m", "s")]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        master, slave = self.names
        for name in self.names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "vm", "netns", master, "type", "veth",
            "peer", "name", "vs", "netns", slave)  # fmt: skip
        for name, interface, address in ((master, "vm", "10.98.0.1"), (slave, "vs", "10.98.0.2")):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", interface)
            run("ip", "-n", name, "link", "set", interface, "up")

    def start(self, side: str, *, clock_class: int = 248) -> None:
        """Start the master's ("m") or the slave's ("s") ptp4l."""
        name = self.names[side == "s"]
        config = self.folder / f"{side}.cfg"
        config.write_text(
            _CONFIG.format(
                role="slaveOnly" if side == "s" else "masterOnly",
                uds=self.socket(side),
                interface=f"v{side}",
                clock_class=255 if side == "s" else clock_class,
            )
        )
        self.processes[side] = subprocess.Popen(
            ["ip", "netns", "exec", name, "ptp4l", "-f", str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def socket(self, side: str) -> str:
        return str(self.folder / f"{side}.sock")

    def stop(self, side: str) -> None:
        process = self.processes.pop(side)
        process.send_signal(signal.SIGKILL)
        process.wait()
        Path(self.socket(side)).unlink(missing_ok=True)

    def close(self) -> None:
        for side in list(self.processes):
            self.stop(side)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    try:
        yield pair
    finally:
        pair.close()


def until(condition: Callable[[], object]) -> object:
    """Return what a condition gives once it is true, and raises no ClockError any more."""

    def look() -> object:
        with contextlib.suppress(ClockError):
            return condition()
        return None

    return eventually(look)


def test_the_offset_between_two_of_this_machine_is_hardly_one(pair: Pair) -> None:
    """And the master can be lost and found."""
    pair.start("m")
    pair.start("s")
    kernel = KernelClock()
    source = PTPSource(PTPManagement(pair.socket("s")), kernel, takes_untraceable=True)
    state = until(source.poll)
    # Both ends read one clock: whatever ptp4l measures between them is the error of the measuring.
    assert abs(state.offset_ns) < 1_000_000  # type: ignore[attr-defined]
    assert state.details["port_state"] in ("slave", "uncalibrated")  # type: ignore[attr-defined]
    assert state.details["clock_class"] == 248  # type: ignore[attr-defined]
    # The machine may do something else between any two readings.
    before, read, after = kernel.now().midpoint_ns, source.read_ns(), kernel.now().midpoint_ns
    assert before - 1_000_000 < read < after + 1_000_000
    first = state.details["grandmaster"]  # type: ignore[attr-defined]

    pair.stop("m")

    def lost() -> str:
        try:
            source.poll()
        except ClockError as error:
            return str(error)
        return ""

    assert "no sync" in str(until(lost)) or "no master" in lost()
    pair.start("m")
    again = until(source.poll)
    assert again.details["grandmaster"] == first  # type: ignore[attr-defined]


@contextlib.contextmanager
def read_only(folder: Path, whole: str) -> Iterator[str]:
    """Give the socket that linuxptp 4 has for all: it keeps the properties of ports to itself."""
    path, back = folder / "ro.sock", folder / "back.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as front,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_ptp4l,
    ):
        front.bind(str(path))
        to_ptp4l.bind(str(back))
        to_ptp4l.settimeout(0.5)

        def serve() -> None:
            while (asked := front.recvfrom(2048))[0]:
                request, client = asked
                answer = bytearray(request)
                if request[52:54] == b"\xc0\x04":
                    answer[46] = 2  # action: response
                    answer[48:] = b"\0\2\0\x08\0\6\xc0\4\0\0\0\0"  # error: not supported
                else:
                    to_ptp4l.sendto(request, whole)
                    answer = bytearray(to_ptp4l.recv(2048))
                front.sendto(answer, client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(path)
        to_ptp4l.sendto(b"", str(path))
        thread.join()


def test_the_read_only_socket_tells_enough(pair: Pair, tmp_path: Path) -> None:
    pair.start("m")
    pair.start("s")
    whole = PTPManagement(pair.socket("s"))
    until(PTPSource(whole, KernelClock(), takes_untraceable=True).poll)
    with read_only(tmp_path, pair.socket("s")) as path:
        source = PTPSource(PTPManagement(path), KernelClock(), takes_untraceable=True)
        state = until(source.poll)
    assert state.details["port_state"] in ("slave", "uncalibrated")  # type: ignore[attr-defined]
    assert state.details["clock"] == "kernel (software stamps)"  # type: ignore[attr-defined]


def test_a_master_that_claims_no_reference_is_not_taken_at_its_word(pair: Pair) -> None:
    pair.start("m")
    pair.start("s")
    source = PTPSource(PTPManagement(pair.socket("s")), KernelClock())

    def refusal() -> bool:
        try:
            source.poll()
        except ClockError as error:
            return "claims no primary reference" in str(error)
        return False

    assert until(refusal)

"""A bench of real wires runs the same tests: tried on a virtual Pi as if it were a real one.

All that the tests know of it is the bench's file: a shell by ssh, and command lines.
"""

import contextlib
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hil_tests.bench.capabilities import Bench
from hil_tests.bench.virtual_pi.bench import VirtualBench

CHECKOUT = Path(__file__).parents[1]
#: Reads and writes of many a capability, and one that this bench lacks.
TESTS = (
    "test_readings.py::test_readings_equal_the_registers",
    "test_networks.py::test_the_gateway_counts_what_the_network_lost",
    "test_networks.py::test_what_was_sealed_while_the_cable_was_out_comes_when_it_is_in",
    "test_virtual_pi.py::test_a_sensor_can_be_unplugged_and_comes_back",
    "test_virtual_pi.py::test_the_wall_clock_is_stepped_exactly",
    "test_virtual_pi.py::test_pps_edges_can_lie",
    "test_virtual_pi.py::test_a_power_cut_keeps_what_was_fsynced_and_nothing_else",
)
LACKING = "this bench has no pps; describe it by a table [pps]"


def test_the_same_tests_run_on_real_wires(bench: Bench, tmp_path: Path) -> None:
    if not isinstance(bench, VirtualBench):
        pytest.skip("this bench is one of real wires")
    with real_bench(tmp_path) as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", f"--bench={file}"]
            + [f"hil_tests/{test}" for test in TESTS],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )
    assert done.returncode == 0, done.stdout[-30_000:]
    assert re.search(rf"{len(TESTS) - 1} passed, 1 skipped", done.stdout), done.stdout
    assert LACKING in done.stdout


@contextlib.contextmanager
def real_bench(folder: Path) -> Iterator[Path]:
    """Give the file of a bench whose device answers by ssh."""
    with contextlib.closing(VirtualBench()) as bench, relay(bench) as port:
        bench.i2c.prepare()
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        bench.shell.run("mkdir -p -m 700 /root/.ssh")
        bench.shell.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_bytes())
        bench.shell.run(
            "chmod 600 /root/.ssh/authorized_keys && systemctl start ssh"
            ' && systemctl add-wants "$(systemctl get-default)" ssh && sync'
        )
        file = folder / "my-bench.toml"
        file.write_text(toml(describe(bench, key, port)))
        yield file


def describe(bench: VirtualBench, key: Path, relay_port: int) -> dict[str, dict[str, object]]:
    """Return what a person would write of this bench."""
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    ssh = f"ssh -i {key} -p {bench.machine.ssh_port} {options} root@127.0.0.1"
    chips = "/sys/module/bench_i2c/parameters/chip_addr"
    monitor = f"{sys.executable} -m hil_tests.bench.virtual_pi.monitor {bench.machine.monitor}"
    switch = f"exec 3<>/dev/tcp/127.0.0.1/{relay_port}; echo $0 >&3; read -r done <&3"
    return {
        "device": {
            "kind": "real",
            "shell": ssh,
            # The image has all that it needs.
            "install": "/opt/tickseal/bin/pip install --quiet --no-index --no-deps {wheel}",
        },
        "power": {"cut": f"bash -c '{switch}' off", "give": f"bash -c '{switch}' on"},
        "i2c": {
            "bus": 1,
            "set": f"{ssh} i2ctransfer -y 1 w{{written}}@{{address:#x}} {{register}} {{words}}",
            "get": f"{ssh} i2ctransfer -y 1 w1@{{address:#x}} {{register}} r{{length}}",
            "unplug": f"{ssh} 'echo 0x44 > {chips}'",
            "plug": f"{ssh} 'echo 0x44,{{address:#x}} > {chips}'",
        },
        "clock": {"free": "true", "back": "true"},
        "network": {
            "interface": "eth0",
            "gateway_address": bench.network.gateway_address,
            "listen_host": bench.network.listen_host,
            "unplug": f"{monitor} set_link name=network up=false",
            "plug": f"{monitor} set_link name=network up=true",
        },
    }


def toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Return tables as TOML, whose strings and numbers are written as JSON's."""
    lines: list[str] = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def relay(bench: VirtualBench) -> Iterator[int]:
    """Switch the device off and on as a relay box does that is told so over the network."""

    class Box(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.readline().strip() == b"off":
                bench.power.cut()
            else:
                bench.power.give()
            self.wfile.write(b"done\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Box) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()

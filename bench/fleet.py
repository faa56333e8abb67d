"""Measure a whole gateway with 1,000 devices and 10,000 streams: memory, processor, connecting.

The gateway is the program that people run, with its store; the devices are one process that enrols
each by an invite of its own, opens its streams, and sends a reading of each every few seconds.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from load import Program
from seal import versions

from edge import _cpu_s, _run, _start


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def _totals(folder: str) -> Any:
    return json.loads(_run("gateway", "status", "--state", f"{folder}/gateway", "--json"))["totals"]


def measure(devices: int, streams: int, seconds: float, interval_s: float) -> dict[str, Any]:
    """Return what a gateway takes with so many devices of so many streams each."""
    with tempfile.TemporaryDirectory() as folder:
        gateway = _start("gateway", "run", "--state", f"{folder}/gateway", "--port", "0", "--json")
        try:
            assert gateway.stdout is not None
            port = json.loads(gateway.stdout.readline())["gateway"]["tcp_port"]
            # It goes on telling how it is; a full pipe would stop it.
            threading.Thread(target=gateway.stdout.read, daemon=True).start()
            time.sleep(1)
            empty = _resident(gateway.pid)
            given = {
                "state": f"{folder}/gateway", "port": port, "devices": devices, "streams": streams,
            }  # fmt: skip
            with Program("fleet", interval_s=interval_s, **given) as fleet:
                connected_s = fleet.line()["connected_s"]
                opened = _resident(gateway.pid)
                time.sleep(interval_s + 2)  # every stream has brought a frame
                cpu, frames, began = _cpu_s(gateway.pid), _totals(folder)["frames"], time.time()
                time.sleep(seconds)
                lasted = time.time() - began
                cpu, found = _cpu_s(gateway.pid) - cpu, _totals(folder)
                fleet.say()
                fleet.line()
                return {
                    "devices": found["sessions"], "streams": devices * streams,
                    "connected_s": connected_s, "empty": empty, "opened": opened,
                    "streaming": _resident(gateway.pid), "missing": found["missing"],
                    "frames_per_s": (found["frames"] - frames) / lasted, "cores": cpu / lasted,
                }  # fmt: skip
        finally:
            gateway.terminate()
            gateway.wait(30)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000, help="devices (1000)")
    parser.add_argument("--streams", type=int, default=10, help="streams of each (10)")
    parser.add_argument("--seconds", type=float, default=10, help="how long is measured (10)")
    parser.add_argument("--interval", type=float, default=5, help="s between frames (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    found = measure(arguments.devices, arguments.streams, arguments.seconds, arguments.interval)
    mib = {name: found[name] / 2**20 for name in ("empty", "opened", "streaming")}
    each = (found["streaming"] - found["empty"]) / found["streams"]
    print(
        f"{found['devices']} devices, {found['streams']} streams: enrolled and open in "
        f"{found['connected_s']:.0f} s\n"
        f"resident: {mib['empty']:.0f} MiB empty, {mib['opened']:.0f} open, "
        f"{mib['streaming']:.0f} streaming: {each / 1024:.1f} KiB a stream with its share of a "
        f"session\n{found['frames_per_s']:.0f} frames a second opened and stored, "
        f"{found['missing']} missing, {found['cores'] * 100:.0f} % of a core"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": used, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

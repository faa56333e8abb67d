"""Measure a whole gateway with 1,000 devices and 10,000 streams: memory, processor, connecting.

The gateway is the program that people run, with its store; the devices are one process that enrols
each by an invite of its own, opens its streams, and sends a reading of each every few seconds. Then
the gateway is killed and started again, and all devices come back at once.
"""

import argparse
import json
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from load import Program
from load.product import Gateway
from seal import versions


def measure(devices: int, streams: int, seconds: float, interval_s: float) -> dict[str, Any]:
    """Return what a gateway takes with so many devices of so many streams each."""
    with tempfile.TemporaryDirectory() as folder:
        with Gateway(folder) as gateway:
            found: dict[str, Any] = {"streams": devices * streams, "empty": gateway.resident_bytes}
            given: dict[str, Any] = {"devices": devices, "streams": streams}
            given |= {"state": gateway.state, "port": gateway.port, "interval_s": interval_s}
            began = gateway.cpu_s
            fleet = Program("fleet", **given)
            found |= fleet.line()
            found |= {"enrol_cpu_s": gateway.cpu_s - began, "opened": gateway.resident_bytes}
            time.sleep(interval_s + 2)  # every stream has brought a frame
            found |= _steady(gateway, seconds)
            fleet.say("again")
            gateway.end(signal.SIGKILL)
        killed = time.monotonic()
        with fleet, Gateway(folder, gateway.port) as gateway:
            listening, began = time.monotonic(), gateway.cpu_s
            back = fleet.line()
            found["back_cpu_s"] = gateway.cpu_s - began
            found |= {f"back_{which}_s": at - listening for which, at in back.items()}
            found["down_s"] = listening - killed
            found["not_admitted"] = gateway.status()["totals"]["not_admitted"]
            fleet.say()
            fleet.line()
        return found


def _steady(gateway: Gateway, seconds: float) -> dict[str, Any]:
    """Return what streaming takes, by the gateway's own count."""
    frames, cpu, began = gateway.status()["totals"]["frames"], gateway.cpu_s, time.monotonic()
    time.sleep(seconds)
    cpu, lasted = gateway.cpu_s - cpu, time.monotonic() - began
    totals = gateway.status()["totals"]
    return {
        "devices": totals["sessions"], "missing": totals["missing"], "cores": cpu / lasted,
        "frames_per_s": (totals["frames"] - frames) / lasted, "streaming": gateway.resident_bytes,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000, help="devices (1000)")
    parser.add_argument("--streams", type=int, default=10, help="streams of each (10)")
    parser.add_argument("--seconds", type=float, default=10, help="how long is measured (10)")
    parser.add_argument("--interval", type=float, default=10, help="s between frames (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    found = measure(arguments.devices, arguments.streams, arguments.seconds, arguments.interval)
    mib = {name: found[name] / 2**20 for name in ("empty", "opened", "streaming")}
    each = (found["streaming"] - found["empty"]) / found["streams"]
    print(
        f"{found['devices']} devices, {found['streams']} streams: enrolled and open in "
        f"{found['connected_s']:.0f} s, {found['enrol_cpu_s']:.1f} s of the gateway's processor\n"
        f"resident: {mib['empty']:.0f} MiB empty, {mib['opened']:.0f} open, "
        f"{mib['streaming']:.0f} streaming: {each / 1024:.1f} KiB a stream with its share of a "
        f"session\n{found['frames_per_s']:.0f} frames a second opened and stored, "
        f"{found['missing']} missing, {found['cores'] * 100:.0f} % of a core\n"
        f"killed, and listening again after {found['down_s']:.1f} s; from then on the first is "
        f"back in {found['back_first_s']:.1f} s, half in {found['back_half_s']:.1f}, all in "
        f"{found['back_last_s']:.1f}, {found['back_cpu_s']:.1f} s of its processor; turned away "
        f"{found['not_admitted']}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": used, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

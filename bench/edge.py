"""What a device costs: memory and processor of `tickseal edge run`, with a gateway beside it.

Run: ./dev bench edge [--seconds 20] [--sensors 10] [--rate 10]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TICKSEAL = [sys.executable, "-m", "tickseal.cli"]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--sensors", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10)
    given = parser.parse_args()
    print(f"{'streams':42} {'resident':>10} {'of one core':>12} {'frames/s':>9}")
    many = [
        f'kind = "replay"\nfile = "FOLDER/readings.csv"\nid = "sensor-{n}"\nrate = {given.rate}'
        for n in range(given.sensors)
    ]
    one = f'kind = "host"\nrate = {given.rate}'
    picture = 'kind = "pattern"\nrate = 15'
    for title, streams in (
        ("none at work: 1 reading an hour", ['kind = "host"\nrate = 0.001']),
        (f"1 host telemetry at {given.rate:g} Hz", [one]),
        (f"{given.sensors} sensors (from a file) at {given.rate:g} Hz", many),
        ("10 Hz of it and 640x480 JPEG at 15 Hz", [one, picture]),
    ):
        text = "".join(
            f"[[streams]]\n{stream.replace('rate =', 'rate_hz =')}\n" for stream in streams
        )
        resident, share, rate = _measure(text, given.seconds)
        print(f"{title:42} {resident / 1024:7.1f} MB {share * 100:10.1f} % {rate:9.1f}")


def _measure(streams: str, seconds: float) -> tuple[int, float, float]:
    """Return peak resident kB, share of a core, and frames a second of a device with streams."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edge.toml"
        (Path(folder) / "readings.csv").write_text("temperature [Cel],humidity [%RH]\n21.5,50\n")
        streams = streams.replace("FOLDER", folder)
        config.write_text(f'name = "bench"\nstate = "{folder}/edge"\n{streams}')
        gateway = _start("gateway", "run", "--state", f"{folder}/gateway", "--port", "0", "--json")
        try:
            assert gateway.stdout is not None
            gateway.stdout.readline()
            token = json.loads(_run("gateway", "invite", "--state", f"{folder}/gateway", "--json"))
            _run("edge", "enrol", token["token"], "--config", str(config))
            edge = _start("edge", "run", "--config", str(config))
            try:
                time.sleep(5)  # imports, enrolment and the first frames are not what it costs
                before = (_cpu_s(edge.pid), _frames(config), time.monotonic())
                time.sleep(seconds)
                after = (_cpu_s(edge.pid), _frames(config), time.monotonic())
                resident = _resident_kb(edge.pid)
            finally:
                _stop(edge)
        finally:
            _stop(gateway)
    lasted = after[2] - before[2]
    return resident, (after[0] - before[0]) / lasted, (after[1] - before[1]) / lasted


def _frames(config: Path) -> int:
    status = json.loads(_run("edge", "status", "--config", str(config), "--json"))
    return sum(stream["frames"] for stream in status["streams"])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _start(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*_TICKSEAL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _run(*arguments: str) -> str:
    return subprocess.run(
        [*_TICKSEAL, *arguments], check=True, capture_output=True, text=True
    ).stdout


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    if process.stdout:
        process.stdout.close()


if __name__ == "__main__":
    main()

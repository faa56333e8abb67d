"""What a device costs: memory and processor of `tickseal edge run`, with a gateway beside it.

Run: ./dev bench edge [--seconds 20] [--sensors 10] [--rate 10]
"""

import argparse
import tempfile
import time
from pathlib import Path

from load.product import Gateway, Running, ask, command


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
        print(f"{title:42} {resident / 2**20:7.1f} MB {share * 100:10.1f} % {rate:9.1f}")


def _measure(streams: str, seconds: float) -> tuple[int, float, float]:
    """Return peak resident bytes, share of a core, and frames a second of a device with streams."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edge.toml"
        (Path(folder) / "readings.csv").write_text("temperature [Cel],humidity [%RH]\n21.5,50\n")
        streams = streams.replace("FOLDER", folder)
        config.write_text(f'name = "bench"\nstate = "{folder}/edge"\n{streams}')
        with Gateway(folder) as gateway:
            command("edge", "enrol", gateway.invite(), "--config", str(config))
            with Running("edge", "run", "--config", str(config)) as edge:
                time.sleep(5)  # imports, enrolment and the first frames are not what it costs
                before = (edge.cpu_s, _frames(config), time.monotonic())
                time.sleep(seconds)
                after = (edge.cpu_s, _frames(config), time.monotonic())
                resident = edge.resident_most_bytes
    lasted = after[2] - before[2]
    return resident, (after[0] - before[0]) / lasted, (after[1] - before[1]) / lasted


def _frames(config: Path) -> int:
    status = ask("edge", "status", "--config", str(config))
    return sum(stream["frames"] for stream in status["streams"])


if __name__ == "__main__":
    main()

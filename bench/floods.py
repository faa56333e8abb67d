"""Measure what is left of honest streams, and the gateway's memory, while it is flooded.

For each flood a gateway and a device are started as people start them; then one process floods the
gateway over loopback, from many addresses. It has a processor to itself, as if it were another
machine: the gateway and the device share the others. Meanwhile a device that was away connects.

Left is the rate under the flood as a share of that before it; lost are the frames that were sealed
and did not arrive. Where other programs want the processors, left varies and lost does not.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from load import Program
from load.product import Gateway, Running, command
from seal import versions

from tickseal.invite import InviteToken

#: What is offered, and how often a second; 0: as fast as it goes.
FLOODS = (
    ("handshakes", 10_000), ("strangers", 10_000), ("strangers", 0), ("slow", 0),
    ("forged", 100_000), ("forged", 0), ("oversize", 0),
)  # fmt: skip
GOAL = 0.9
_PROCESSORS = sorted(os.sched_getaffinity(0))
_STREAMS = (
    *(f'[[streams]]\nkind = "host"\nid = "host-{n}"\nrate_hz = 25\n' for n in range(4)),
    '[[streams]]\nkind = "pattern"\nid = "camera"\nrate_hz = 10\n',
)
_CONNECTS_MOST_S, _SUMMARY_S = 30.0, 6.0
_LATE = '[[streams]]\nkind = "host"\nid = "late"\nrate_hz = 10\n'


def _frames(status: Any) -> int:
    return sum(stream["frames"] for stream in status["streams"])


def _rate(gateway: Gateway, seconds: float) -> float:
    """Return frames a second, by the gateway's own count over that time."""
    before, began = _frames(gateway.status()), time.monotonic()
    time.sleep(seconds)
    after, ended = _frames(gateway.status()), time.monotonic()
    return (after - before) / (ended - began)


def _enrolled(gateway: Gateway, name: str, streams: str) -> tuple[Path, str]:
    """Enrol a device; return its configuration, and the gateway's public key in hex."""
    folder = Path(gateway.state).parent
    config = folder / f"{name}.toml"
    config.write_text(f'name = "{name}"\nstate = "{folder}/{name}"\n{streams}')
    token = gateway.invite()
    command("edge", "enrol", token, "--config", str(config))
    return config, InviteToken.parse(token).gateway_public.hex()


def _seconds_to_connect(gateway: Gateway, config: Path) -> float:
    """Return how long a device takes that starts now until the gateway has opened its frames."""
    before = sum(s["frames"] for s in gateway.status()["streams"] if s["id"] == "late")
    began = time.monotonic()
    with Running("edge", "run", "--config", str(config)):
        while time.monotonic() - began < _CONNECTS_MOST_S:
            stream = next((s for s in gateway.status()["streams"] if s["id"] == "late"), None)
            if stream is not None and stream["frames"] > before:
                return time.monotonic() - began
    return float("inf")


def _flooded(kind: str, most: int, seconds: float) -> dict[str, Any]:
    """Return one row."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        gateway = stack.enter_context(Gateway(folder))
        config, key = _enrolled(gateway, "bench", "".join(_STREAMS))
        late, _ = _enrolled(gateway, "late", _LATE)
        stack.enter_context(Running("edge", "run", "--config", str(config)))
        time.sleep(4)
        quiet, connects = _rate(gateway, seconds), _seconds_to_connect(gateway, late)
        was = gateway.status()
        stream = next(one for one in was["streams"] if one["id"] == "host-0")
        given = {
            "port": gateway.port, "sites": 200, "handle": stream["handle"], "tick": stream["tick"],
            "generation": int(stream["generation"], 16) & 255, "key": key,
        }  # fmt: skip
        before = gateway.resident_most_bytes
        with Program("flood", kind=kind, most=most, **given) as flood:
            os.sched_setaffinity(flood.process.pid, _PROCESSORS[-1:])
            time.sleep(0.5)
            rate = _rate(gateway, seconds)
            flooded_connects = _seconds_to_connect(gateway, late)
            resident = gateway.resident_most_bytes
            flood.say()
            offered = flood.line()["offered_per_s"]
        time.sleep(_SUMMARY_S)  # then the device has said how many frames it sealed
        now = gateway.status()
    opened = _frames(now) - _frames(was)
    missing = now["totals"]["missing"] - was["totals"]["missing"]
    return {
        "flood": kind, "offered_per_s": offered, "quiet_per_s": quiet, "flooded_per_s": rate,
        "left": rate / quiet, "grown": resident - before, "resident": resident,
        "connects_s": connects, "flooded_connects_s": flooded_connects,
        "missing": missing, "lost": missing / max(1, missing + opened),
        "dropped_by_kernel": now["links"]["udp"]["dropped_by_kernel"],
        "not_admitted": now["totals"]["not_admitted"], "tcp": now["links"]["tcp"],
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each flood (5)")
    parser.add_argument("--only", metavar="FLOOD", help="one of the floods")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    print(
        f"{'flood':12}{'offered/s':>11} {'honest/s':>10} {'flooded':>9} {'left':>7} {'lost':>6} "
        f"{'memory':>17} {'connects in':>18}"
    )
    # What is started from here shares all processors but the last.
    os.sched_setaffinity(0, _PROCESSORS[:-1] or _PROCESSORS)
    rows: list[dict[str, Any]] = []
    for kind, most in FLOODS:
        if arguments.only not in (None, kind):
            continue
        row = _flooded(kind, most, arguments.seconds)
        rows.append(row)
        print(
            f"{row['flood']:12}{row['offered_per_s']:11.0f} {row['quiet_per_s']:10.1f} "
            f"{row['flooded_per_s']:9.1f} {row['left'] * 100:5.0f} % {row['lost'] * 100:4.1f} % "
            f"{row['resident'] / 2**20:6.0f} MB ({row['grown'] / 2**20:+5.1f}) "
            f"{row['connects_s']:6.1f} -> {row['flooded_connects_s']:4.1f} s",
            flush=True,
        )
        if row["left"] < GOAL:
            print(f"missed: {kind}: {row['left'] * 100:.0f} % left, the goal is 90 %")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": used, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

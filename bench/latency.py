"""Measure what sealing and opening add to the time that a datagram takes.

A frame's way: seal, UDP over loopback to another process, UDPLink, StreamTable, and a word back as
soon as the frame is open; beside it plain UDP, with the same socket loop and the same word back,
and plain UDP to asyncio's DatagramProtocol. They take turns, frame by frame. Figures are
microseconds there and back, with the other way plain in all.
"""

import argparse
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

from load import PAST_NS, Program, generations, parameters
from seal import versions

from tickseal import FrameSealer
from tickseal.host.kernel_clock import KernelClock

GOAL = 1.2


def measure(frames: int, size: int, *, pure: bool) -> dict[str, list[float]]:
    """Return how long each frame took, us, by way."""
    t0_ns = (int(time.time()) - 100) * 10**9
    wanted = parameters(t0_ns, past_ns=PAST_NS)
    sealer = FrameSealer(next(iter(generations(1, wanted))))
    clock = KernelClock()
    payload = bytes(size)
    taken: dict[str, list[float]] = {"plain": [], "asyncio": [], "sealed": []}
    socks = {way: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for way in taken}
    for sock in socks.values():
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
    answers = {way: sock.getsockname()[1] for way, sock in socks.items()}
    with Program("echo", pure=pure, t0_ns=t0_ns, answers=answers) as echo:
        ports = {way: ("127.0.0.1", port) for way, port in echo.line().items()}
        for number in range(frames + 100):
            for way, sock in socks.items():
                began = time.perf_counter_ns()
                if way == "sealed":
                    tick = wanted.tick_at(clock.now().midpoint_ns)
                    for segment in sealer.seal(payload, max(tick, sealer.tick)):
                        sock.sendto(segment, ports[way])
                else:
                    sock.sendto(payload, ports[way])
                sock.recv(100)
                if number >= 100:  # the first warm up
                    taken[way].append((time.perf_counter_ns() - began) / 1000)
        for sock in socks.values():
            sock.close()
    return taken


def summary(values: list[float]) -> dict[str, float]:
    """Return median and 99th percentile."""
    return {"p50": statistics.median(values), "p99": statistics.quantiles(values, n=100)[98]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3000, help="frames of each way (3000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    print(f"{'there and back, us':24}{'bytes':>6} {'p50':>8} {'p99':>8} {'x plain':>8} {'p99':>6}")
    rows: list[dict[str, Any]] = []
    for path, pure in (("native", False), ("pure", True)):
        for size in (32, 1200):
            taken = measure(arguments.frames, size, pure=pure)
            plain = summary(taken["plain"])
            for way, values in taken.items():
                row = {"way": way, "path": path, "bytes": size, **summary(values)}
                row["ratio_p50"] = row["p50"] / plain["p50"]
                row["ratio_p99"] = row["p99"] / plain["p99"]
                rows.append(row)
                print(
                    f"{way + ', sink ' + path:24}{size:6} {row['p50']:8.1f} {row['p99']:8.1f} "
                    f"{row['ratio_p50']:8.2f} {row['ratio_p99']:6.2f}"
                )
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": used, "rows": rows}, indent=1) + "\n")
    for row in rows:
        if row["way"] == "sealed" and row["path"] == "native":
            for which in ("p50", "p99"):
                if row[f"ratio_{which}"] > GOAL:
                    print(
                        f"missed: {which} at {row['bytes']} bytes: {row[f'ratio_{which}']:.2f} "
                        f"times plain UDP, the goal is at most {GOAL}"
                    )


if __name__ == "__main__":
    main()

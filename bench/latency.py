"""Measure what sealing and opening add to the time that a datagram takes.

A frame's way: read the clock, seal, UDP over loopback to another process, UDPLink under asyncio,
read the clock, StreamTable, and a word back as soon as the frame is open. Beside it plain UDP
through the same UDPLink under asyncio; plain UDP to asyncio's DatagramProtocol; and the latter with
AES-256-GCM under one key at both ends, and nothing else. They take turns, frame by frame, in an
order that changes. Figures are microseconds there and back, with the other way plain in all.
"""

import argparse
import json
import random
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from load import PAST_NS, PLAIN_KEY, Program, generations, parameters
from load.sink import fill
from seal import versions
from tickseal_gateway.ingest.table import StreamTable

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
    taken: dict[str, list[float]] = {"plain": [], "asyncio": [], "AES-GCM": [], "sealed": []}
    encrypt = AESGCM(PLAIN_KEY).encrypt
    socks = {way: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for way in taken}
    for sock in socks.values():
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
    answers = {way: sock.getsockname()[1] for way, sock in socks.items()}
    with Program("echo", pure=pure, t0_ns=t0_ns, answers=answers) as echo:
        ports = {way: ("127.0.0.1", port) for way, port in echo.line().items()}
        ways, order = list(socks.items()), random.Random(1)
        for number in range(frames + 100):
            # Who comes after whom matters: it may find the processor awake or asleep.
            order.shuffle(ways)
            for way, sock in ways:
                began = time.perf_counter_ns()
                if way == "sealed":
                    tick = wanted.tick_at(clock.now().midpoint_ns)
                    for segment in sealer.seal(payload, max(tick, sealer.tick)):
                        sock.sendto(segment, ports[way])
                elif way == "AES-GCM":
                    nonce = number.to_bytes(12, "big")
                    sock.sendto(nonce + encrypt(nonce, payload, None), ports[way])
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


def compare(frames: int) -> list[dict[str, Any]]:
    """Return one row for each way, size, and sink."""
    rows: list[dict[str, Any]] = []
    for path, pure in (("native", False), ("pure", True)):
        for size in (32, 1200):
            taken = measure(frames, size, pure=pure)
            plain = summary(taken["plain"])
            for way, values in taken.items():
                row = {"way": way, "path": path, "bytes": size, **summary(values)}
                row["ratio_p50"] = row["p50"] / plain["p50"]
                row["ratio_p99"] = row["p99"] / plain["p99"]
                rows.append(row)
    return rows


def steps(frames: int, pause_s: float) -> dict[str, float]:
    """Return what each step of a frame of 1200 bytes takes in one process, us, median."""
    t0_ns = (int(time.time()) - 100) * 10**9
    wanted = parameters(t0_ns, past_ns=PAST_NS)
    sealer, clock, table = FrameSealer(next(generations(1, wanted))), KernelClock(), StreamTable()
    fill(table, {"streams": 1, "t0_ns": t0_ns, "stored": False})
    payload = bytes(1200)
    taken: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter_ns()
        result = call()
        taken.setdefault(name, []).append((time.perf_counter_ns() - began) / 1000)
        return result

    for _ in range(frames):
        if pause_s:
            time.sleep(pause_s)
        midpoint_ns = timed("the source reads its clock", clock.now).midpoint_ns
        tick = max(timed("tick of it", lambda ns=midpoint_ns: wanted.tick_at(ns)), sealer.tick)
        segments = timed("seal", lambda tick=tick: sealer.seal(payload, tick))
        now = timed("the gateway reads its clock", clock.now)
        timed("through the table of streams", lambda s=segments, now=now: table.take(s, now))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3000, help="frames of each way (3000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--steps", action="store_true", help="what each step takes by itself")
    arguments = parser.parse_args()
    if arguments.steps:
        warm, cold = (steps(arguments.frames, pause_s) for pause_s in (0, 0.0001))
        print(f"{'us, medians':32}{'in a loop':>12}{'after 100 us':>14}")
        for name, value in warm.items():
            print(f"{name:32}{value:12.2f}{cold[name]:14.2f}")
        return
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    rows = compare(arguments.frames)
    print(f"{'there and back, us':24}{'bytes':>6} {'p50':>8} {'p99':>8} {'x plain':>8} {'p99':>6}")
    for row in rows:
        print(
            f"{row['way'] + ', sink ' + row['path']:24}{row['bytes']:6} {row['p50']:8.1f} "
            f"{row['p99']:8.1f} {row['ratio_p50']:8.2f} {row['ratio_p99']:6.2f}"
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

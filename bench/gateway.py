"""Measure what a frame costs at the gateway, from its socket on, beside a plain UDP server.

A sender of its own process floods one sink after another over loopback: the plain server (asyncio's
DatagramProtocol, AES-256-GCM under one key, nothing else), then the gateway's link, streams and
ingest, then these with the store. Datagrams come one by one, as from many devices, and coalesced
(UDP GSO), as from few fast ones. Figures are medians of rounds that take turns; what a frame costs
is processor time of the sink's process, the kernel's part in it included; frames a second are by
the clock, while the sender uses the other core.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from load import Program
from seal import half_spread, versions
from streams import over_streams
from streams import show as show_streams

GOAL = 5.0
_SOME = 10


def flood(kind: str, *, frames: int, size: int, grouped: bool, pure: bool = False) -> Any:
    """Let a sender flood a sink; return what the sink says, and what it cost a frame."""
    t0_ns = (int(time.time()) - 100) * 10**9
    module = "plain" if kind == "plain" else "sink"
    given = {"streams": _SOME, "t0_ns": t0_ns, "size": size}
    with tempfile.TemporaryDirectory() as folder:
        sink = Program(module, pure=pure, stored=kind == "stored", folder=folder, **given)
        with sink:
            port = sink.line()["port"]
            with Program(
                "send", port=port, frames=frames, grouped=grouped, plain=kind == "plain", **given
            ) as sender:
                sender.line()
                sender.say()
                sender.line()
                time.sleep(0.3)
                sink.say()
                said = sink.line()
    said["us"] = said["cpu_s"] * 1e6 / said["frames"]
    said["frames_per_s"] = said["frames"] / said["wall_s"]
    said["mb_per_s"] = said["payload_bytes"] / said["wall_s"] / 1e6
    return said


def from_socket(rounds: int, frames: int) -> list[dict[str, Any]]:
    """Return one row for each sink, size and way of sending."""
    cases = [
        ("plain", "", False), ("opened", "native", False), ("opened", "pure", True),
        ("stored", "native", False), ("stored", "pure", True),
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for size in (32, 1200):
        for grouped in (False, True):
            found: dict[tuple[str, str], list[Any]] = {case[:2]: [] for case in cases}
            for _ in range(rounds):
                for kind, path, pure in cases:
                    if kind == "stored" and size != 32:
                        continue
                    payload = 0 if kind == "stored" else size
                    found[kind, path].append(
                        flood(kind, frames=frames, size=payload, grouped=grouped, pure=pure)
                    )
            plain = statistics.median(said["us"] for said in found["plain", ""])
            for (kind, path), said in found.items():
                if said:
                    row = {"sink": kind, "path": path, "bytes": size, "grouped": grouped}
                    for name in ("us", "frames_per_s", "mb_per_s"):
                        row[name] = statistics.median(one[name] for one in said)
                    row["us_half_iqr"] = half_spread([one["us"] for one in said])
                    row["ratio"] = plain / row["us"]
                    rows.append(row)
    return rows


def memory() -> list[dict[str, Any]]:
    """Return what 10,000 streams of 1,000 devices take: generations, keys, replay windows."""
    rows = []
    for path, pure in (("native", False), ("pure", True)):
        given = {"streams": 10_000, "t0_ns": 0, "stored": False, "folder": ""}
        with Program("sink", pure=pure, **given) as sink:
            rows.append({"path": path, "streams": 10_000, "bytes": sink.line()["resident"]})
    return rows


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(
        f"{'from the socket to':24}{'bytes':>6} {'datagrams':>10} {'us a frame':>15} "
        f"{'frames/s':>9} {'MB/s':>7} {'x plain':>8}"
    )
    names = {"plain": "AES-GCM, plain server", "opened": "the opened frame", "stored": "the store"}
    for row in report["socket"]:
        name = f"{names[row['sink']]} {row['path'] if row['path'] == 'pure' else ''}"
        print(
            f"{name:24}{row['bytes']:6} {'coalesced' if row['grouped'] else 'one by one':>10} "
            f"{row['us']:8.2f} ±{row['us_half_iqr']:5.2f} {row['frames_per_s']:9.0f} "
            f"{row['mb_per_s']:7.1f} {row['ratio']:8.2f}"
        )
    print()
    show_streams(report["streams"])
    for row in report["memory"]:
        each = row["bytes"] / row["streams"]
        print(f"10,000 streams ({row['path']}): {row['bytes'] / 2**20:.0f} MiB, {each:.0f} B each")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that take turns (3)")
    parser.add_argument("--frames", type=int, default=20_000, help="frames a round (20000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.frames < 1000:
        parser.error("at least 2 rounds, and 1000 frames")
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    report = {
        "versions": used,
        "socket": from_socket(arguments.rounds, arguments.frames),
        "streams": over_streams(arguments.frames, arguments.rounds),
        "memory": memory(),
    }
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    for row in report["socket"]:
        if row["sink"] == "opened" and row["path"] == "native" and row["ratio"] < GOAL:
            way = "coalesced" if row["grouped"] else "one by one"
            print(
                f"missed: {row['bytes']} bytes, {way}: {row['ratio']:.2f} times the plain server, "
                f"the goal is {GOAL:g}"
            )


if __name__ == "__main__":
    main()

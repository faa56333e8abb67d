"""All that is measured of speed, once, in one table: ours beside four peers, and the goals.

What a frame costs is CPU time in microseconds: the median of rounds that take turns, with half
their interquartile range. A goal is judged by a ratio to a yardstick of the same run, so that what
the machine does besides hits both alike.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import latency
import native
import seal
from cryptography.hazmat.backends.openssl import backend

import gateway
import tickseal

TITLES = {"seal": "seal", "open": "open"}


class Goal(NamedTuple):
    """What is wanted, and what was measured; both are ratios.

    Attributes:
        what: in words, with the yardstick.
        measured: the ratio.
        limit: the goal.
        is_least: whether the limit is the least, or else the most.
    """

    what: str
    measured: float
    limit: float
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is reached."""
        return self.measured >= self.limit if self.is_least else self.measured <= self.limit


def hot_path(times: dict[str, list[float]]) -> list[Goal]:
    """Return the goals that native.py measures in one process."""
    found = []
    for what, measured, most, yardstick in native.GOALS:
        pairs = zip(times[measured], times[yardstick], strict=True)
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        found.append(Goal(f"{what}, of {yardstick.partition(',')[0]}", ratio, most))
    return found


def sockets(rows: list[dict[str, Any]]) -> list[Goal]:
    """Return how many times a plain asyncio server's frames the gateway opens."""
    return [
        Goal(
            f"socket to opened frame, {row['bytes']} bytes, "
            f"{'coalesced' if row['grouped'] else 'one by one'}, times the plain server",
            row["ratio"],
            gateway.GOAL,
            is_least=True,
        )
        for row in rows
        if (row["sink"], row["path"]) == ("opened", "native")
    ]


def latencies(rows: list[dict[str, Any]]) -> list[Goal]:
    """Return what sealing and opening add to a datagram's way through asyncio."""
    return [
        Goal(
            f"latency {name}, {row['bytes']} bytes, of plain UDP through the same link",
            row[f"ratio_{name}"],
            latency.GOAL,
        )
        for row in rows
        if (row["way"], row["path"]) == ("sealed", "native")
        for name in ("p50", "p99")
    ]


def growths(streams: list[dict[str, Any]], ages: list[dict[str, Any]]) -> list[Goal]:
    """Return how the cost grows with streams and with time; flat is 1."""
    found = [
        Goal(f"10,000 streams of 10, {title}", streams[-1][name] / streams[0][name], 1.2)
        for name, title in (("same_tick_us", "the same tick"), ("new_tick_us", "a new tick each"))
    ]
    for name in (
        "seal, same tick",
        "open, same tick",
        "seal, new tick each",
        "open, new tick each",
    ):
        ratio = ages[-1][name]["us"] / ages[0][name]["us"]
        found.append(Goal(f"tick 2^40 of tick 0: {name}", ratio, 1.2))
    return found


def show(report: dict[str, Any], goals: list[Goal]) -> None:
    """Print the table."""
    used = report["versions"]
    print(
        f"{used['cpu']}, {used['cores']} cores, load {used['load']}; Python {used['python']}; "
        f"native: {used['native']}; cryptography: {used['openssl']}\n"
    )
    sizes = seal.SIZES
    print(f"{'us of CPU a frame':17}" + "".join(f"{size:>17} bytes " for size in sizes))
    print(f"{'':17}" + f"{'seal':>12}{'open':>12}" * len(sizes))
    for name in report["peers"]:
        rows = [row for row in report["rows"] if row["peer"] == name]
        cells = [
            f"{row[what]['us']:7.2f} ±{row[what]['half_iqr']:.2f}"
            for row in rows
            for what in TITLES
        ]
        print(f"{name:17}" + "".join(f"{cell:>12}" for cell in cells))
    for name, description in report["peers"].items():
        print(f"  {name}: {description}")
    print(f"\n{'goal':66}{'measured':>10}{'goal':>8}")
    for goal in goals:
        sign = ">=" if goal.is_least else "<="
        print(
            f"{goal.what:66}{goal.measured:10.2f}{sign + format(goal.limit, 'g'):>8}"
            f"{'' if goal.is_met else '  missed'}"
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that take turns (7)")
    parser.add_argument("--frames", type=int, default=500, help="frames a round (500)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    if arguments.rounds < 3 or arguments.frames < 100:
        parser.error("at least 3 rounds, and 100 frames")
    acceleration = tickseal.acceleration()
    if not acceleration.is_native:
        print(f"the goals are the native path's, and it is not there: {acceleration.reason}")
        return 1
    modules, absent = seal.peers()
    rounds, frames = arguments.rounds, arguments.frames
    flood_rounds, flood_frames = max(2, rounds // 2), max(12_000, 24 * frames)
    report: dict[str, Any] = {
        "versions": seal.versions()
        | {
            "cores": str(os.cpu_count()),
            "load": f"{os.getloadavg()[0]:.1f}",
            "native": acceleration.library,
            "openssl": backend.openssl_version_text(),
        },
        "peers": {name: module.describe() for name, module in modules.items()},
        "rows": seal.compare(modules, rounds, frames),
        "hot_path": native.measure(rounds, frames),
        "over_time": seal.over_time(modules["tickseal, C"], rounds, frames),
        "streams": gateway.over_streams(20 * frames, flood_rounds),
        "memory": gateway.memory(),
        "socket": gateway.from_socket(flood_rounds, flood_frames),
        "latency": latency.compare(2 * frames),
    }
    goals = [
        *hot_path(report["hot_path"]),
        *sockets(report["socket"]),
        *latencies(report["latency"]),
        *growths(report["streams"], report["over_time"]),
    ]
    report["goals"] = [goal._asdict() | {"is_met": goal.is_met} for goal in goals]
    show(report, goals)
    for line in absent:
        print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

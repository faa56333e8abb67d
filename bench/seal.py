"""Measure what a frame costs to seal and to open, beside the least possible and four peers.

All are measured in one process, in rounds that take turns, so that what the machine does besides
hits them alike. Figures are microseconds of CPU time a frame: the median of the rounds, with half
their interquartile range behind it.
"""

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from peers import by_hand
from peers.tickseal_frames import AS_INSTALLED, IN_PYTHON, Tickseal, reading

import tickseal

SIZES = (32, 1200, 16384)
OPTIONAL = {
    "srtp": "pylibsrtp",
    "secretstream": "pynacl",
    "noise_transport": "noiseprotocol",
    "dtls": "pyopenssl",
}
#: At most this many times the least possible.
GOALS = {"seal": 1.6, "open": 2.0}


def measured(action: Callable[[], None], count: int) -> float:
    """Return microseconds for one of count."""
    begin = time.process_time_ns()
    action()
    return (time.process_time_ns() - begin) / 1000 / count


def half_spread(values: list[float]) -> float:
    """Return half the interquartile range."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def peers() -> tuple[dict[str, Any], list[str]]:
    """Return the modules to measure, and a line for each that is not installed."""
    found: dict[str, Any] = {"by hand": by_hand, "tickseal, Python": IN_PYTHON}
    absent: list[str] = []
    acceleration = tickseal.acceleration()
    if acceleration.is_native:
        found["tickseal, C"] = AS_INSTALLED
    else:
        absent.append(f"tickseal, C: not measured, {acceleration.reason}")
    for name, package in OPTIONAL.items():
        try:
            found[name] = import_module(f"peers.{name}")
        except ImportError:
            absent.append(f"{name}: not measured, {package} is not installed")
    return found, absent


def compare(modules: dict[str, Any], rounds: int, frames: int) -> list[dict[str, Any]]:
    """Return one row for each peer and size."""
    rows = []
    for size in SIZES:
        count = max(20, min(frames, frames * 1200 // size))
        times: dict[str, dict[str, list[float]]] = {
            name: {"seal": [], "open": []} for name in modules
        }
        for turn in range(rounds + 1):
            for name, module in modules.items():
                seal, open_all = module.prepare(bytes(size), count)
                gc.collect()
                for what, action in (("seal", seal), ("open", open_all)):
                    taken = measured(action, count)
                    # The first round warms up.
                    if turn:
                        times[name][what].append(taken)
        for name in modules:
            row: dict[str, Any] = {"peer": name, "bytes": size, "frames": count}
            for what, values in times[name].items():
                least = times["by hand"][what]
                ratios = [mine / theirs for mine, theirs in zip(values, least, strict=True)]
                row[what] = {
                    "us": statistics.median(values),
                    "half_iqr": half_spread(values),
                    "ratio": statistics.median(ratios),
                    "ratio_half_iqr": half_spread(ratios),
                }
            rows.append(row)
    return rows


def aged(which: Tickseal, first: int, step: int, frames: int) -> dict[str, float]:
    """Return what a frame of 32 bytes costs from a tick on, the first of them by itself."""
    # 2^40 of these ticks last 35 years, and the window has as many of them as by default.
    sealer, opener, settings = which.pair(
        depth=48, interval_ns=10**6, past_ns=20 * 10**6, skew_ns=5 * 10**6
    )
    ticks = [first + step * number for number in range(frames + 1)]
    readings = {tick: reading(settings, tick) for tick in ticks}
    segments: list[bytes] = []

    def seal(begin: int, until: int) -> None:
        for tick in ticks[begin:until]:
            segments.extend(sealer.seal(bytes(32), tick))

    def open_some(begin: int, until: int) -> None:
        for tick, segment in zip(ticks[begin:until], segments[begin:until], strict=True):
            opener.open(segment, readings[tick])

    gc.collect()
    taken = {
        f"{what}, {part}": measured(partial(action, begin, until), until - begin)
        for what, action in (("seal", seal), ("open", open_some))
        for part, begin, until in (
            ("first", 0, 1),
            ("new tick each" if step else "same tick", 1, frames + 1),
        )
    }
    if opener.opened != len(ticks):
        raise ValueError(f"segments did not open: {opener.refusals}")
    return taken


def over_time(which: Tickseal, rounds: int, frames: int) -> list[dict[str, Any]]:
    """Return one row for each of some ticks far apart."""
    rows: list[dict[str, Any]] = []
    aged(which, 0, 1, frames)
    for first in (0, 1 << 10, 1 << 20, 1 << 30, 1 << 40):
        taken = [
            aged(which, first, 0, frames) | aged(which, first, 1, frames) for _ in range(rounds)
        ]
        row: dict[str, Any] = {"tick": first}
        for name in taken[0]:
            values = [one[name] for one in taken]
            row[name] = {"us": statistics.median(values), "half_iqr": half_spread(values)}
        rows.append(row)
    return rows


def versions() -> dict[str, str]:
    """Return what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
    }


def show_peers(rows: list[dict[str, Any]], modules: dict[str, Any]) -> None:
    """Print the first table."""
    print(
        f"{'':17}{'bytes':>6}  {'seal, us':>16}  {'x by hand':>12}  "
        f"{'open, us':>16}  {'x by hand':>12}"
    )
    for row in rows:
        cells = [
            f"{row[what]['us']:9.2f} ±{row[what]['half_iqr']:5.2f}  "
            f"{row[what]['ratio']:6.2f} ±{row[what]['ratio_half_iqr']:4.2f}"
            for what in ("seal", "open")
        ]
        print(f"{row['peer']:17}{row['bytes']:6}  {'  '.join(cells)}")
    for name, module in modules.items():
        print(f"{name}: {module.describe()}")


def show_time(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a table of what a frame costs over time."""
    print(f"\n{title}, microseconds a frame of 32 bytes")
    names = [name for name in rows[0] if name != "tick"]
    print(" " * 19 + "".join(f"{name:>21}" for name in names))
    for row in rows:
        cells = [f"{row[name]['us']:13.2f} ±{row[name]['half_iqr']:5.2f}" for name in names]
        print(f"tick {row['tick']:>14}" + " ".join(cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds that take turns (15)")
    parser.add_argument("--frames", type=int, default=2000, help="frames a round (2000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.frames < 1:
        parser.error("at least 2 rounds, and 1 frame")

    modules, absent = peers()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    rows = compare(modules, arguments.rounds, arguments.frames)
    show_peers(rows, modules)
    for line in absent:
        print(line)
    ages = {}
    for name, module in modules.items():
        if isinstance(module, Tickseal):
            ages[name] = over_time(module, arguments.rounds, arguments.frames)
            show_time(name, ages[name])
    if arguments.json:
        described = {name: module.describe() for name, module in modules.items()}
        report = {"versions": used, "peers": described, "rows": rows, "over_time": ages}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")

    missed = [
        f"{row['peer']}, {what} at {row['bytes']} bytes: {row[what]['ratio']:.2f} times by hand, "
        f"the goal is under {goal}"
        for row in rows
        if row["peer"].startswith("tickseal")
        for what, goal in GOALS.items()
        if row[what]["ratio"] >= goal
    ]
    for line in missed:
        print(f"missed: {line}")


if __name__ == "__main__":
    main()

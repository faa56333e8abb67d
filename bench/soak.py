"""Run a gateway, three devices and a sink for long, with faults, and account for every frame.

The programs are those that people run; keys are renewed each 10 s, and spool, text and recordings
are small, so that all that turns over does so often. Every reading is a number of its own: a number
that is not in the store must be counted as missing, and none may be there twice. What a killed
gateway had in hand is the one exception: so much is allowed for each kill. Exits with 1 where more
is lost, or where a process grows, leaves files open, or has a traceback in its log.
"""

import argparse
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from load.product import Running, ask, command

_DEVICES, _RATE_HZ = 3, 5
#: Of each stream, for each kill of the gateway: a commit of 0.25 s, and what is not yet reported.
_IN_HAND = _RATE_HZ * 2
#: What a process may grow by after the first half.
_GROWTH_BYTES, _GROWTH_FILES = 8 << 20, 8
_SETTLE_S = 20
_LIFE = 1_000_000
_GATEWAY = """
[gateway]
state = "{folder}/gateway"
host = "127.0.0.1"
port = {port}
[page]
enabled = false
[policy]
renew_after = "10s"
[recordings]
record = true
size = "2MiB"
[[outputs]]
kind = "jsonl"
path = "{folder}/readings.jsonl"
size = "64KiB"
keep = 2
"""
_DEVICE = """
name = "{name}"
state = "{folder}/{name}"
[spool]
most = "256KiB"
sync = "1s"
[[streams]]
kind = "replay"
id = "{name}/count"
file = "{folder}/{name}.csv"
rate_hz = {rate}
[[streams]]
kind = "pattern"
id = "{name}/camera"
width = 160
height = 120
rate_hz = 2
"""
_SINK = '[sink]\nname = "sink"\nstate = "{folder}/sink"\n[store]\nsize = "2MiB"\n'


class Part:
    """One program, over all its lives."""

    def __init__(self, folder: Path, name: str, kind: str) -> None:
        self.folder, self.name, self.kind = folder, name, kind
        self.config = folder / f"{name}.toml"
        self.log = folder / f"{name}.log"
        self.life = -1
        self.cpu_s = 0.0
        # The most memory (bytes) and open files, by life and half of the soak.
        self.most: dict[tuple[int, int], int] = {}
        self.files: dict[tuple[int, int], int] = {}

    def start(self) -> None:
        """Start its next life; a device counts on from a number of its own."""
        self.life += 1
        if self.kind == "edge":
            first = self.life * _LIFE
            numbers = "\n".join(map(str, range(first, first + _LIFE // 10)))
            (self.folder / f"{self.name}.csv").write_text(f"count\n{numbers}\n")
        with self.log.open("ab") as log:
            options = ("--config", str(self.config))
            self.running = Running(self.kind, "run", *options, stdout=log, stderr=log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End this life; again is fine."""
        if self.running.process.poll() is None:
            self.cpu_s += self.running.cpu_s
            self.running.end(how)

    def look(self, half: int) -> None:
        """Note what it takes."""
        at = self.life, half
        self.most[at] = max(self.most.get(at, 0), self.running.resident_bytes)
        files = len(list(Path(f"/proc/{self.running.process.pid}/fd").iterdir()))
        self.files[at] = max(self.files.get(at, 0), files)

    def growth(self, of: dict[tuple[int, int], int]) -> int:
        """Return by how much the second half was above the first, in lives that saw both."""
        both = [
            of[life, 1] - most for (life, half), most in of.items() if not half and (life, 1) in of
        ]
        return max(both, default=0)


def faults(parts: dict[str, Part], seed: int) -> Iterator[str]:
    """Do the next fault, and tell what was done, for ever."""
    luck = random.Random(seed)
    while True:
        name = luck.choice([*parts, "gateway"])
        how = luck.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        part = parts[name]
        # A device that is killed takes along what it had not sent: nobody could count that.
        if how is signal.SIGSTOP or (part.kind == "edge" and how is signal.SIGKILL):
            part.running.process.send_signal(signal.SIGSTOP)
            time.sleep(luck.choice((1, 4, 12)))
            part.running.process.send_signal(signal.SIGCONT)
            yield f"{name} stopped"
            continue
        part.end(how)
        time.sleep(luck.choice((0, 2, 12)))
        part.start()
        yield f"{name} {how.name}"


def account(folder: Path, name: str) -> dict[str, int]:
    """Return what became of the numbers of one device."""
    stream = (f"{name}/count",)
    with closing(sqlite3.connect(folder / "gateway" / "readings.db")) as store:
        query = "SELECT value FROM readings WHERE stream = ? AND name = 'count'"
        rows = [int(value) for (value,) in store.execute(query, stream)]
        query = "SELECT coalesce(sum(missing), 0) FROM generations WHERE stream = ?"
        (missing,) = store.execute(query, stream).fetchone()
    lives: dict[int, int] = {}
    for number in rows:
        lives[number // _LIFE] = max(lives.get(number // _LIFE, 0), number % _LIFE + 1)
    sealed, seen = sum(lives.values()), len(set(rows))
    return {
        "sealed": sealed, "stored": seen, "twice": len(rows) - seen, "missing": missing,
        "untold": sealed - seen - missing,
    }  # fmt: skip


def enrol(parts: dict[str, Part]) -> None:
    """Enrol all devices and the sink with the gateway, which runs."""
    state = ("--config", str(parts["gateway"].config))
    for part in parts.values():
        if part.kind != "gateway":
            role = ("--sink",) if part.kind == "sink" else ()
            invite = ask("gateway", "invite", "--name", part.name, *role, *state)
            command(part.kind, "enrol", invite["token"], "--config", str(part.config))
    command("gateway", "allow", "sink", "*", *state)


def soak(folder: Path, minutes: float, seed: int) -> list[str]:
    """Run it all, print the table, and return what is wrong."""
    names = [f"device{number}" for number in range(1, _DEVICES + 1)]
    kinds = {"gateway": "gateway", "sink": "sink"} | dict.fromkeys(names, "edge")
    parts = {name: Part(folder, name, kind) for name, kind in kinds.items()}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for part in parts.values():
        text = {"gateway": _GATEWAY, "sink": _SINK, "edge": _DEVICE}[part.kind]
        part.config.write_text(text.format(folder=folder, name=part.name, port=port, rate=_RATE_HZ))
    began, done = time.monotonic(), []
    with ExitStack() as stack:
        for part in parts.values():
            part.start()
            stack.callback(part.end)
            if part.kind == "gateway":
                wait_for(part)
                enrol(parts)
        following = faults(parts, seed)
        while (passed := (time.monotonic() - began) / 60 / minutes) < 1:
            time.sleep(8)
            for part in parts.values():
                part.look(int(passed * 2))
            done.append(next(following))
        time.sleep(_SETTLE_S)
        kills = done.count("gateway SIGKILL") + done.count("gateway SIGTERM")
        for name in (*names, "sink", "gateway"):
            parts[name].end()
    print(f"{len(done)} faults, {kills} ends of the gateway\n")
    return told(parts, {name: account(folder, name) for name in names}, kills)


def wait_for(gateway: Part) -> None:
    """Wait until a gateway answers."""
    for _ in range(100):
        with suppress(subprocess.CalledProcessError):
            ask("gateway", "status", "--config", str(gateway.config))
            return
        time.sleep(0.2)
    sys.exit(f"the gateway did not start; see {gateway.log}")


def told(parts: dict[str, Part], counts: dict[str, dict[str, int]], kills: int) -> list[str]:
    """Print both tables, and return what is wrong."""
    wrong = []
    print("device    sealed  stored  twice  missing  untold")
    for name, row in counts.items():
        print(f"{name:9} " + "  ".join(f"{row[key]:{len(key)}}" for key in row))
        if row["twice"]:
            wrong.append(f"{name}: {row['twice']} readings are stored twice")
        if row["untold"] > kills * _IN_HAND:
            wrong.append(f"{name}: {row['untold']} frames are lost, and counted nowhere")
    print("\npart      lives  MiB   grew  files  grew  cpu s  log KiB")
    for part in parts.values():
        grew, files = part.growth(part.most), part.growth(part.files)
        text = part.log.read_text("utf-8", "replace")
        print(
            f"{part.name:9} {part.life + 1:5}  {max(part.most.values()) / 2**20:4.0f}  "
            f"{grew / 2**20:4.1f}  {max(part.files.values()):5}  {files:4}  {part.cpu_s:5.0f}  "
            f"{len(text) / 1024:7.1f}"
        )
        if grew > _GROWTH_BYTES or files > _GROWTH_FILES:
            wrong.append(f"{part.name} grew by {grew} bytes and {files} open files")
        if "Traceback" in text or "never retrieved" in text:
            wrong.append(f"{part.name}: a traceback in its log")
    return wrong


def main() -> None:
    """Soak, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="how long, at most 300 (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults (1)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave state and logs there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (arguments.keep or Path(made)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        wrong = soak(folder, arguments.minutes, arguments.seed)
    print("", *(wrong or ["nothing is lost but what was in hand"]), sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

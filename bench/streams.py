"""Measure what a frame costs where there are many streams, beside peers with a key for each.

Frames of 32 bytes are opened without a socket, 64 to a batch, one of each stream in turn. Figures
are microseconds of processor time a frame, medians of rounds that take turns. The peers find a
stream's state by a number in front of the frame, as we do: an AES-GCM context each (cryptography),
or an SRTP session each (pylibsrtp). What grows for them too is not ours to mend: it is the state
for which the processor's caches have no room.
"""

import argparse
import gc
import json
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from load import generations, parameters
from load.sink import fill
from pylibsrtp import Policy, Session
from seal import versions
from tickseal_gateway.ingest.table import StreamTable

from tickseal import FrameSealer
from tickseal.clock import ClockDiscipline, ClockInterval

COUNTS = (10, 100, 1000, 10_000)
_BATCH, _BYTES = 64, 32
_NS_A_TICK = 100_000_000
_T0_TICK = 1000
#: With a new tick for each frame: over so many, the key tree's work is what it is on average.
_TICKS_LEAST = 16

#: What a server was sent in one turn of all streams, and what takes in one batch of it.
Turns = Iterator[list[bytes]]
Take = Callable[[list[bytes]], None]


def _timed(turns: Turns, take: Take) -> list[float]:
    """Return what a frame of each turn costs, us."""
    found = []
    gc.collect()
    gc.freeze()
    for frames in turns:
        batches = [frames[at : at + _BATCH] for at in range(0, len(frames), _BATCH)]
        began = time.process_time()
        for batch in batches:
            take(batch)
        found.append((time.process_time() - began) * 1e6 / len(frames))
    gc.unfreeze()
    return found


def tickseal(streams: int, turns: int, per_tick: int) -> tuple[float, float]:
    """Return what the first frame of a stream costs, and each later one, us.

    Args:
        turns: ticks after the first.
        per_tick: frames of each stream in a tick.
    """
    table = StreamTable()
    fill(table, {"streams": streams, "t0_ns": 0, "stored": False, "past_ns": 2 * 10**9})
    wanted = parameters(0, past_ns=2 * 10**9)
    sealers = [FrameSealer(generation) for generation in generations(streams, wanted)]
    tick = _T0_TICK
    readings = 0

    def sealed() -> Turns:
        nonlocal tick
        for turn in range(turns + 1):
            tick = _T0_TICK + turn
            yield [
                segment
                for _ in range(per_tick if turn else 1)
                for sealer in sealers
                for segment in sealer.seal(bytes(_BYTES), tick)
            ]

    def take(batch: list[bytes]) -> None:
        nonlocal readings
        readings += 1  # the clock's, each another
        now = ClockInterval.around(tick * _NS_A_TICK + readings, 1000, ClockDiscipline.NTP)
        table.take(batch, now)

    first, *others = _timed(sealed(), take)
    if sum(stream.frames for stream in table) != streams * (1 + turns * per_tick):
        raise ValueError("some frames did not open")
    return first, statistics.fmean(others)


def aes_gcm(streams: int, turns: int) -> float:
    """Return what a frame costs that only has an AES-256-GCM context of its stream's, us."""
    ciphers = {
        number.to_bytes(4, "big"): AESGCM(number.to_bytes(32, "big")) for number in range(streams)
    }

    def sealed() -> Turns:
        for turn in range(turns + 1):
            nonce = turn.to_bytes(12, "big")
            yield [
                number + nonce + cipher.encrypt(nonce, bytes(_BYTES), number)
                for number, cipher in ciphers.items()
            ]

    def take(batch: list[bytes]) -> None:
        for frame in batch:
            number = frame[:4]
            ciphers[number].decrypt(frame[4:16], frame[16:], number)

    return statistics.fmean(_timed(sealed(), take)[1:])


def srtp(streams: int, turns: int) -> float:
    """Return what a frame costs that has an SRTP session of its stream's, AES-256-GCM, us."""

    def sessions(direction: int) -> list[Session]:
        profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        return [
            Session(
                Policy(key=number.to_bytes(44, "big"), ssrc_type=direction, srtp_profile=profile)
            )
            for number in range(streams)
        ]

    sources = sessions(Policy.SSRC_ANY_OUTBOUND)
    numbers = (number.to_bytes(4, "big") for number in range(streams))
    sinks = dict(zip(numbers, sessions(Policy.SSRC_ANY_INBOUND), strict=True))

    def sealed() -> Turns:
        for turn in range(turns + 1):
            yield [
                source.protect(struct.pack(">BBHII", 0x80, 96, turn, turn, number) + bytes(_BYTES))
                for number, source in enumerate(sources)
            ]

    def take(batch: list[bytes]) -> None:
        for frame in batch:
            sinks[frame[8:12]].unprotect(frame)

    return statistics.fmean(_timed(sealed(), take)[1:])


def _round(streams: int, frames: int) -> dict[str, float]:
    ticks = max(_TICKS_LEAST, frames // streams)
    first, new_tick = tickseal(streams, ticks, 1)
    return {
        "same_tick_us": tickseal(streams, max(1, frames // streams // 20), 20)[1],
        "new_tick_us": new_tick,
        "first_us": first,
        "aes_gcm_us": aes_gcm(streams, ticks),
        "srtp_us": srtp(streams, ticks),
    }


def over_streams(frames: int, rounds: int) -> list[dict[str, Any]]:
    """Return one row for each number of streams.

    Args:
        frames: of each row, at least.
    """
    found: dict[int, list[dict[str, float]]] = {streams: [] for streams in COUNTS}
    for _ in range(rounds):
        for streams, said in found.items():
            said.append(_round(streams, frames))
    return [
        {
            "streams": streams,
            **{name: statistics.median(one[name] for one in said) for name in said[0]},
        }
        for streams, said in found.items()
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """Print one table, and how much each column grows."""
    names = {
        "same_tick_us": "20 a tick", "new_tick_us": "1 a tick", "first_us": "the first",
        "aes_gcm_us": "AES-GCM", "srtp_us": "SRTP",
    }  # fmt: skip
    print("us a frame of 32 bytes" + "".join(f"{name:>11}" for name in names.values()))
    for row in rows:
        print(f"{row['streams']:14} streams" + "".join(f"{row[name]:11.2f}" for name in names))
    grown = (f"{rows[-1][name] / rows[0][name]:9.2f} x" for name in names)
    print("10,000 streams, of 10 " + "".join(grown))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that take turns (3)")
    parser.add_argument("--frames", type=int, default=20_000, help="frames a row, least (20000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    used = versions()
    print(f"{used['cpu']}, Python {used['python']}, {used['openssl']}")
    rows = over_streams(arguments.frames, arguments.rounds)
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": used, "streams": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

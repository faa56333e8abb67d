"""Measure the native hot path beside the pure one, SRTP and bare AES-GCM, and judge its goals.

All are measured in one process, in rounds that take turns, so that what the machine does besides
hits them alike. Figures are microseconds of CPU time a frame: the median of the rounds, with half
their interquartile range behind it. Ratios are of the same round, their median is shown.
"""

import argparse
import gc
import json
import os
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy, Session

import tickseal
from tickseal import FrameOpener, FrameSealer, Generation
from tickseal.streams.opening import PureFrameOpener, open_frames, place_of, pure_open_frames
from tickseal.streams.sealing import PureFrameSealer

BATCH = 32
TICK = 1000
Work = Callable[[], None]
#: (what, measured, at most this many times, the yardstick).
GOALS = (
    ("seal 1200 bytes", "native 1200, seal", 0.8, "SRTP 1200, seal"),
    ("open 1200 bytes", "native 1200, open", 0.8, "SRTP 1200, open"),
    ("seal 16 KB in one segment", "native 16384 whole, seal", 1.3, "AES-GCM 16384, seal"),
    ("open 16 KB in one segment", "native 16384 whole, open", 1.3, "AES-GCM 16384, open"),
)


class Reading:
    """The clock in the middle of the tick."""

    earliest_ns = latest_ns = TICK * 100_000_000 + 50_000_000


def generation(segment_bytes: int) -> Generation:
    """Return one side of a stream with the default parameters."""
    settings = tickseal.StreamParameters(t0_ns=0, segment_bytes=segment_bytes)
    metadata = tickseal.StreamMetadata(id="bench", type="bytes")
    return Generation.derive(metadata, settings, initial_secret=bytes(32), salt=bytes(32), handle=1)


def frames(
    sealer_type: Any, opener_type: Any, payload: bytes, count: int, segment_bytes: int
) -> dict[str, Work]:
    """Return the works of tickseal: a fresh key for each frame, every check of the protocol."""
    sealer = sealer_type(generation(segment_bytes))
    one, many = opener_type(generation(segment_bytes)), opener_type(generation(segment_bytes))
    sealed: list[list[bytes]] = []
    now = Reading()
    open_batch = pure_open_frames if opener_type is PureFrameOpener else open_frames

    def seal() -> None:
        sealed[:] = [sealer.seal(payload, TICK) for _ in range(count)]

    def open_each() -> None:
        for segments in sealed:
            for segment in segments:
                one.open(segment, now)

    def open_batches() -> None:
        flat = [segment for segments in sealed for segment in segments]
        openers = {place_of(flat[0]): many}
        for at in range(0, len(flat), BATCH):
            many.gives_frames = True
            open_batch(flat[at : at + BATCH], openers, now)

    def check() -> None:
        if not one.opened == many.opened == sum(map(len, sealed)):
            raise ValueError(f"segments did not open: {one.refusals} {many.refusals}")

    return {"seal": seal, "open": open_each, f"open {BATCH} a call": open_batches, "": check}


def srtp(payload: bytes, count: int) -> dict[str, Work]:
    """Return the works of SRTP with AES-256-GCM and one key for all, by pylibsrtp."""

    def session(direction: int) -> Session:
        profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        return Session(Policy(key=bytes(44), ssrc_type=direction, srtp_profile=profile))

    source, sink = session(Policy.SSRC_ANY_OUTBOUND), session(Policy.SSRC_ANY_INBOUND)
    packets = [struct.pack(">BBHII", 0x80, 96, n, n, 1) + payload for n in range(count)]
    sealed: list[bytes] = []

    def seal() -> None:
        sealed[:] = [source.protect(packet) for packet in packets]

    def open_each() -> None:
        for packet in sealed:
            sink.unprotect(packet)

    return {"seal": seal, "open": open_each}


def bare(payload: bytes, count: int) -> dict[str, Work]:
    """Return the works of AES-256-GCM with one key for all, by cryptography, and nothing else."""
    cipher, aad = AESGCM(bytes(32)), bytes(48)
    nonces = [number.to_bytes(12, "big") for number in range(count)]
    sealed: list[bytes] = []

    def seal() -> None:
        sealed[:] = [cipher.encrypt(nonce, payload, aad) for nonce in nonces]

    def open_each() -> None:
        for nonce, data in zip(nonces, sealed, strict=True):
            cipher.decrypt(nonce, data, aad)

    return {"seal": seal, "open": open_each}


def contenders(size: int, count: int) -> dict[str, dict[str, Work]]:
    """Return everything that is measured with payloads of a size, by name."""
    payload = os.urandom(size)
    found = {
        f"native {size}": frames(FrameSealer, FrameOpener, payload, count, 1200),
        f"pure {size}": frames(PureFrameSealer, PureFrameOpener, payload, count, 1200),
        f"AES-GCM {size}": bare(payload, count),
    }
    if size > 1200:
        found[f"native {size} whole"] = frames(FrameSealer, FrameOpener, payload, count, size)
    else:
        found[f"SRTP {size}"] = srtp(payload, count)
    return found


def measure(rounds: int, count: int) -> dict[str, list[float]]:
    """Return microseconds a frame, one for each round, by name."""
    times: dict[str, list[float]] = {}
    for size in (32, 1200, 16384):
        number = max(BATCH, count * 1200 // max(size, 1200))
        for turn in range(rounds + 1):
            for name, works in contenders(size, number).items():
                gc.collect()
                for what, work in works.items():
                    begin = time.process_time_ns()
                    work()
                    taken = (time.process_time_ns() - begin) / 1000 / number
                    # The first round warms up.
                    if turn and what:
                        times.setdefault(f"{name}, {what}", []).append(taken)
    return times


def in_short(values: list[float]) -> tuple[float, float]:
    """Return the median and half the interquartile range."""
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), (high - low) / 2


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds that take turns (15)")
    parser.add_argument("--frames", type=int, default=2000, help="frames a round (2000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    if arguments.rounds < 2 or not 0 < arguments.frames < 1 << 15:
        parser.error("at least 2 rounds, and 1..32767 frames")
    found = tickseal.acceleration()
    if not found.is_native:
        print(f"nothing to measure, not native: {found.reason}")
        return 0

    print(f"native: {found.library}; cryptography: {backend.openssl_version_text()}")
    times = measure(arguments.rounds, arguments.frames)
    for name, values in times.items():
        print("{:34}{:9.2f} ±{:5.2f} us".format(name, *in_short(values)))
    goals = {}
    for what, measured, most, yardstick in GOALS:
        pairs = zip(times[measured], times[yardstick], strict=True)
        ratio, spread = in_short([mine / theirs for mine, theirs in pairs])
        goals[what] = {"ratio": ratio, "half_iqr": spread, "at_most": most}
        judged = "met" if ratio <= most else "MISSED"
        print(f"{what}: {ratio:.2f} ±{spread:.2f} of {yardstick}; goal {most}, {judged}")
    if arguments.json:
        report = {"native": found.library, "us": times, "goals": goals}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

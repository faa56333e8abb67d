"""A device in a process of its own, for tests that kill it: what it seals with, it notes first.

Usage: python recording_device.py STATE RECORD SEED

Each AEAD key is noted with each nonce that it is used with, before it is used, so that a kill at
any instant leaves no use unnoted. Natively, what both are made of is noted instead, generation and
frame number; TICKSEAL_PURE=1 has the keys themselves.

All random bytes come from the seed, so that a test knows every secret that the device makes;
whoever gives the same seed twice gets the same secrets twice.
"""

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path

from tickseal_edge import generations
from tickseal_edge.config import EdgeConfig, SpoolConfig
from tickseal_edge.production.producers import Payload
from tickseal_edge.production.stream_config import HostStream
from tickseal_edge.service import EdgeService
from tickseal_edge.streams import streams

import tickseal.streams.sealing
from tickseal import FrameSealer, acceleration
from tickseal.host.logs import set_up_logging
from tickseal.host.state import StateDirectory
from tickseal.links.backoff import Backoff


class Numbers:
    """A device that gives numbered payloads."""

    is_paced = False
    count = 0

    def produce(self, time_ns: int) -> Payload:
        self.count += 1
        return Payload(b"%d" % self.count)

    def close(self) -> None:
        pass


class SeededRandom:
    """`os` for the part that makes secrets."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0

    def urandom(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._seed} {self._count}".encode()).digest(size)


def record_seals(record: Path) -> None:
    out = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if acceleration().is_native:

        class Recorded(FrameSealer):
            def seal(self, payload, tick, *others):  # type: ignore[no-untyped-def]
                os.write(out, f"{self.generation.number} {self.frame_number}\n".encode())
                return super().seal(payload, tick, *others)

        streams.FrameSealer = Recorded  # type: ignore[misc]
        return

    def recording(make):  # type: ignore[no-untyped-def]
        class Recording:
            def __init__(self, key: bytes) -> None:
                self._name = hashlib.sha256(bytes(key)).hexdigest()
                self._cipher = make(key)

            def encrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
                os.write(out, f"{self._name} {nonce.hex()}\n".encode())
                return self._cipher.encrypt(nonce, data, aad)

        return Recording

    tickseal.streams.sealing.AEADS = {  # type: ignore[assignment]
        suite: recording(make) for suite, make in tickseal.streams.sealing.AEADS.items()
    }


async def main(state_path: Path, record: Path, seed: str) -> None:
    record_seals(record)
    if seed:
        generations.os = SeededRandom(seed)  # type: ignore[attr-defined]
    numbers = Numbers()
    sys.modules["tickseal_edge.production.production"].open_producer = lambda _stream: numbers  # type: ignore[attr-defined]
    config = EdgeConfig(
        name="pi",
        state=str(state_path),
        spool=SpoolConfig(sync_ns=100_000_000),
        streams=(HostStream(id="pi/host", rate_hz=200),),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with StateDirectory.open(state_path) as state:
        backoff = Backoff(first_ns=20_000_000, most_ns=100_000_000)
        await EdgeService(config, state, backoff=backoff).run(stop)


if __name__ == "__main__":
    set_up_logging("warning")
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))

"""FrameSealer and FrameOpener: a key a frame, every check of the protocol."""

from collections.abc import Callable
from typing import NamedTuple

import tickseal
from peers import SEGMENT_BYTES
from tickseal import FrameOpener, FrameSealer, Generation

_METADATA = tickseal.StreamMetadata(id="bench", type="bytes")


class Reading(NamedTuple):
    """A clock reading."""

    earliest_ns: int
    latest_ns: int


def describe() -> str:
    """Return name and version."""
    return "FrameSealer, FrameOpener, AES-256-GCM"


def pair(**changes: int) -> tuple[FrameSealer, FrameOpener, tickseal.StreamParameters]:
    """Return both sides of a generation with the default parameters, or some changed."""
    settings = tickseal.StreamParameters(t0_ns=0, segment_bytes=SEGMENT_BYTES, **changes)

    def generation() -> Generation:
        return Generation.derive(
            _METADATA, settings, initial_secret=bytes(32), salt=bytes(32), handle=1
        )

    return FrameSealer(generation()), FrameOpener(generation()), settings


def reading(settings: tickseal.StreamParameters, tick: int) -> Reading:
    """Return the clock in the middle of a tick."""
    middle = tick * settings.interval_ns + settings.interval_ns // 2
    return Reading(middle, middle)


def open_each(opener: FrameOpener, segments: list[bytes], now: Reading) -> None:
    """Open segments that must all open."""
    open_one, before = opener.open, opener.opened
    for segment in segments:
        open_one(segment, now)
    if opener.opened - before != len(segments):
        raise ValueError(f"segments did not open: {opener.refusals}")


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    sealer, opener, settings = pair()
    tick = 1000
    sealed: list[bytes] = []

    def seal() -> None:
        for _ in range(count):
            sealed.extend(sealer.seal(payload, tick))

    def open_all() -> None:
        open_each(opener, sealed, reading(settings, tick))

    return seal, open_all

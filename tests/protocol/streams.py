"""Streams to test with: both sides of a generation, readings of a clock, and strategies."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import native_memory
from hypothesis import strategies as st

from tickseal import (
    FrameOpener,
    FrameSealer,
    Generation,
    OpenedSegment,
    Profile,
    Refused,
    Renewal,
    StreamMetadata,
    StreamParameters,
    Suite,
)
from tickseal.core.keytree import Walker
from tickseal.streams.opening import PureFrameOpener
from tickseal.streams.sealing import PureFrameSealer

SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND
METADATA = StreamMetadata(id="greenhouse/bed-2", type="temperature", unit="Cel")
VECTORS = Path(__file__).parent.parent / "vectors"


class Reading(NamedTuple):
    """A clock reading, as little of it as an opener asks for."""

    earliest_ns: int
    latest_ns: int


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def parameters(**changes: Any) -> StreamParameters:
    """Small segments and frames, else the defaults."""
    small = StreamParameters(t0_ns=T0, generation=0x1234, segment_bytes=16, frame_bytes=256)
    return replace(small, **changes)


def generation(settings: StreamParameters, *, secret: bytes = bytes(32)) -> Generation:
    return Generation.derive(
        METADATA, settings, initial_secret=secret, salt=b"\x5a" * 32, handle=0xABCD1234
    )


def by_place(*openers: Any) -> dict[int, Any]:
    """Openers of the standard profile as open_frames() takes them."""
    made = {opener: opener.generation for opener in openers}
    return {(one.number & 0xFF) << 32 | one.handle: opener for opener, one in made.items()}


def pair(**changes: Any) -> tuple[FrameSealer, FrameOpener]:
    settings = parameters(**changes)
    return FrameSealer(generation(settings)), FrameOpener(generation(settings))


def reading(settings: StreamParameters, tick: int, width_ns: int = 0) -> Reading:
    """The clock in the middle of a tick, give or take half the width."""
    middle = settings.t0_ns + tick * settings.interval_ns + settings.interval_ns // 2
    return Reading(middle - width_ns // 2, middle + width_ns // 2)


def skip_to(sealer: FrameSealer, number: int) -> None:
    """Give the next frame a number that it would have after many more."""
    if isinstance(sealer, PureFrameSealer):
        sealer._number = number
    else:
        native_memory.skip_to(sealer, number)


def reason(answer: OpenedSegment | Refused) -> str:
    """Why a segment was refused, or "opened"."""
    return answer.reason if isinstance(answer, Refused) else "opened"


def known(opener: FrameOpener) -> list[tuple[int, int]]:
    """Tick and frame of each frame key that is kept."""
    return list(
        opener._known if isinstance(opener, PureFrameOpener) else native_memory.known(opener)
    )


def prepared(opener: FrameOpener) -> list[int]:
    """The ticks of which the way to frame keys is kept."""
    return list(
        opener._keys._ticks
        if isinstance(opener, PureFrameOpener)
        else native_memory.prepared(opener)
    )


def path(walker: Walker) -> list[tuple[int, int, bytes]]:
    """The nodes on the way to the last leaf that was asked for."""
    return walker._path if hasattr(walker, "_path") else native_memory.path(walker)


def first_tick(opener: FrameOpener) -> int | None:
    """The first tick whose keys are held; None where there is none."""
    if isinstance(opener, PureFrameOpener):
        keys = opener._keys
        return keys.first_tick if keys.first_tick < keys.end_tick else None
    settings, walker = opener.generation.parameters, opener.generation.walker
    first = walker.start << settings.epoch_bits if settings.depth else 0
    return first if walker.nodes() and first < 1 << 64 else None


def state(opener: FrameOpener) -> list[Any]:
    """All that only an authentic segment may change."""
    if isinstance(opener, PureFrameOpener):
        window = [list(opener._replay._numbers), list(opener._replay._segments)]
    else:
        window = native_memory.replay_window(opener)
    return [
        opener.opened,
        opener.highest_tick,
        opener.highest_frame,
        window,
        sorted(known(opener)),
        first_tick(opener),
        opener.generation.walker.nodes(),
    ]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


@st.composite
def any_parameters(draw: st.DrawFn, **fixed: Any) -> StreamParameters:
    """Every suite, profile, renewal, depth and size; windows of 0 to some 40 ticks."""
    interval = draw(st.sampled_from((1000, 20_000_000, 100_000_000, SECOND)))
    segment_bytes = draw(st.integers(16, 40))
    chosen: dict[str, Any] = {
        "generation": draw(st.integers(0, 2**64 - 1)),
        "interval_ns": interval,
        "renewal": draw(st.sampled_from(Renewal)),
        "suite": draw(st.sampled_from(Suite)),
        "hash_length": draw(st.integers(8, 32)),
        "depth": draw(st.sampled_from((0, 8, 32, 48)) | st.integers(0, 48)),
        "epoch_bits": draw(st.sampled_from((0, 3, 32)) | st.integers(0, 32)),
        "past_ns": draw(st.integers(0, 20)) * interval,
        "skew_ns": draw(st.integers(0, 20)) * interval,
        "segment_bytes": segment_bytes,
        "frame_bytes": draw(st.integers(1, 6 * segment_bytes)),
        "profile": draw(st.sampled_from(Profile)),
    }
    return parameters(**chosen | fixed)

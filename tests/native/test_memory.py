"""Memory of C: keys are gone when they are to be, and nothing leaks."""

import copy
import ctypes
import gc
import pickle
import sys
from typing import Any

import pytest
from streams import by_place, flipped, generation, parameters, reading, reason

from tickseal.core import errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.keyschedule import frame_key_message
from tickseal.native.layout import layout
from tickseal.native.opening import NativeFrameOpener
from tickseal.native.sealing import NativeFrameSealer
from tickseal.primitives import hmac
from tickseal.streams.opening import REFUSED

hotpath: Any = pytest.importorskip("tickseal.native.hotpath")

WRONG = (TypeError, ValueError, OverflowError, BufferError, LocalProtocolError)
CHOSEN = parameters(segment_bytes=1200, frame_bytes=1 << 22)
LAYOUT = layout(generation(CHOSEN))


def sealer(**changes: Any) -> NativeFrameSealer:
    return NativeFrameSealer(generation(parameters(**changes)))


def opener(**changes: Any) -> NativeFrameOpener:
    return NativeFrameOpener(generation(parameters(**changes)))


def test_neither_can_be_copied_or_pickled() -> None:
    for made in (sealer(), opener()):
        for copying in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                copying(made)


def memory_of(made: Any) -> bytes:
    return ctypes.string_at(id(made), type(made).__basicsize__)


def test_the_keys_are_gone_from_memory_after_clear() -> None:
    chosen = parameters(renewal=0)
    source = generation(chosen)
    secret = source.walker.secret(source.epoch(100))
    key = hmac(secret)(frame_key_message(100, (1 << 64) - 1))
    sealing, opening = sealer(renewal=0), opener(renewal=0)
    for segment in sealing.seal(bytes(20), 100):
        assert reason(opening.open(segment, reading(chosen, 100))) == "opened"
    for made in (sealing, opening):
        assert key in memory_of(made)
        made.clear()
        assert key not in memory_of(made)
        assert key[:16] not in memory_of(made)


def test_nothing_derived_is_left_in_memory_after_clear() -> None:
    """Hash states hold no key as it is: whatever looked random before and is there after."""

    def random_looking(made: Any) -> set[bytes]:
        memory = memory_of(made).replace(made.generation.context, bytes(32))
        pieces = (memory[at : at + 32] for at in range(0, len(memory), 4))
        # Pointers share their first bytes, even of 32 bits: at most 25 of 32 bytes differ.
        return {piece for piece in pieces if len(set(piece)) > 27}

    sealing, opening = sealer(), opener()
    for segment in sealing.seal(bytes(20), 100):
        assert reason(opening.open(segment, reading(parameters(), 100))) == "opened"
    for made in (sealing, opening):
        before = random_looking(made)
        assert before
        made.clear()
        assert not random_looking(made)


def test_what_is_punctured_is_gone_from_memory() -> None:
    chosen = parameters(renewal=0, past_ns=0, skew_ns=0)
    source = generation(chosen)
    key = hmac(source.walker.secret(100))(frame_key_message(100, (1 << 64) - 1))
    sealing, opening = (make(generation(chosen)) for make in (NativeFrameSealer, NativeFrameOpener))
    for tick, expected in ((100, True), (101, False)):
        assert reason(opening.open(sealing.seal(b"", tick)[0], reading(chosen, tick))) == "opened"
        assert (key in memory_of(opening)) is expected


def test_a_cycle_through_the_clock_is_collected() -> None:
    class Clock:
        earliest_ns = latest_ns = parameters().t0_ns
        opener: Any = None

        def __del__(self) -> None:
            gone.append(1)

    gone: list[int] = []
    clock = Clock()
    clock.opener = opener()
    clock.opener.open(b"", clock)
    del clock
    gc.collect()
    assert gone == [1]


def test_an_opener_that_names_its_holder_is_collected_with_it() -> None:
    class Holder:
        def __init__(self) -> None:
            self.opener = opener()
            self.opener.source = self

        def __del__(self) -> None:
            gone.append(1)

    gone: list[int] = []
    Holder()
    gc.collect()
    assert gone == [1]


def test_nothing_leaks() -> None:
    now = reading(CHOSEN, 100)

    def work() -> None:
        made, sink = NativeFrameSealer(generation(CHOSEN)), NativeFrameOpener(generation(CHOSEN))
        by_header = by_place(sink)
        for size in (0, 10, 5000, 100_000):
            segments = made.seal(bytes(size), 100)
            forged = [flipped(segment, -1) for segment in segments]
            hotpath.open_frames([*forged, *segments, *segments, b"strange"], by_header, now)
            sink.open(segments[0], now)
            sink.gives_frames = True
            hotpath.open_frames([*forged, *made.seal(b"", 100)], by_header, now)
            walker = sink.generation.walker
            _ = sink.refusals, repr(sink), walker.nodes()
            _ = walker.cover(200, 300), walker.secret(300)
        for call in (
            lambda: made.seal("text", 0),  # type: ignore[arg-type]
            lambda: made.seal(b"", 1),
            lambda: made.seal(bytes(1 << 23), 100),
            lambda: hotpath.open_frames([b"", 7], by_header, now),
            lambda: hotpath.open_frames(made.seal(b"", 100), {0x34ABCD1234: made}, now),
            lambda: sink.open(b"", None),  # type: ignore[arg-type]
            lambda: hotpath.Sealer(*LAYOUT[:-1], b"short"),
            lambda: hotpath.Walker([(0, 0, b"short")]),
        ):
            with pytest.raises((*WRONG, AttributeError)):
                call()

    counts = []
    for _ in range(12):
        for _ in range(40):
            work()
        gc.collect()
        counts.append((sys.getallocatedblocks(), sys.getrefcount(REFUSED[errors.FORGED])))
    # What leaks each time shows 40 times in a round; the interpreter's own caches settle by then.
    (before, references), (after, references_after) = counts[-2:]
    assert after - before < 40
    assert references_after == references

"""Native and pure give the same bytes, answers, errors and counts, whatever comes."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streams import (
    Reading,
    any_parameters,
    by_place,
    first_tick,
    flipped,
    generation,
    known,
    parameters,
    path,
    prepared,
    reading,
    reason,
    vectors,
)
from test_opening import sealed_streams
from test_sealing import golden, steps

from tickseal import Generation, StreamParameters, primitives
from tickseal.core import constants, errors
from tickseal.core.errors import TicksealError
from tickseal.core.keytree import Walker
from tickseal.native import hotpath
from tickseal.native.opening import NativeFrameOpener
from tickseal.native.sealing import NativeFrameSealer
from tickseal.native.walking import Walker as NativeWalker
from tickseal.streams.opening import PureFrameOpener, pure_open_frames
from tickseal.streams.sealing import PureFrameSealer


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except TicksealError as error:
        return type(error), str(error)


class Openers:
    """A pure and a native opener that are given the same."""

    def __init__(self, make: Callable[[], Generation], **arguments: Any) -> None:
        self.pure = PureFrameOpener(make(), **arguments)
        self.native = NativeFrameOpener(make(), **arguments)
        self.agree()

    def call(self, name: str, *arguments: Any) -> Any:
        answers = [
            outcome(getattr(opener, name), *arguments) for opener in (self.pure, self.native)
        ]
        assert answers[0] == answers[1]
        self.agree()
        return answers[0]

    def open_frames(self, segments: list[bytes], now: Any) -> tuple[list[Any], list[Any]]:
        """The frames and parts, which are the same from both."""
        answers = open_both([self], segments, now)
        self.agree()
        return answers[0], answers[1]

    def agree(self) -> None:
        pure, native = self.pure, self.native
        for name in (
            "opened", "highest_tick", "highest_frame", "keys_derived", "refusals", "is_live",
            "_forgeries_left", "gives_frames", "frames", "frame_bytes",
        ):  # fmt: skip
            assert getattr(native, name) == getattr(pure, name), name
        assert sorted(known(native)) == sorted(known(pure))
        assert set(prepared(native)) <= set(prepared(pure))
        assert first_tick(native) == first_tick(pure)
        assert native.generation.walker.nodes() == pure.generation.walker.nodes()
        assert repr(native) == repr(pure)


def open_both(openers: list[Openers], segments: list[Any], now: Any) -> tuple[Any, Any, Any]:
    """What open_frames() gives, once it was the same from both; whose by the place in the list."""
    answers = []
    for open_frames, chosen in (
        (pure_open_frames, [each.pure for each in openers]),
        (hotpath.open_frames, [each.native for each in openers]),
    ):
        frames, parts, strangers = open_frames(segments, by_place(*chosen), now)  # type: ignore[operator]
        sources = [opener.source for opener in chosen]
        answers.append((
            [(type(one), sources.index(one.source), *one[1:]) for one in frames],
            [(chosen.index(whose), segment, opened) for whose, segment, opened in parts],
            strangers,
        ))  # fmt: skip
    assert answers[0] == answers[1]
    return answers[0]


@given(any_parameters(), steps)
def test_sealers_are_equal(
    settings: StreamParameters, frames: list[tuple[int, int, int, int]]
) -> None:
    pure = PureFrameSealer(generation(settings))
    native = NativeFrameSealer(generation(settings))
    tick = 0
    for size, ahead, flags, kind in frames:
        arguments = (bytes(range(size)), tick + ahead, flags, kind)
        expected = outcome(pure.seal, *arguments)
        assert outcome(native.seal, *arguments) == expected
        for name in ("tick", "frame_number", "keys_derived"):
            assert getattr(native, name) == getattr(pure, name)
        assert native.generation.walker.nodes() == pure.generation.walker.nodes()
        assert repr(native) == repr(pure)
        tick = max(pure.tick, 0)
    pure.clear()
    native.clear()
    for again in (tick, tick + 1, -1, 1 << 64):
        assert outcome(native.seal, b"", again) == outcome(pure.seal, b"", again)
        assert native.tick == pure.tick


def damaged(draw: st.DrawFn, segment: bytes) -> bytes:
    """The segment, or what a line or an attacker makes of it."""
    what = draw(st.integers(0, 9))
    if what == 0:
        return segment[: draw(st.integers(0, len(segment)))]
    if what == 1:
        return segment + draw(st.binary(min_size=1, max_size=50))
    if what == 2:
        # The header, where most of the checks look.
        return flipped(segment, draw(st.integers(0, 8 * min(16, len(segment)) - 1)))
    if what == 3:
        return flipped(segment, draw(st.integers(0, 8 * len(segment) - 1)))
    if what == 4:
        # Another form: flags, index, and a size about those that have a meaning.
        changed = bytearray(segment)
        is_compact = segment[0] & 8
        at = 1, (7 if is_compact else 15)
        changed[at[0]] = draw(st.integers(0, 15)) << (4 if is_compact else 0) | (
            segment[1] & 15 if is_compact else 0
        )
        changed[at[1]] = draw(st.integers(0, 7))
        size = max(0, len(segment) + draw(st.integers(-41, 41)))
        return bytes(changed[:size]).ljust(size, b"x")
    return segment


@given(sealed_streams(), st.data())
def test_openers_are_equal(
    stream: tuple[StreamParameters, int, list[Any]], data: st.DataObject
) -> None:
    chosen, now, frames = stream
    segments = [segment for frame in frames for segment in frame[4]]
    openers = Openers(
        lambda: generation(chosen),
        live=data.draw(st.sampled_from((True, True, False))),
        highest_frame=data.draw(st.sampled_from((-1, -1, 0, 3, 2**33, 2**63 - 1))),
    )
    clock = reading(chosen, now)
    for _ in range(data.draw(st.integers(1, 25))):
        what = data.draw(st.integers(0, 30))
        if what == 0:
            begin = data.draw(st.integers(-1, 2**64) | st.integers(max(0, now - 5), now + 5))
            openers.call("announce", begin, begin + data.draw(st.integers(0, 2**15 + 1)))
        elif what == 1:
            openers.call("clear")
        elif what == 7 and chosen.depth:
            begin = data.draw(st.integers(max(0, now - 30), now))
            span = (begin, begin + data.draw(st.integers(1, 60)))
            nodes = outcome(generation(chosen).grant, *span)
            if isinstance(nodes, list):
                openers.call("renew", nodes)
        elif what < 5:
            clock = reading(chosen, max(0, now + data.draw(st.integers(-30, 30))))
        elif what == 5:
            clock = Reading(data.draw(st.integers(0, 2**63)), 2**63 + 2**40)
        elif what == 6:
            left = min(openers.pure._forgeries_left, data.draw(st.integers(1, 2)))
            openers.pure._forgeries_left = openers.native._forgeries_left = left
        elif what < 20:
            segment = damaged(data.draw, data.draw(st.sampled_from(segments)))
            openers.call("open", segment, clock)
        else:
            picked = data.draw(st.lists(st.sampled_from(segments), max_size=12))
            gives_frames = data.draw(st.booleans())
            openers.pure.gives_frames = openers.native.gives_frames = gives_frames
            openers.open_frames([damaged(data.draw, one) for one in picked], clock)


@given(st.binary(max_size=80), st.integers(0, 1))
def test_any_bytes_are_refused_for_the_same_reason(rest: bytes, profile: int) -> None:
    chosen = parameters(profile=profile)
    openers = Openers(lambda: generation(chosen))
    heads = (b"", b"\x10\x03\x34\xab\xcd\x12\x34", b"\x18\x34\x34")
    for head in heads:
        openers.call("open", head + rest, reading(chosen, 100))


def test_every_reason_comes_from_both() -> None:
    seen: set[str] = set()
    for scenario in vectors("segments")["scenarios"]:
        first = scenario["steps"][0]
        openers = Openers(lambda s=scenario: golden(s["stream"]), live=first["live"])
        left = openers.pure._forgeries_left - scenario["failed_openings"]
        openers.pure._forgeries_left = openers.native._forgeries_left = left
        announced = None
        for step in scenario["steps"]:
            if step["backfill"] != announced:
                announced = step["backfill"]
                openers.call("announce", *announced)
            clock = Reading(*step["clock"])
            seen.add(reason(openers.call("open", bytes.fromhex(step["segment"]), clock)))
    assert seen | {errors.REVOKED, "opened"} == {*errors.REASONS, "opened"}


@pytest.mark.parametrize("renewal", [0, 1])
@pytest.mark.parametrize("suite", [1, 2, 3])
def test_many_frames_of_many_segments_are_equal(suite: int, renewal: int) -> None:
    """Beyond the replay window, the keys kept, and a machine word of segments."""
    chosen = parameters(suite=suite, renewal=renewal, frame_bytes=200 * 16, past_ns=10**12)
    sealer = NativeFrameSealer(generation(chosen))
    frames = [sealer.seal(bytes(16 * (number % 200)), number // 20) for number in range(1100)]
    openers = Openers(lambda: generation(chosen))
    clock = reading(chosen, 55)
    arriving = [segment for frame in frames for segment in frame[:: max(1, len(frame) // 9)]]
    arriving += arriving[::7] + arriving[:50]
    for turn, at in enumerate(range(0, len(arriving), 500)):
        openers.pure.gives_frames = openers.native.gives_frames = bool(turn % 2)
        openers.open_frames(arriving[at : at + 500], clock)
    assert openers.pure.refusals.keys() == {errors.REPLAYED, errors.STALE}


@pytest.mark.parametrize("suite", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 16, 65_535, 65_536, 300_001])
def test_large_frames_are_equal_where_the_interpreter_is_let_go(suite: int, size: int) -> None:
    chosen = parameters(suite=suite, segment_bytes=1200, frame_bytes=1 << 22)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    expected = PureFrameSealer(generation(chosen)).seal(payload, 3)
    sealed = NativeFrameSealer(generation(chosen)).seal(payload, 3)
    assert sealed == expected
    openers = Openers(lambda: generation(chosen))
    forged = [flipped(segment, -1) for segment in sealed]
    arriving = [*sealed[::-1], *forged, *sealed, b"", bytes(5000)]
    _, parts = openers.open_frames(arriving, reading(chosen, 4))
    assert b"".join(opened.payload for *_, opened in reversed(parts)) == payload


#: Of three streams, whose openers use two suites, a renewal each, and windows of their own.
MANY = [
    parameters(generation=1),
    parameters(generation=2, suite=2, renewal=0, past_ns=0),
    parameters(generation=3, skew_ns=0, depth=0),
]


@given(st.data(), st.sampled_from((bytes, bytearray, memoryview)))
def test_batches_of_many_generations_are_equal(data: st.DataObject, kind: Any) -> None:
    openers = [Openers(lambda chosen=chosen: generation(chosen)) for chosen in MANY]
    sealers = [PureFrameSealer(generation(chosen)) for chosen in MANY]
    strange = parameters(generation=4), parameters(generation=1, profile=1)
    sealers += [PureFrameSealer(generation(chosen)) for chosen in strange]
    for each in openers:
        each.pure.gives_frames = each.native.gives_frames = data.draw(st.booleans())
    for tick in (50, 51):
        sizes = st.lists(st.sampled_from((0, 5, 16, 40)), max_size=8)
        frames = [
            segment
            for size in data.draw(sizes)
            for segment in data.draw(st.sampled_from(sealers)).seal(bytes(size), tick)
        ]
        batch = [kind(damaged(data.draw, one)) for one in data.draw(st.permutations(frames * 2))]
        counts = [each.pure.opened + each.pure.refusals.total() for each in openers]
        frames_of, parts, strangers = open_both(openers, batch, reading(MANY[0], tick))
        for each in openers:
            each.agree()
        now = [each.pure.opened + each.pure.refusals.total() for each in openers]
        assert sum(now) - sum(counts) + len(strangers) == len(batch)
        assert len(frames_of) + len(parts) <= len(batch)


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.sampled_from(("take", "puncture", "secret")),
            st.integers(0, 4096) | st.sampled_from((-1, 1 << 63, 1 << 64, -(1 << 64))),
        )
    ),
)
@example(3, [("secret", 2), ("take", 2)])
@example(3, [("secret", 5), ("puncture", 5), ("secret", 5)])
def test_walkers_are_equal(depth: int, moves: list[tuple[str, int]]) -> None:
    pure = Walker.from_root(primitives, b"\x07" * 32, depth)
    native = NativeWalker.from_root(primitives, b"\x07" * 32, depth)
    for name, epoch in moves:
        expected = outcome(getattr(pure, name), epoch)
        assert outcome(getattr(native, name), epoch) == expected
        assert native.nodes() == pure.nodes()
        if isinstance(expected, bytes):
            assert path(native) == pure._path
        assert (native.start, native.end, repr(native)) == (pure.start, pure.end, repr(pure))
        span = (pure.start, pure.start + epoch % 7)
        assert outcome(native.cover, *span) == outcome(pure.cover, *span)
    grants = [
        outcome(make, primitives, pure.nodes()[::step])
        for step in (1, 2)
        for make in (Walker, NativeWalker)
    ]
    for one, other in (grants[:2], grants[2:]):
        assert (other if isinstance(one, tuple) else other.nodes()) == (
            one if isinstance(one, tuple) else one.nodes()
        )
    native.clear()
    assert (native.nodes(), path(native), native.start) == ([], [], native.end)


def test_another_prefix_is_left_to_the_pure_walker() -> None:
    nodes = [Walker.from_root(primitives, bytes(32), 1, b"MLS 1.0 ").secret(0)]
    nodes.append(NativeWalker.from_root(primitives, bytes(32), 1, b"MLS 1.0 ").secret(0))
    assert nodes[0] == nodes[1]
    assert constants.PREFIX == b"tickseal/1 "


def test_both_have_the_same_public_names() -> None:
    for pure, native in (
        (PureFrameSealer, NativeFrameSealer),
        (PureFrameOpener, NativeFrameOpener),
    ):
        names = {name for name in dir(pure) if not name.startswith("_")}
        assert names == {name for name in dir(native) if not name.startswith("_")}
        assert native.__doc__
        for name in names:
            assert getattr(native, name).__doc__

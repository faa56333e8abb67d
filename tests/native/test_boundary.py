"""The border to C: whatever a caller does, it answers or raises, and all stays whole."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import Reading, by_place, generation, parameters, reading, reason

from tickseal import primitives
from tickseal.core import errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.keytree import Walker
from tickseal.native.layout import layout, timing
from tickseal.native.opening import NativeFrameOpener
from tickseal.native.sealing import NativeFrameSealer

hotpath: Any = pytest.importorskip("tickseal.native.hotpath")

WRONG = (TypeError, ValueError, OverflowError, BufferError, LocalProtocolError)
CHOSEN = parameters(segment_bytes=1200, frame_bytes=1 << 22)
LAYOUT = layout(generation(CHOSEN))
TIMING = timing(CHOSEN)
COUNTS = ({}, 0, 1, True)


def native_opener(layout: Any = LAYOUT, timing: Any = TIMING) -> Any:
    return hotpath.Opener(layout, timing, generation(CHOSEN).walker, None, *COUNTS)


def sealer(**changes: Any) -> NativeFrameSealer:
    return NativeFrameSealer(generation(parameters(**changes)))


def opener(**changes: Any) -> NativeFrameOpener:
    return NativeFrameOpener(generation(parameters(**changes)))


# --- Arguments ---

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-2, 70), st.binary(max_size=40),
    st.text(max_size=3), st.floats(), st.just(()), st.just([]), st.just(memoryview(b"abcd")[::2]),
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 8), anything), max_size=4), st.data())
def test_a_layout_is_taken_whole_or_refused(
    changes: list[tuple[int, Any]], data: st.DataObject
) -> None:
    values = list(LAYOUT)
    for place, value in changes:
        values[place] = value
    try:
        made = hotpath.Sealer(*values)
    except WRONG:
        with pytest.raises(WRONG):
            native_opener(tuple(values))
        return
    native_opener(tuple(values))
    made._start(5, bytes(32))
    payload = bytes(data.draw(st.integers(0, min(values[5], 3 * values[4]))))
    segments = made.seal(payload, 5)
    head = (8 if values[1] else 16) + values[3] + (8 if values[0] == 3 else 16)
    assert sum(map(len, segments)) == len(payload) + head * len(segments)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 0), (0, 4), (3, 7), (3, 33), (4, 15), (4, 65_001), (5, 0), (5, (1 << 26) + 1),
        (8, bytes(31)), (8, bytes(33)),
    ],
)  # fmt: skip
def test_a_parameter_out_of_its_range_is_refused(place: int, value: Any) -> None:
    with pytest.raises(ValueError, match="out of its range"):
        hotpath.Sealer(*LAYOUT[:place], value, *LAYOUT[place + 1 :])


@pytest.mark.parametrize(("compact", "most"), [(False, 1 << 16), (True, 1 << 8)])
def test_a_frame_has_no_more_segments_than_the_header_can_number(compact: bool, most: int) -> None:
    head, tail = (1, compact, True, 16, 16), LAYOUT[6:]
    assert hotpath.Sealer(*head, 16 * most, *tail)
    with pytest.raises(ValueError, match="out of its range"):
        hotpath.Sealer(*head, 16 * most + 1, *tail)


WHOLE = (LAYOUT, TIMING, generation(CHOSEN).walker, None, *COUNTS)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, LAYOUT[:-1]), (0, None), (1, TIMING[:-1]), (1, None), (1, (*TIMING[:6], 33, True)),
        (1, (0, 0, *TIMING[2:])), (2, None), (2, Walker.from_root(primitives, bytes(32), 3)),
        (4, []), (5, "0"),
    ],
)  # fmt: skip
def test_an_opener_is_made_of_what_it_needs(place: int, value: Any) -> None:
    assert hotpath.Opener(*WHOLE)
    with pytest.raises(WRONG):
        hotpath.Opener(*WHOLE[:place], value, *WHOLE[place + 1 :])
    with pytest.raises(WRONG):
        hotpath.Opener(*WHOLE[:place])


@given(st.lists(anything | st.tuples(*[anything] * 3), max_size=4))
def test_any_nodes_make_a_walker_or_raise(nodes: list[Any]) -> None:
    for given_nodes in (nodes, [(48, 0, bytes(32)), *nodes], tuple(nodes)):
        try:
            made = hotpath.Walker(given_nodes)
        except WRONG:
            continue
        assert made.nodes() == given_nodes


@pytest.mark.parametrize(
    "node",
    [(49, 0, bytes(32)), (48, 1, bytes(32)), (0, 1 << 48, bytes(32)), (0, 0, bytes(31)), (0, 0)],
)
def test_a_node_of_no_tree_is_refused(node: Any) -> None:
    with pytest.raises(WRONG):
        hotpath.Walker([node])


@given(anything, anything, anything, anything)
def test_any_arguments_seal_or_raise(payload: Any, tick: Any, flags: Any, kind: Any) -> None:
    made = sealer()
    expected = 0
    for call in (
        lambda: made.seal(payload, tick, flags, kind),
        lambda: made.seal(payload, tick, flags),
        lambda: made.seal(payload, 3, 0, kind),
        lambda: made.seal(b"x", tick),
        lambda: made._start(tick, payload),
    ):
        number = made.frame_number
        try:
            expected = call() is not None
        except WRONG:
            expected = 0
            assert made.frame_number == number
        assert made.frame_number >= number + expected


@pytest.mark.parametrize(
    "call",
    [
        lambda made: made.seal(),
        lambda made: made.seal(b""),
        lambda made: made.seal(b"", 0, 0, 0, 0),
        lambda made: made.seal(b"", 0, flags=0),
        lambda made: made.seal(b"", 0, None),
        lambda made: made.seal("text", 0),
        lambda made: made.seal(memoryview(b"abcd")[::2], 0),
        lambda made: made.seal(b"", 1.5),
        lambda made: made.seal(b"", 0, 0, 2),
        lambda made: made.seal(b"", 0, 0, -1),
        lambda made: made.seal(b"", 0, 0, 1 << 32),
        lambda made: made._start(0, b"short"),
        lambda made: made._start(0, bytes(33)),
    ],
)
def test_a_call_that_is_wrong_raises_and_takes_no_number(call: Callable[[Any], Any]) -> None:
    made = sealer()
    with pytest.raises(WRONG):
        call(made)
    assert made.frame_number == 0
    assert made.seal(b"", 0, 0, 0)


def test_a_frame_number_never_goes_back() -> None:
    made = sealer()
    made.seal(b"", 0)
    for name in ("frame_number", "_number"):
        with pytest.raises(AttributeError):
            setattr(made, name, 0)
    made.__init__(made.generation)  # type: ignore[misc]
    assert made.frame_number == 1


@given(st.lists(anything, max_size=3))
def test_any_ticks_are_taken_or_refused(values: list[Any]) -> None:
    made = opener()
    (segment,) = sealer().seal(b"", 100)
    try:
        made._announce(*values)
    except WRONG:
        pass
    assert reason(made.open(segment, reading(parameters(), 100))) in {"opened", *errors.REASONS}
    with pytest.raises(WRONG):
        made._hold(values)
    with pytest.raises(WRONG):
        made._hold(Walker.from_root(primitives, bytes(32), 3))


@given(st.lists(anything | st.binary(min_size=40, max_size=60), max_size=5), anything)
def test_any_segments_are_answered_or_raise(segments: list[Any], now: Any) -> None:
    made = opener()
    clock = reading(parameters(), 100)
    for call in (
        lambda: hotpath.open_frames(segments, {0: made}, clock)[1],
        lambda: hotpath.open_frames(now, {0: made}, clock)[1],
        lambda: hotpath.open_frames(segments, now, clock)[1],
        lambda: [made.open(segment, clock) for segment in segments],
        lambda: made.open(b"", now),
    ):
        try:
            answers = call()
        except (*WRONG, AttributeError):
            continue
        assert all(reason(answer) in errors.REASONS for answer in answers)
    (segment,) = sealer().seal(b"", 100)
    assert reason(made.open(segment, clock)) == "opened"


# --- What Python answers to C ---


class Unset:
    """A clock that cannot be read for now."""

    def __init__(self, name: str, value: Any) -> None:
        self.earliest_ns = self.latest_ns = reading(CHOSEN, 100).earliest_ns
        setattr(self, name, value)


@pytest.mark.parametrize("size", [0, 200_000])
@pytest.mark.parametrize("value", [None, 1.5, "now"])
@pytest.mark.parametrize("name", ["earliest_ns", "latest_ns"])
def test_a_clock_without_a_reading_raises_and_the_opener_goes_on(
    name: str, value: Any, size: int
) -> None:
    made = NativeFrameOpener(generation(CHOSEN))
    segments = NativeFrameSealer(generation(CHOSEN)).seal(bytes(size), 100)
    for clock in (Unset(name, value), object()):
        with pytest.raises((TypeError, AttributeError)):
            hotpath.open_frames(segments, by_place(made), clock)
    _, parts, _ = hotpath.open_frames(segments, by_place(made), reading(CHOSEN, 100))
    assert len(parts) == made.opened == len(segments)


def test_a_clock_that_opens_segments_itself_does_so_first() -> None:
    made = opener()
    first, second = (sealer().seal(b"", tick)[0] for tick in (100, 101))
    found = []

    class Clock:
        latest_ns = reading(parameters(), 101).latest_ns

        @property
        def earliest_ns(self) -> int:
            found.append(reason(made.open(first, reading(parameters(), 100))))
            return self.latest_ns

    assert reason(made.open(first, Clock())) == errors.REPLAYED
    assert found == ["opened"]
    assert reason(made.open(second, Clock())) == errors.REPLAYED  # its number is the first's


@pytest.mark.parametrize("wrong", [-1, 1 << 64])
def test_a_reading_of_no_time_raises_and_the_opener_goes_on(wrong: int) -> None:
    made = opener()
    (segment,) = sealer().seal(b"", 100)
    for clock in (Reading(wrong, 0), Reading(0, wrong)):
        with pytest.raises(OverflowError):
            made.open(segment, clock)
    assert reason(made.open(segment, Reading(1, 0))) == errors.EARLY
    assert reason(made.open(segment, reading(parameters(), 100))) == "opened"

"""The border to C: whatever a caller does, it answers or raises, and all stays whole."""

import copy
import ctypes
import gc
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import Reading, flipped, generation, parameters, reading, reason

from tickseal import OpenedSegment, primitives
from tickseal.core import errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.keyschedule import frame_key_message
from tickseal.core.keytree import Walker
from tickseal.native.layout import layout, timing
from tickseal.native.opening import NativeFrameOpener
from tickseal.native.sealing import NativeFrameSealer
from tickseal.opening import REFUSED
from tickseal.primitives import hmac

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
        lambda made: made.seal_many([b""]),
        lambda made: made.seal_many(None, 0),
        lambda made: made.seal_many(["text"], 0),
        lambda made: made.seal_many([b""], 0, "flags"),
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
        lambda: made.open_many(segments, clock),
        lambda: made.open_many(now, clock),
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
            made.open_many(segments, clock)  # type: ignore[arg-type]
    assert {reason(one) for one in made.open_many(segments, reading(CHOSEN, 100))} == {"opened"}


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


# --- Threads ---


def together(*calls: Callable[[], Any], times: int = 12) -> list[Any]:
    """Do each call several times, all in threads at once; return what they returned or raised."""
    done: list[Any] = []

    def work(call: Callable[[], Any]) -> None:
        for _ in range(times):
            try:
                done.append(call())
            except LocalProtocolError as error:
                done.append(error)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_threads_that_share_a_sealer_never_share_a_number() -> None:
    made = NativeFrameSealer(generation(CHOSEN))
    payload = bytes(200_000)
    frames = together(*[lambda: made.seal(payload, 7)] * 4, lambda: made.seal(b"small", 7))
    assert made.frame_number == len(frames) == 60
    numbers = {frame[0][10:14] for frame in frames}
    assert len(numbers) == len(frames)
    other = NativeFrameOpener(generation(CHOSEN))
    for frame in frames:
        for answer in other.open_many(frame, reading(CHOSEN, 7)):
            assert isinstance(answer, OpenedSegment)


def test_threads_that_share_an_opener_open_each_segment_once() -> None:
    source, made = NativeFrameSealer(generation(CHOSEN)), NativeFrameOpener(generation(CHOSEN))
    segments = source.seal(bytes(300_000), 7)
    now = reading(CHOSEN, 7)
    answers = together(
        *[lambda: made.open_many(segments, now)] * 4, lambda: made.announce(0, 50), made.clear
    )
    opened = [
        one for answer in answers if isinstance(answer, list)
        for one in answer if isinstance(one, OpenedSegment)
    ]  # fmt: skip
    assert len(opened) == len({one.segment_index for one in opened}) == made.opened


def test_an_opener_at_work_without_the_interpreter_is_not_touched() -> None:
    chosen = parameters(segment_bytes=60_000, frame_bytes=1 << 26)
    segments = NativeFrameSealer(generation(chosen)).seal(bytes(1 << 26), 7)
    made = NativeFrameOpener(generation(chosen))
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.extend(made.open_many(segments, reading(chosen, 7)))
    )
    thread.start()
    refused = 0
    walker, another = made.generation.walker, reading(chosen, 7)
    # It may be done at any of them: each is fine then, or raises what is caught.
    calls: list[Callable[[], Any]] = [
        lambda: made.announce(0, 50), made.clear, lambda: made.open(b"", another),
        lambda: made.renew([]), lambda: walker.secret(7), lambda: walker.take(7),
        lambda: walker.puncture(7), walker.clear, walker.nodes,
    ]  # fmt: skip
    while thread.is_alive():
        for call in calls:
            if made.opened:
                try:
                    call()
                except LocalProtocolError as error:
                    refused += "another thread" in str(error)
    assert refused
    assert {reason(answer) for answer in answers} == {"opened"}


def test_a_long_call_lets_other_threads_run() -> None:
    """A thread that waits for the interpreter gets it within one call."""
    chosen = parameters(segment_bytes=60_000, frame_bytes=1 << 26)
    made = NativeFrameSealer(generation(chosen))
    payload = bytes(1 << 26)
    ran = threading.Event()
    go = threading.Event()

    def other() -> None:
        go.wait()
        ran.set()

    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    # No thread is made to yield: only a call that lets go of the interpreter gives way.
    sys.setswitchinterval(1000)
    try:
        thread.start()
        go.set()
        before = ran.is_set()
        made.seal(payload, 0)
        assert ran.is_set()
        assert not before
    finally:
        sys.setswitchinterval(interval)
        thread.join()


# --- Life and memory ---


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


def test_nothing_leaks() -> None:
    now = reading(CHOSEN, 100)

    def work() -> None:
        made, sink = NativeFrameSealer(generation(CHOSEN)), NativeFrameOpener(generation(CHOSEN))
        made.seal_many([b"", bytes(5000)], 100)
        for size in (0, 10, 5000, 100_000):
            segments = made.seal(bytes(size), 100)
            forged = [flipped(segment, -1) for segment in segments]
            sink.open_many([*forged, *segments, *segments], now)
            sink.open(segments[0], now)
            sink.open_frames([*forged, *made.seal(b"", 100)], now)
            walker = sink.generation.walker
            _ = sink.refusals, repr(sink), walker.nodes()
            _ = walker.cover(200, 300), walker.secret(300)
        for call in (
            lambda: made.seal("text", 0),  # type: ignore[arg-type]
            lambda: made.seal(b"", 1),
            lambda: made.seal(bytes(1 << 23), 100),
            lambda: sink.open_many([b"", 7], now),  # type: ignore[list-item]
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

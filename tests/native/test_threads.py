"""Threads in C: they share what they are given, and get the interpreter while it works."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from streams import by_place, generation, parameters, reading

from tickseal import OpenedSegment
from tickseal.core.errors import LocalProtocolError
from tickseal.native.opening import NativeFrameOpener
from tickseal.native.sealing import NativeFrameSealer
from tickseal.streams.parameters import StreamParameters

hotpath: Any = pytest.importorskip("tickseal.native.hotpath")

CHOSEN = parameters(segment_bytes=1200, frame_bytes=1 << 22)
#: Tries, of which one is enough.
_TURNS = 100


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


def test_a_sealer_that_is_cleared_while_its_tick_begins_seals_nothing() -> None:
    class Cleared(NativeFrameSealer):
        def _advance(self, tick: int) -> None:
            super()._advance(tick)
            self.clear()  # as another thread may, just then

    made = Cleared(generation(CHOSEN))
    with pytest.raises(LocalProtocolError, match="another thread"):
        made.seal(b"", 0)
    assert made.frame_number == 0


def test_threads_that_share_a_sealer_never_share_a_number() -> None:
    made = NativeFrameSealer(generation(CHOSEN))
    payload = bytes(200_000)
    frames = together(*[lambda: made.seal(payload, 7)] * 4, lambda: made.seal(b"small", 7))
    assert made.frame_number == len(frames) == 60
    numbers = {frame[0][10:14] for frame in frames}
    assert len(numbers) == len(frames)
    other = NativeFrameOpener(generation(CHOSEN))
    for frame in frames:
        for segment in frame:
            assert isinstance(other.open(segment, reading(CHOSEN, 7)), OpenedSegment)


def test_threads_that_share_an_opener_open_each_segment_once() -> None:
    source, made = NativeFrameSealer(generation(CHOSEN)), NativeFrameOpener(generation(CHOSEN))
    segments = source.seal(bytes(300_000), 7)
    now = reading(CHOSEN, 7)
    answers = together(
        *[lambda: hotpath.open_frames(segments, by_place(made), now)[1]] * 4,
        lambda: made.announce(0, 50),
        made.clear,
    )
    opened = [
        one for answer in answers if isinstance(answer, list) for _, _, one in answer
    ]  # fmt: skip
    assert len(opened) == len({one.segment_index for one in opened}) == made.opened


def disturbed(chosen: StreamParameters, segments: list[bytes]) -> int:
    """Open all, and meanwhile do what may not be done then; return how often it was refused."""
    made = NativeFrameOpener(generation(chosen))
    answers: list[Any] = []
    now = reading(chosen, 7)
    thread = threading.Thread(
        target=lambda: answers.extend(hotpath.open_frames(segments, by_place(made), now)[1])
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
    assert len(answers) == len(segments)
    return refused


def test_an_opener_at_work_without_the_interpreter_is_not_touched() -> None:
    chosen = parameters(segment_bytes=60_000, frame_bytes=1 << 26)
    segments = NativeFrameSealer(generation(chosen)).seal(bytes(1 << 26), 7)
    # On a busy machine it may be done before this thread has its turn.
    assert any(disturbed(chosen, segments) for _ in range(_TURNS))


def test_a_long_call_lets_other_threads_run() -> None:
    """A thread that waits for the interpreter gets it within a call."""
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
        assert not ran.is_set()
        # On a busy machine one call may be over before the other thread has its turn.
        for _ in range(_TURNS):
            made.seal(payload, 0)
            if ran.is_set():
                break
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()

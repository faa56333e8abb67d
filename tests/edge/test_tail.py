"""The end of a live generation is kept until it is reported, for some seconds and bytes."""

from tickseal_edge.spool.tail import Tail
from tickseal_edge.streams.streams import SealedFrame

SECOND = 10**9


def _tail(count: int, *, size: int = 10, apart_ns: int = 0) -> Tail:
    tail = Tail()
    for number in range(count):
        tail.add(SealedFrame(7, number, number, [bytes(size)]), number * apart_ns)
    return tail


def test_what_is_reported_is_given_up() -> None:
    tail = _tail(10)
    tail.reported(7, 6)
    assert [frame.number for frame in tail.take()] == [6, 7, 8, 9]
    assert tail.take() == []


def test_a_report_of_another_generation_changes_nothing() -> None:
    tail = _tail(3)
    tail.reported(8, 3)
    assert len(tail.take()) == 3


def test_the_frames_of_a_former_generation_are_given_up_with_the_first_of_the_next() -> None:
    tail = _tail(3)
    tail.add(SealedFrame(8, 0, 0, [b"x"]), 0)
    assert [frame.generation for frame in tail.take()] == [8]


def test_it_is_bounded_in_time_and_in_bytes() -> None:
    assert len(_tail(100, apart_ns=SECOND).take()) == 16
    assert len(_tail(100, size=64 << 10).take()) == 4

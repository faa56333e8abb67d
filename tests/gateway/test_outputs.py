"""Outputs: each may fail, block or vanish without harming the others; what it missed is counted."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tickseal_gateway.frames.readings import Batch, Picture, Reading
from tickseal_gateway.outputs.base import OutputRunner, stop_all
from tickseal_gateway.outputs.pictures import PictureFiles
from waiting import PATIENCE_S, eventually

from tickseal.core.errors import LinkError, StoreError
from tickseal.payloads.pictures import Picture as Content


def batch(*values: int) -> Batch:
    readings = [Reading("d", "s", "n", value, None, value, 0, value, 1, 0) for value in values]
    return Batch(received_ns=0, readings=readings)


class Recorder:
    """An output that keeps what it gets, and can be told to block or fail."""

    gather_s = 0.0

    def __init__(self, *, keeps_newest: bool = False) -> None:
        self.name = "recorder"
        self.keeps_newest = keeps_newest
        self.got: list[object] = []
        self.faults: list[Exception] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.entered = threading.Event()
        self.is_closed = False

    def write(self, batches: Sequence[Batch]) -> None:
        self.entered.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if self.faults:
            raise self.faults.pop(0)
        self.got += [reading.value for b in batches for reading in b.readings]

    def close(self) -> None:
        self.is_closed = True


def blocked(runner: OutputRunner, output: Recorder) -> None:
    output.may_go_on.clear()
    runner.start()
    runner.offer(batch(0))
    assert output.entered.wait(PATIENCE_S)


def test_an_output_that_blocks_loses_what_does_not_fit_and_goes_on() -> None:
    output = Recorder()
    runner = OutputRunner(output, queue_most=10)
    blocked(runner, output)
    taken = [runner.offer(batch(value)) for value in range(1, 21)]
    assert taken == [True] * 10 + [False] * 10
    output.may_go_on.set()
    stop_all([runner], PATIENCE_S)
    assert output.got == list(range(11))
    assert (runner.counters.written, runner.counters.missed) == (11, 10)
    assert output.is_closed


def test_an_output_that_wants_the_newest_loses_the_oldest() -> None:
    output = Recorder(keeps_newest=True)
    runner = OutputRunner(output, queue_most=10)
    blocked(runner, output)
    for value in range(1, 21):
        assert runner.offer(batch(value))
    output.may_go_on.set()
    stop_all([runner], PATIENCE_S)
    assert output.got == [0, *range(11, 21)]
    assert runner.counters.missed == 10


def test_pictures_that_wait_are_bounded_in_bytes() -> None:
    output = Recorder()
    runner = OutputRunner(output, queue_bytes_most=1000)
    blocked(runner, output)
    content = Content(
        codec="jpeg", width=1, height=1, time_ns=0, sequence=0, is_key=True, data=bytes(400)
    )
    picture = Picture("d", "s", content, 0, 0, 1, 0, 0)
    large = Batch(received_ns=0, pictures=[picture])
    assert [runner.offer(large) for _ in range(3)] == [True, True, False]
    output.may_go_on.set()
    stop_all([runner], PATIENCE_S)


def test_what_an_output_cannot_take_now_comes_again() -> None:
    output = Recorder()
    output.faults = [LinkError("the broker is away")]
    runner = OutputRunner(output)
    runner.start()
    runner.offer(batch(1, 2))
    eventually(lambda: runner.counters.written)
    assert output.got == [1, 2]
    assert (runner.counters.failures, runner.counters.missed) == (1, 0)
    assert runner.counters.error == ""
    stop_all([runner], PATIENCE_S)


def test_a_fault_of_an_output_costs_it_a_batch_and_nothing_else() -> None:
    output = Recorder()
    output.faults = [ZeroDivisionError("a bug")]
    runner = OutputRunner(output)
    runner.start()
    runner.offer(batch(1))
    eventually(lambda: runner.counters.failures)
    runner.offer(batch(2))
    stop_all([runner], PATIENCE_S)
    assert output.got == [2]
    assert (runner.counters.written, runner.counters.missed) == (1, 1)


def test_an_output_that_never_returns_does_not_keep_the_gateway_from_stopping() -> None:
    output = Recorder()
    runner = OutputRunner(output)
    blocked(runner, output)
    stop_all([runner], 0.05)
    assert not output.is_closed
    output.may_go_on.set()
    assert runner.join(PATIENCE_S)


def pictures_of(*pairs: tuple[str, bytes]) -> Batch:
    return Batch(
        received_ns=0,
        pictures=[
            Picture(
                "d",
                stream,
                Content(
                    codec="jpeg",
                    width=1,
                    height=1,
                    time_ns=0,
                    sequence=0,
                    is_key=True,
                    data=data,
                ),
                0,
                0,
                1,
                0,
                0,
            )
            for stream, data in pairs
        ],
    )


def test_the_latest_picture_of_each_stream_is_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    output = PictureFiles(folder)
    output.write([pictures_of(("door", b"old"), ("a/b", b"1")), pictures_of(("door", b"new"))])
    output.write([pictures_of(("a.b", b"2"), ("../../etc/passwd", b"3"))])
    assert (folder / "door.jpg").read_bytes() == b"new"
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert len(names) == 4
    assert all(name.endswith(".jpg") for name in names)
    assert all(path.parent == folder for path in tmp_path.rglob("*.jpg"))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = PictureFiles(tmp_path / "file" / "pictures")
    with pytest.raises(StoreError, match="cannot write"):
        output.write([pictures_of(("door", b"x"))])

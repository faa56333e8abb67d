"""The recorder's files: whatever comes late, across hours, and through failures, stays openable."""

import contextlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import METADATA, T0, generation, parameters
from tickseal_gateway.frames.readings import Batch, Sealed
from tickseal_gateway.recordings import files
from tickseal_gateway.recordings.files import Kind, Record, RecordReader, RecordWriter
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.recordings.opening import Numbers, RecordingOpener
from tickseal_gateway.recordings.recorded import RecordedGeneration
from tickseal_gateway.recordings.recorder import RecordingOutput
from tickseal_gateway.recordings.shelf import Shelf, recording_path, shelved

from tickseal import FrameSealer
from tickseal.core.errors import StoreError

KEY = b"k" * 32
HOUR = 3600 * 10**9
FOR_EVER = 10**15


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: tmp_path_factory.mktemp("recordings")


def make_output(folder: Path) -> RecordingOutput:
    return RecordingOutput(Shelf(folder, retention_ns=0, size_most=FOR_EVER), KEY, gather_s=0)


def opened(folder: Path, span_ns: tuple[int, int] = (0, 1 << 63)) -> list[int]:
    library = Library(folder, KEY)
    opener = RecordingOpener()
    return [
        frame.number
        for piece in library.pieces(library.find(METADATA.id), span_ns)
        for frame in opener.frames(piece)
    ]


@settings(max_examples=40)
@given(
    epoch_bits=st.sampled_from((0, 1, 5)),
    interval_s=st.sampled_from((1, 60, 700)),
    lateness=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    steps=st.lists(st.integers(0, 12), min_size=40, max_size=40),
    cuts=st.sets(st.integers(1, 39)),
    offset_s=st.integers(0, 3600),
)
def test_every_frame_can_be_opened_however_late_and_in_whatever_batches_it_came(  # noqa: PLR0917
    folders: Any,
    epoch_bits: int,
    interval_s: int,
    lateness: list[int],
    steps: list[int],
    cuts: set[int],
    offset_s: int,
) -> None:
    folder = folders()
    chosen = parameters(
        epoch_bits=epoch_bits, interval_ns=interval_s * 10**9, t0_ns=T0 + offset_s * 10**9,
        past_ns=3600 * 10**9,
    )  # fmt: skip
    sealer = FrameSealer(generation(chosen))
    source = RecordedGeneration(generation(chosen), "shed")
    output = make_output(folder)
    tick = 0
    sent = []
    for number, (late, step) in enumerate(zip(lateness, steps, strict=False)):
        tick += step
        (segment,) = sealer.seal(b"x", tick)
        sent.append((number + late, Sealed(source, tick, number, segment)))
    arrived: list[Sealed] = []
    window = -(-(chosen.past_ns + chosen.skew_ns) // chosen.interval_ns)
    for _, sealed in sorted(sent, key=lambda row: row[0]):
        # The gateway opens nothing that is later than its window.
        if all(other.tick - sealed.tick <= window for other in arrived):
            arrived.append(sealed)
    places = [0, *sorted(cut for cut in cuts if cut < len(arrived)), len(arrived)]
    for start, end in pairwise(places):
        output.write([Batch(received_ns=0, sealed=arrived[start:end])])
    assert sorted(opened(folder)) == sorted(sealed.frame for sealed in arrived)
    # What is granted is past: nothing is held on the disk beyond the last epoch that was filed.
    last = max(sealed.tick for sealed in arrived)
    library = Library(folder, KEY)
    ends = [
        piece.generation.walker.end
        for piece in library.pieces(library.find(METADATA.id), (0, 1 << 63))
    ]
    assert max(ends) == (last >> epoch_bits) + 1
    assert source.generation.walker.start == (last + 1) >> epoch_bits


def test_what_could_not_be_written_comes_again_and_its_keys_with_it(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders()
    chosen = parameters()
    sealer = FrameSealer(generation(chosen))
    source = RecordedGeneration(generation(chosen), "shed")
    output = make_output(folder)
    batches = [
        Batch(received_ns=0, sealed=[Sealed(source, tick, tick, sealer.seal(b"x", tick)[0])])
        for tick in range(6)
    ]
    output.write(batches[:2])
    real = files._write_all
    failures = iter([3, 40])

    def fails(file: Any, data: bytes) -> None:
        partly = next(failures, None)
        if partly is None:
            real(file, data)
            return
        real(file, data[:partly])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write_all", fails)
    for _ in range(2):
        with pytest.raises(StoreError, match="No space left"):
            output.write(batches[2:4])
    output.write(batches[2:4])
    monkeypatch.undo()
    output.write(batches[4:])
    assert opened(folder) == list(range(6))
    (found,) = shelved(folder)
    with RecordReader(found.path) as reader:
        entries = reader.entries()
        assert all(reader.payload(entry) is not None for entry in entries)
    assert entries[-1].offset + entries[-1].size == found.path.stat().st_size


def test_an_hour_opens_by_itself_after_the_others_are_gone(folders: Any) -> None:
    folder = folders()
    chosen = parameters(interval_ns=60 * 10**9)
    sealer = FrameSealer(generation(chosen))
    source = RecordedGeneration(generation(chosen), "shed")
    output = make_output(folder)
    for tick in range(0, 240, 7):
        (segment,) = sealer.seal(b"x", tick)
        sealed = [Sealed(source, tick, tick // 7, segment)]
        output.write([Batch(received_ns=0, sealed=sealed)])
    hours = sorted(shelved(folder))
    assert len(hours) == 4
    everything = opened(folder)
    for one in (hours[0], hours[1], hours[3]):
        one.path.unlink()
    (left,) = shelved(folder)
    expected = [n for n in everything if (T0 + n * 7 * 60 * 10**9) // HOUR == left.hour]
    assert opened(folder) == expected
    assert recording_path(folder, left.handle, left.hour) == left.path


@given(st.data())
def test_a_torn_file_keeps_every_whole_record(folders: Any, data: st.DataObject) -> None:
    path = folders() / "a1b2c3d4" / "20260101T00.rec"
    writer = RecordWriter()
    writer.salt(path)
    sizes = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=6))
    ends = []
    for number, size in enumerate(sizes):
        writer.append(path, [Record(Kind.BLOCK, 7, number, number, bytes(size))])
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    keep = data.draw(st.integers(ends[0], len(content)))
    garbage = data.draw(st.binary(max_size=30))
    path.write_bytes(content[:keep] + garbage)
    index = data.draw(st.sampled_from(["kept", "gone", "short"]))
    if index == "gone":
        path.with_suffix(".idx").unlink()
    elif index == "short":
        rows = path.with_suffix(".idx").read_bytes()
        path.with_suffix(".idx").write_bytes(rows[: data.draw(st.integers(0, len(rows)))])
    whole = sum(end <= keep for end in ends)
    again = RecordWriter()
    again.salt(path)
    again.append(path, [Record(Kind.BLOCK, 7, 99, 99, b"new")])
    with RecordReader(path) as reader:
        entries = reader.entries()
        payloads = [reader.payload(entry) for entry in entries]
    good = [bytes(size) for size in sizes[:whole]]
    assert payloads[:whole] == good
    assert payloads[-1] == b"new"
    assert [entry.first_tick for entry in entries[:whole]] == list(range(whole))


@given(st.lists(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_numbers_are_a_set_told_in_spans(numbers: list[int], first: int, until: int) -> None:
    found = Numbers()
    for number in numbers:
        found.add(number)
    missing = [n for start, end in found.missing(first, until) for n in range(start, end)]
    assert missing == [n for n in range(first, until) if n not in set(numbers)]
    assert found.bounds == ((min(numbers), max(numbers) + 1) if numbers else None)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_file_or_one_error(folders: Any, content: bytes) -> None:
    path = folders() / "any.rec"
    for magic in (b"", files.GRANT_MAGIC, files.RECORDING_MAGIC + bytes(32)):
        path.write_bytes(magic + content)
        with contextlib.suppress(StoreError), RecordReader(path) as reader:
            for entry in reader.entries():
                reader.payload(entry)

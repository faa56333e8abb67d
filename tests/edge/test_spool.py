"""The spool keeps what is sealed through power cuts, full disks and restarts; nobody opens it."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from power_cut_disk import PowerCutDisk, PowerCutError
from tickseal_edge.lanes import Lane
from tickseal_edge.spool import spool_file
from tickseal_edge.spool.spool import Spool
from tickseal_edge.spool.spool_file import Foot
from tickseal_edge.spool.spool_folder import Folder, SpoolFolder
from tickseal_edge.streams.streams import SealedFrame

from tickseal.core.errors import StoreError
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters

BLOB = b"sealed to the gateway"
EVERYTHING: dict[str, int] = {"frames": 10**6, "size": 10**9, "ticks": 10**9}


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("disk")
    yield lane
    lane.close()


def generation(number: int = 1, handle: int = 5) -> Generation:
    return Generation.derive(
        StreamMetadata("pi/host", "telemetry"),
        StreamParameters(t0_ns=0, generation=number),
        initial_secret=bytes(32),
        salt=bytes(32),
        handle=handle,
    )


def frame(number: int, *, size: int = 100, of: int = 1) -> SealedFrame:
    return SealedFrame(of, number * 10, number, [bytes([number % 251]) * size])


def filled(
    folder: Folder, lane: Lane, count: int, *, most: int = 1 << 20, size: int = 100
) -> Spool:
    spool = Spool(folder, most, lane)
    spool.begin(generation(), BLOB)
    for number in range(count):
        spool.append(frame(number, size=size))
    return spool


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def numbers(spool: Spool, number: int = 1) -> list[int]:
    return [one.number for one in run(everything(spool, number))]


async def everything(spool: Spool, number: int = 1) -> list[SealedFrame]:
    """Return all frames as a backfill takes them, and acknowledge them."""
    found: list[SealedFrame] = []
    while chunk := await spool.chunk(number, **EVERYTHING):
        found += chunk
        spool.stored_until(number, chunk[-1].number + 1)
    return found


# --- Restarts ---


def test_what_was_flushed_is_there_after_a_restart(tmp_path: Path, lane: Lane) -> None:
    spool = filled(SpoolFolder(tmp_path / "spool"), lane, 3000, most=64 << 20, size=300)
    spool.complete(1)
    run(spool.flush())
    found = Spool(SpoolFolder(tmp_path / "spool"), 64 << 20, lane)
    (waiting,) = found.generations()
    assert (waiting.number, waiting.handle, waiting.blob) == (1, 5, BLOB)
    assert waiting.is_complete
    assert waiting.frames == 3000
    assert len(waiting.files) > 2, "several files, or the test shows too little"
    assert found.held_bytes == spool.held_bytes
    assert run(everything(found)) == [frame(number, size=300) for number in range(3000)]
    lane_is_done(lane)
    assert not list((tmp_path / "spool").iterdir())


def test_it_is_for_its_user_only(tmp_path: Path, lane: Lane) -> None:
    spool = filled(SpoolFolder(tmp_path / "spool"), lane, 1)
    run(spool.flush())
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    (file,) = (tmp_path / "spool").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_is_written_is_on_the_disk_before_it_counts_and_so_is_a_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def sync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    folder = SpoolFolder(tmp_path)
    folder.append("1.spool", 0, b"abc")
    assert synced == [tmp_path / "1.spool", tmp_path]
    folder.append("1.spool", 3, b"def")
    assert synced[2:] == [tmp_path / "1.spool"], "its name is there already"
    folder.append("1.spool", 3, b"g")
    assert folder.read("1.spool", 0, 99) == b"abcg", "what a write that failed left is cut off"


def test_what_is_delivered_before_it_was_flushed_never_reaches_the_disk(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 100)
    spool.complete(1)
    assert numbers(spool) == list(range(100))
    run(spool.flush())
    assert disk.appends == 0


def test_a_flush_writes_each_byte_once_and_only_what_is_new(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 10)
    run(spool.flush())
    run(spool.flush())
    assert disk.appends == 1
    spool.append(frame(10))
    run(spool.flush())
    assert disk.appends == 2
    assert disk.written == spool.held_bytes


def test_generations_go_on_being_told_apart(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 3)
    spool.begin(generation(2, handle=6), b"another blob")
    spool.append(frame(0, of=2))
    for one in (1, 2):
        spool.complete(one)
    run(spool.flush())
    again = Spool(disk, 1 << 20, lane)
    assert [(one.number, one.handle, one.blob) for one in again.generations()] == [
        (1, 5, BLOB),
        (2, 6, b"another blob"),
    ]
    assert again.numbers(6) == [2]
    assert numbers(again, 2) == [0]


def test_a_restart_writes_over_nothing_that_waits(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 3)
    spool.complete(1)
    run(spool.flush())
    again = Spool(disk, 1 << 20, lane)
    again.begin(generation(2), BLOB)
    again.append(frame(0, of=2))
    run(again.flush())
    found = Spool(disk, 1 << 20, lane)
    assert (numbers(found, 1), numbers(found, 2)) == ([0, 1, 2], [0])


# --- While the disk writes ---


class SlowDisk(PowerCutDisk):
    """One that writes once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.goes_on = threading.Event(), threading.Event()

    def append(self, name: str, offset: int, data: bytes) -> None:
        self.is_asked.set()
        self.goes_on.wait()
        super().append(name, offset, data)


def test_what_is_sealed_while_the_disk_writes_is_neither_missed_nor_written_over(
    lane: Lane,
) -> None:
    disk = SlowDisk()
    spool = filled(disk, lane, 10)

    async def main() -> None:
        first = asyncio.create_task(spool.flush())
        await asyncio.to_thread(disk.is_asked.wait)
        spool.append(frame(10))
        second = asyncio.create_task(spool.flush())
        await asyncio.sleep(0)
        try:
            assert await spool.chunk(1, **EVERYTHING) == [frame(number) for number in range(11)]
        finally:
            disk.goes_on.set()
        await asyncio.gather(first, second)
        await spool.flush()

    run(main())
    assert numbers(Spool(disk, 1 << 20, lane)) == list(range(11))


def test_what_is_delivered_while_the_disk_writes_it_does_not_stay_there(lane: Lane) -> None:
    disk = SlowDisk()
    spool = filled(disk, lane, 10)
    spool.complete(1)

    async def main() -> None:
        flushing = asyncio.create_task(spool.flush())
        await asyncio.to_thread(disk.is_asked.wait)
        spool.stored_until(1, 10)
        disk.goes_on.set()
        await flushing

    run(main())
    lane_is_done(lane)
    assert not disk.files


# --- Acknowledgement ---


def test_only_what_the_gateway_stored_is_deleted(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 3000, most=4 << 20)
    spool.complete(1)
    run(spool.flush())
    files = len(disk.files)
    assert files > 1
    spool.stored_until(1, 2999)
    assert run(spool.chunk(1, **EVERYTHING)) == [frame(2999)]
    lane_is_done(lane)
    assert len(disk.files) == 1
    assert numbers(Spool(disk, 4 << 20, lane))[-1] == 2999


def lane_is_done(lane: Lane) -> None:
    run(lane.run(lambda: None))


def test_a_chunk_is_bounded_but_never_empty(lane: Lane) -> None:
    spool = filled(PowerCutDisk(), lane, 50)
    spool.complete(1)
    chunk = run(spool.chunk(1, frames=7, size=10**6, ticks=10**6))
    assert [one.number for one in chunk] == list(range(7))
    assert len(run(spool.chunk(1, frames=50, size=350, ticks=10**6))) == 3
    assert len(run(spool.chunk(1, frames=50, size=10**6, ticks=25))) == 3
    assert len(run(spool.chunk(1, frames=1, size=1, ticks=1))) == 1


# --- Bounds and faults ---


def test_the_oldest_frames_make_room_and_are_counted(lane: Lane) -> None:
    spool = filled(PowerCutDisk(), lane, 5000, most=128 << 10)
    spool.complete(1)
    assert spool.held_bytes <= 128 << 10
    kept = numbers(spool)
    assert kept == list(range(kept[0], 5000))
    assert spool.dropped_frames == kept[0] > 0


def test_the_oldest_of_several_generations_makes_room(lane: Lane) -> None:
    spool = filled(PowerCutDisk(), lane, 40, most=1 << 16, size=1000)
    spool.complete(1)
    spool.begin(generation(2), BLOB)
    for number in range(40):
        spool.append(frame(number, size=1000, of=2))
    spool.complete(2)
    old, new = numbers(spool, 1), numbers(spool, 2)
    assert new == list(range(40))
    assert old
    assert old == list(range(40 - len(old), 40)), "the newest of the old"
    assert spool.dropped_frames == 40 - len(old)


def test_a_stream_that_restarts_for_ever_keeps_fewer_generations_than_the_header_tells_apart(
    lane: Lane,
) -> None:
    spool = Spool(PowerCutDisk(), 1 << 20, lane)
    for number in range(1, 100):
        spool.begin(generation(number), BLOB)
        spool.append(frame(0, of=number))
        spool.complete(number)
    assert len(spool.numbers(5)) == 48
    assert spool.dropped_frames == 99 - 48


def test_a_full_disk_costs_the_oldest_and_goes_on(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 600)
    run(spool.flush())
    spool.complete(1)
    spool.begin(generation(2), BLOB)
    for number in range(300):
        spool.append(frame(number, of=2))
    disk.room = sum(map(len, disk.files.values())) + 1000
    run(spool.flush())
    lane_is_done(lane)
    run(spool.flush())
    spool.complete(2)
    assert numbers(spool, 2) == list(range(300))
    assert spool.dropped_frames == 600


def test_a_failed_write_is_tried_again_and_leaves_no_gap(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 10)
    run(spool.flush())
    spool.append(frame(10))
    disk.fault = StoreError("the disk fails")
    run(spool.flush())
    spool.append(frame(11))
    run(spool.flush())
    assert numbers(Spool(disk, 1 << 20, lane)) == list(range(12))


def test_a_disk_that_refuses_for_good_does_not_fill_the_memory(lane: Lane) -> None:
    class Broken(PowerCutDisk):
        def append(self, name: str, offset: int, data: bytes) -> None:
            raise StoreError("the disk fails")

    spool = filled(Broken(), lane, 1, most=1 << 30)
    for number in range(1, 200):
        spool.append(frame(number, size=60_000))
        run(spool.flush())
    assert spool.held_bytes <= 5 << 20
    assert spool.dropped_frames > 0


def test_what_the_disk_has_damaged_is_counted_and_the_rest_is_delivered(
    tmp_path: Path, lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    spool = filled(SpoolFolder(tmp_path), lane, 3000, most=64 << 20, size=300)
    spool.complete(1)
    run(spool.flush())
    first = min(tmp_path.iterdir())
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    found = Spool(SpoolFolder(tmp_path), 64 << 20, lane)
    delivered = numbers(found)
    assert delivered == sorted(set(delivered))
    lost = set(range(3000)) - set(delivered)
    assert 0 < len(lost) < 1000, "of one file only"
    assert found.dropped_frames == len(lost)
    assert f"{len(lost)} frames are lost" in caplog.text


def test_files_that_are_none_are_removed(tmp_path: Path, lane: Lane) -> None:
    folder = SpoolFolder(tmp_path)
    for name, content in (("1.spool", b""), ("2.spool", b"rubbish" * 100), ("3.txt", b"kept")):
        (tmp_path / name).write_bytes(content)
    assert Spool(folder, 1 << 20, lane).generations() == []
    assert [path.name for path in tmp_path.iterdir()] == ["3.txt"]


# --- Power cuts ---


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_at_any_moment_costs_only_what_was_not_flushed(seed: int, lane: Lane) -> None:
    """Flush after each few frames, cut the power in the seed's write, and start again."""
    disk = PowerCutDisk(seed=seed)
    disk.cut_at = seed % 7
    spool = Spool(disk, 1 << 20, lane)
    spool.begin(generation(), BLOB)
    flushed = 0
    number = 0
    try:
        while True:
            for _ in range(20):
                spool.append(frame(number, size=97 + number % 400))
                number += 1
            run(spool.flush())
            flushed = number
    except PowerCutError:
        pass
    found = Spool(disk.after_power_cut(), 1 << 20, lane)
    kept = run(everything(found)) if found.generations() else []
    assert [one.number for one in kept[:flushed]] == list(range(flushed))
    # What was under way may be there in part, but whole frames only, and without a gap.
    assert kept == [frame(n, size=97 + n % 400) for n in range(len(kept))]
    assert len(kept) <= number


def test_a_deletion_that_a_power_cut_undid_is_only_delivered_again(lane: Lane) -> None:
    disk = PowerCutDisk()
    spool = filled(disk, lane, 3)
    spool.complete(1)
    run(spool.flush())
    before = dict(disk.files)
    numbers(spool)
    lane_is_done(lane)
    assert not disk.files
    disk.files = before
    again = Spool(disk, 1 << 20, lane)
    assert numbers(again) == [0, 1, 2]


# --- The file ---


@given(cut=st.integers(0, 2000), flip=st.integers(0, 1999), bit=st.integers(0, 7))
def test_any_beginning_of_a_file_gives_a_beginning_of_its_frames(
    cut: int, flip: int, bit: int
) -> None:
    data = spool_file.encode_start(1, 5, BLOB)
    frames = [frame(number, size=50 * number) for number in range(6)]
    for one in frames:
        data += spool_file.encode_frame(len(data), one)
    whole = spool_file.read(data)
    assert whole is not None
    assert whole.frames == frames
    torn = bytearray(data[:cut])
    if flip < len(torn):
        torn[flip] ^= 1 << bit
    content = spool_file.read(bytes(torn))
    if content is not None:
        assert content.frames == frames[: len(content.frames)]
        assert content.blob == BLOB


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    spool_file.read(data)
    spool_file.read(spool_file.MAGIC + data)
    spool_file.read_foot(data, len(data))


def test_a_record_of_another_place_is_not_taken_for_one_of_this() -> None:
    data = spool_file.encode_start(1, 5, BLOB)
    stale = spool_file.encode_frame(len(data) + 1, frame(1))
    content = spool_file.read(data + stale)
    assert content is not None
    assert content.frames == []


def test_a_foot_tells_what_a_file_holds() -> None:
    foot = Foot(first=3, last=9, frames=7)
    data = b"x" * 100
    data += spool_file.encode_foot(len(data), foot)
    assert spool_file.read_foot(data[-spool_file.FOOT_BYTES :], len(data)) == foot
    assert spool_file.read_foot(os.urandom(spool_file.FOOT_BYTES), len(data)) is None

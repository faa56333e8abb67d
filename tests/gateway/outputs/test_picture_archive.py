"""Pictures as files: those that are due, whole, and no more than the folder may hold."""

from pathlib import Path

import pytest
from batches import SECOND, batch, jpeg, picture
from tickseal_gateway.outputs.picture_archive import PictureArchive

from tickseal.core.errors import StoreError


def archive(folder: Path, *, every_s: float = 0, size: int = 1 << 30) -> PictureArchive:
    return PictureArchive(folder, every_ns=int(every_s * SECOND), size_most=size)


def test_each_picture_is_a_file_by_stream_and_time(tmp_path: Path) -> None:
    archive(tmp_path).write([batch(shown=[picture(n) for n in range(5)])])
    found = sorted(tmp_path.rglob("*.jpg"))
    assert [path.name for path in found] == [f"20-26-40.{n}00000Z.jpg" for n in range(5)]
    assert [path.read_bytes() for path in found] == [jpeg(n) for n in range(5)]
    assert found[0].parent.name == "2026-05-28"


def test_only_pictures_that_are_due_are_kept(tmp_path: Path) -> None:
    output = archive(tmp_path, every_s=1)
    for number in range(35):
        output.write([batch(shown=[picture(number), picture(number, stream="other")])])
    assert len(list(tmp_path.rglob("*.jpg"))) == 8


def test_the_oldest_go_over_restarts_too(tmp_path: Path) -> None:
    size = len(jpeg(0))
    archive(tmp_path).write([batch(shown=[picture(n) for n in range(10)])])
    archive(tmp_path, size=6 * size).write([batch(shown=[picture(10)])])
    names = sorted(path.name for path in tmp_path.rglob("*.jpg"))
    assert len(names) <= 6
    assert names[-1] == "20-26-41.000000Z.jpg"


def test_streams_cannot_leave_the_folder(tmp_path: Path) -> None:
    names = ["../../etc/x", "..", "/", "a/b", "a-b", "\u202e", "x" * 128]
    output = archive(tmp_path / "in")
    output.write([batch(shown=[picture(n, stream=name) for n, name in enumerate(names)])])
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(list((tmp_path / "in").iterdir())) == len(names), "no two share a folder"


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="make room"):
        archive(tmp_path / "file").write([batch(shown=[picture(0)])])

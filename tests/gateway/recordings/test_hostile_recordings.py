"""Recordings of a device that is hostile, and grant files of strangers."""

from pathlib import Path

import pytest
from recorded import SECOND, START, Recorded
from tickseal_gateway.recordings.files import GRANT_MAGIC, Kind, Record, encode_record
from tickseal_gateway.recordings.grant_file import read_grant_file
from tickseal_gateway.recordings.shelf import FILE_BYTES, Shelf

from tickseal import Generation, StreamMetadata, StreamParameters
from tickseal.sessions import control

HOUR = 3600


def test_what_bears_a_time_that_has_not_come_does_not_outlive_all_else(tmp_path: Path) -> None:
    """A clock years ahead is all that it takes: such hours would stay, and all others go."""
    made = Recorded(tmp_path)
    made.record("shed/air", range(0, 3 * HOUR, HOUR))
    made.record("yard/air", range(9000 * HOUR, 9010 * HOUR, HOUR))
    shelf = Shelf(tmp_path, retention_ns=0, size_most=4 * (FILE_BYTES + 4096))
    shelf.drop_old(START + 3 * HOUR * SECOND)
    left = {stream.id: len(stream.files) for stream in made.library.streams()}
    assert left["shed/air"] == 3
    assert left.get("yard/air", 0) < 10


def test_hours_ahead_do_not_keep_what_is_too_old(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    made.record("shed/air", [0])
    made.record("yard/air", [9000 * HOUR])
    shelf = Shelf(tmp_path, retention_ns=HOUR * SECOND, size_most=1 << 40)
    shelf.drop_old(START + 9 * HOUR * SECOND)
    assert [stream.id for stream in made.library.streams()] == ["yard/air"]


def test_many_small_files_are_not_free(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    made.record("shed/air", range(0, 20 * HOUR, HOUR))
    Shelf(tmp_path, retention_ns=0, size_most=10 * FILE_BYTES).drop_old(START + 20 * HOUR * SECOND)
    (stream,) = made.library.streams()
    assert len(stream.files) < 10


def test_a_size_of_less_than_an_hour_holds_and_costs_the_largest_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera's hour, which is written now, would grow for ever, and all others' would go."""
    made = Recorded(tmp_path)
    made.record("shed/air", [0, 1])
    made.record("yard/camera", range(600))
    made.record("shed/rain", [0, 1])
    camera = made.library.find("yard/camera").size
    shelf = Shelf(tmp_path, retention_ns=0, size_most=3 * FILE_BYTES + camera)
    assert len(shelf.drop_old(START + 10 * SECOND)) == 1
    shelf.drop_old(START + 20 * SECOND)
    assert [stream.id for stream in made.library.streams()] == ["shed/air", "shed/rain"]
    assert caplog.text.count("less than an hour") == 1
    Shelf(tmp_path, retention_ns=0, size_most=1).drop_old(START + 10 * SECOND)
    assert not made.library.streams()


def test_a_grant_file_that_tells_of_ages_is_gone_through_in_no_time(tmp_path: Path) -> None:
    metadata = StreamMetadata(id="s", type="t")
    parameters = StreamParameters(t0_ns=0, depth=48, epoch_bits=12)
    generation = Generation.derive(
        metadata, parameters, initial_secret=bytes(32), salt=bytes(32), handle=7
    )
    ticks = (1 << 58, 1 << 59)
    grant = control.Grant(
        device="d",
        handle=7,
        metadata=metadata.encode(),
        parameters=parameters.encode(),
        ticks=ticks,
        frame_from=0,
        nodes=tuple(generation.grant(*ticks)),
    )
    file = tmp_path / "keys.grant"
    record = Record(Kind.GRANT, 0, ticks[0], ticks[1] - 1, control.encode(grant))
    file.write_bytes(GRANT_MAGIC + encode_record(record))
    (tmp_path / "00000007").mkdir()
    (piece,) = read_grant_file(file, recordings=tmp_path)
    assert list(piece.rows) == []

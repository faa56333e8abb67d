"""Parquet: read by pyarrow as a data set, and nothing lost to a kill."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from batches import HOSTILE, batch, numbered

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'tickseal[parquet]'")

from pyarrow import compute, parquet
from tickseal_gateway.outputs.parquet import ParquetFiles

from tickseal.core.errors import StoreError


def files(folder: Path, *, every_s: float = 3600, rows: int = 1_000_000) -> ParquetFiles:
    return ParquetFiles(folder, every_s=every_s, rows_most=rows)


def test_the_folder_is_a_data_set(tmp_path: Path) -> None:
    output = files(tmp_path)
    output.write([batch(*HOSTILE)])
    output.write([numbered(100)])
    output.close()
    table = parquet.read_table(tmp_path)
    assert table.num_rows == 106
    assert "date" in table.column_names, "the folders' names are a column"
    rows = {row["name"]: row for row in table.to_pylist() if row["name"] != "air"}
    assert (rows["door"]["value"], rows["failed"]["value"]) == (1.0, None)
    assert rows["whole"]["backfilled"] is True
    assert rows["huge"]["value"] == float(2**70)
    texts = [row["text"] for row in table.to_pylist() if row["text"]]
    assert texts == [HOSTILE[1].value]
    latest = compute.max(table["time"]).cast("int64").as_py()
    assert latest == HOSTILE[0].time_ns + 99 * 10**9


def test_a_file_ends_when_it_is_full_or_old(tmp_path: Path) -> None:
    output = files(tmp_path / "full", rows=1000)
    for start in range(0, 3000, 500):
        output.write([numbered(500, start)])
    assert len(list((tmp_path / "full").rglob("*.parquet"))) == 3
    output = files(tmp_path / "old", every_s=0)
    output.write([numbered(1)])
    output.write([numbered(1)])
    assert len(list((tmp_path / "old").rglob("*.parquet"))) == 2
    assert parquet.read_table(tmp_path / "full").num_rows == 3000


def test_a_kill_loses_nothing_that_was_written(tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from batches import numbered
        from tickseal_gateway.outputs.parquet import ParquetFiles
        output = ParquetFiles(Path({str(tmp_path)!r}), every_s=3600, rows_most=10**6)
        for start in range(0, 1000, 100):
            output.write([numbered(100, start)])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = next(tmp_path.glob("*.arrows"))
    with left.open("ab") as torn:  # and half a batch
        torn.write(b"\xff\xff\xff\xff\x10\x00")
    output = files(tmp_path)
    output.write([numbered(1, 1000)])
    output.close()
    frames = parquet.read_table(tmp_path, columns=["frame"])["frame"].to_pylist()
    assert sorted(frames) == list(range(1001))


def test_a_silent_gateway_leaves_no_empty_files(tmp_path: Path) -> None:
    output = files(tmp_path)
    output.write([batch()])
    output.close()
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="make room"):
        files(tmp_path / "file").write([numbered(1)])

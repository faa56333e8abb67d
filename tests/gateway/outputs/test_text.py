"""Lines of text: every reading once, whole files after kills and full disks, no endless file."""

import csv
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from batches import HOSTILE, batch, numbered, reading
from tickseal_gateway.outputs.appending import AppendedFile
from tickseal_gateway.outputs.text import HEADS, TextFile, as_csv, as_json_lines

from tickseal.core.errors import StoreError


def text_file(path: Path, kind: str = "jsonl", size: int = 1 << 20, keep: int = 3) -> TextFile:
    file = AppendedFile(path, head=HEADS[kind], size_most=size, keep=keep)
    return TextFile(file, kind, "text")  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_of_json_says_everything(tmp_path: Path) -> None:
    output = text_file(tmp_path / "deep" / "readings.jsonl")
    output.write([batch(*HOSTILE)])
    output.close()
    rows = lines(tmp_path / "deep/readings.jsonl")
    assert [row["value"] for row in rows] == [each.value for each in HOSTILE]
    assert [row["name"] for row in rows] == [each.name for each in HOSTILE]
    last = rows[-1]
    assert (last["time"], last["time_ns"]) == ("2026-05-28T20:26:40.000000Z", HOSTILE[0].time_ns)
    assert (last["generation"], last["backfilled"]) == ("0000000000000abc", True)
    assert (tmp_path / "deep/readings.jsonl").stat().st_mode & 0o777 == 0o600


def test_csv_is_read_back_by_others(tmp_path: Path) -> None:
    output = text_file(tmp_path / "readings.csv", "csv")
    output.write([batch(*HOSTILE[:2])])
    output.write([batch(*HOSTILE[2:])])
    output.close()
    with (tmp_path / "readings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [each.name for each in HOSTILE]
    assert rows[0]["device"] == "käse\\"
    assert rows[1]["value"] == 'text with "quotes", commas\nand lines'
    assert [row["value"] for row in rows[2:5]] == ["true", "", str(2**70)]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_of_a_device_is_a_formula_where_a_spreadsheet_opens_it(text: str) -> None:
    rows = list(csv.reader(io.StringIO(as_csv([reading(text, stream=text), reading(-1.5)]))))
    assert rows[0][2] == rows[0][4] == f"'{text}"
    assert rows[1][4] == "-1.5"


def test_both_forms_hold_the_same_columns() -> None:
    (line,) = as_json_lines([reading()]).splitlines()
    head = next(csv.reader(io.StringIO(HEADS["csv"].decode())))
    assert list(json.loads(line)) == head
    assert len(next(csv.reader(io.StringIO(as_csv([reading()]))))) == len(head)


def test_a_full_file_is_renamed_and_old_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    output = text_file(path, "csv", size=4096, keep=2)
    for start in range(0, 400, 10):
        output.write([numbered(10, start)])
    output.close()
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["readings.csv", "readings.csv.1", "readings.csv.2"]
    frames: list[int] = []
    for name in ("readings.csv.2", "readings.csv.1", "readings.csv"):
        assert (tmp_path / name).stat().st_size <= 4096
        with (tmp_path / name).open(newline="") as file:
            frames += [int(row["frame"]) for row in csv.DictReader(file)]
    assert frames == list(range(frames[0], 400)), "nothing is missing between files"


@pytest.mark.parametrize("left", [b"", b'{"half": "a l', b'{"whole": 1}\n', b'{"a": 1}\n{"b"'])
def test_what_a_kill_left_half_is_cut_off(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_bytes(left)
    output = text_file(path)
    output.write([numbered(1)])
    output.close()
    lines = path.read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    assert len(lines) == left.count(b"\n") + 1


def test_a_full_disk_leaves_no_half_line_and_the_readings_come_again(tmp_path: Path) -> None:
    # A process whose files may not grow beyond 4096 bytes: the kernel says EFBIG, as ENOSPC.
    program = f"""
        import resource, signal
        from pathlib import Path
        from batches import numbered
        from tickseal.core.errors import StoreError
        from tickseal_gateway.outputs.appending import AppendedFile
        from tickseal_gateway.outputs.text import TextFile
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        path = Path({str(tmp_path / "readings.jsonl")!r})
        output = TextFile(AppendedFile(path, size_most=1 << 20, keep=1), "jsonl", "t")
        output.write([numbered(5)])
        try:
            output.write([numbered(100, 5)])
        except StoreError as error:
            assert "make room" in str(error)
        else:
            raise SystemExit("it was written")
        assert len(path.read_text().splitlines()) == 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        output.write([numbered(100, 5)])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    frames = [line["frame"] for line in lines(tmp_path / "readings.jsonl")]
    assert frames == list(range(105))


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        text_file(tmp_path / "file" / "readings.jsonl").write([numbered(1)])


def test_a_file_that_is_moved_or_removed_under_it_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    file = AppendedFile(path, head=b"head\n", size_most=1 << 20, keep=2)
    file.append(b"1\n")
    path.rename(tmp_path / "moved")
    file.append(b"2\n")
    assert path.read_bytes() == b"head\n2\n"
    path.unlink()
    file.append(b"3\n")
    file.close()
    assert path.read_bytes() == b"head\n3\n"
    assert (tmp_path / "moved").read_bytes() == b"head\n1\n"

"""A file of readings is read again and again."""

from pathlib import Path

import pytest
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.replay import ReplaySensor


def test_rows_come_in_turn_with_units_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("temperature [Cel],state\n21.5,open\n,shut\n22\n")
    sensor = ReplaySensor(path)
    rows = [[sample.value for sample in sensor.read(0)] for _ in range(4)]
    assert rows == [[21.5, "open"], [None, "shut"], [22, None], [21.5, "open"]]
    assert [sample.unit for sample in sensor.read(0)] == ["Cel", None]


@pytest.mark.parametrize("text", ["", "a [Cel\n1\n", "a\n", "b c\n1\n"])
def test_what_is_no_such_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DeviceError, match=r"x\.csv"):
        ReplaySensor(path)

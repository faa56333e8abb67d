"""TAI - UTC."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.core.errors import StoreError
from tickseal.host.leap_seconds import BUNDLED, load_leap_seconds, parse_leap_seconds

TABLE = """\
#	any comment
#$	 3960835200
#@	4080000000
#
2272060800      10      # 1 Jan 1972
3644697600      36      # 1 Jul 2015
3692217600      37      # 1 Jan 2017
4000000000      38
#h	49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e
"""


def test_the_bundled_figure_is_37_s_and_says_until_when() -> None:
    assert BUNDLED.offset_at(1_800_000_000) == 37
    assert BUNDLED.expires_unix_s > 1_800_000_000


def test_gives_the_offset_of_its_time() -> None:
    table = parse_leap_seconds(TABLE.encode(), "a table")
    assert table.expires_unix_s == 4_080_000_000 - 2_208_988_800
    change = 4_000_000_000 - 2_208_988_800
    assert [table.offset_at(change + n) for n in (-1, 0, 1)] == [37, 38, 38]
    # A clock that was never set lies before the table: then the last change is the best guess.
    assert table.offset_at(0) == 38


def test_prefers_whichever_table_is_newer(tmp_path: Path) -> None:
    path = tmp_path / "leap-seconds.list"
    assert load_leap_seconds(path) is BUNDLED
    path.write_text(TABLE)
    assert load_leap_seconds(path).offset_at(1_900_000_000) == 38
    path.write_text(TABLE.replace("#@	4080000000", "#@	3800000000"))
    assert load_leap_seconds(path) is BUNDLED
    path.write_text("nonsense")
    assert load_leap_seconds(path) is BUNDLED


def test_reads_this_systems_table() -> None:
    assert load_leap_seconds().offset_at(1_600_000_000) == 37


@given(st.one_of(st.binary(), st.text("0123456789# @\n\t-").map(str.encode)))
def test_any_bytes_give_a_table_or_an_error(data: bytes) -> None:
    try:
        table = parse_leap_seconds(data, "a table")
    except StoreError:
        return
    assert isinstance(table.offset_at(0), int)


@pytest.mark.parametrize(
    "data", [b"", b"#@ 4080000000", b"3692217600 37", b"#@ 4080000000\n2 1\n1 2", b"\xff"]
)
def test_refuses_what_is_no_whole_table(data: bytes) -> None:
    with pytest.raises(StoreError, match="install tzdata"):
        parse_leap_seconds(data, "a table")

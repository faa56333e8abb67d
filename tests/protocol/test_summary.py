"""The sealed summary: its bytes, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.streams.summary import Summary

u64 = st.integers(0, 2**64 - 1)


@given(st.lists(u64, min_size=2, max_size=2), st.lists(u64, min_size=2, max_size=2), st.booleans())
def test_decoding_gives_back_what_was_encoded(
    frames: list[int], ticks: list[int], is_final: bool
) -> None:
    first, until = sorted(frames)
    begin, end = sorted(ticks)
    summary = Summary(
        first_frame=first, until_frame=until, from_tick=begin, until_tick=end, is_final=is_final
    )
    assert Summary.decode(summary.encode()) == summary


def test_is_the_map_of_the_protocol() -> None:
    summary = Summary(until_frame=5, from_tick=3, until_tick=9)
    assert cbor.decode(summary.encode()) == {"frames": [0, 5], "ticks": [3, 9], "final": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": [5, 4]}, {"frames": [0]}, {"frames": [0, 1, 2]}, {"frames": [0, True]},
        {"frames": [False, 1]}, {"frames": [0, 1.0]}, {"frames": "ab"}, {"frames": b"ab"},
        {"frames": None}, {"ticks": [9, 3]}, {"ticks": [-1, 3]}, {"ticks": {"from": 1}},
        {"final": 1}, {"final": None}, {"more": 0}, {"final": ...},
    ],
    ids=repr,
)  # fmt: skip
def test_refuses_any_other_map(changes: dict[str, Any]) -> None:
    content = {"frames": [0, 5], "ticks": [3, 9], "final": False} | changes
    encoding = cbor.encode({key: value for key, value in content.items() if value is not ...})
    with pytest.raises(RemoteProtocolError):
        Summary.decode(encoding)


@given(st.binary(max_size=40))
def test_any_bytes_give_one_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Summary.decode(data)


@pytest.mark.parametrize("span", [(-1, 0), (2, 1), (0, 2**64)])
def test_cannot_be_made_out_of_order(span: tuple[int, int]) -> None:
    low, high = span
    with pytest.raises(LocalProtocolError):
        Summary(first_frame=low, until_frame=high, from_tick=0, until_tick=0)
    with pytest.raises(LocalProtocolError):
        Summary(until_frame=0, from_tick=low, until_tick=high)

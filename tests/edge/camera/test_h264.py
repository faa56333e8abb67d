"""Which access units of H.264 can be decoded without the ones before."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.camera.h264 import is_key
from tickseal_edge.camera.stamps import utc_of

from tickseal.host.kernel_clock import boottime_ns

SPS, PPS, SEI, IDR, SLICE = b"\x67\x42", b"\x68\xce", b"\x06\x05", b"\x65\x88", b"\x41\x9a"


def unit(*nals: bytes, start: bytes = b"\0\0\0\1") -> bytes:
    return b"".join(start + nal for nal in nals)


def test_an_idr_makes_a_key_with_and_without_parameters() -> None:
    assert is_key(unit(SPS, PPS, SEI, IDR))
    assert is_key(unit(IDR, start=b"\0\0\1"))


def test_any_other_picture_is_none() -> None:
    assert not is_key(unit(SLICE))
    assert not is_key(unit(SPS, PPS, SLICE))
    assert not is_key(unit(SLICE, IDR)), "an access unit is of one picture"
    assert not is_key(b"")


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    is_key(data)
    is_key(b"\0\0\1" + data)


def test_a_stamp_of_an_unknown_clock_is_now() -> None:
    for stamp_ns in (0, 1 << 62):
        before_ns = boottime_ns()
        assert before_ns <= utc_of(stamp_ns, 5 * 10**18) - 5 * 10**18 <= boottime_ns()


def test_a_stamp_means_the_same_time_however_late_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = 1_000 * 10**9
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _clock: now_ns)
    stamp_ns = now_ns - 5
    assert utc_of(stamp_ns, 10**18) == 10**18 + stamp_ns
    now_ns += 2 * 10**9
    assert utc_of(stamp_ns, 10**18) == 10**18 + stamp_ns

"""What an enrolled device can put into frames that authenticate, and must do no harm by it."""

import cbor2
import pytest

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.payloads.samples import (
    TEXT_LONGEST,
    Sample,
    decode_samples,
    encode_samples,
)
from tickseal.streams.summary import Summary

#: One byte each on the wire, and a list of 64 bytes each in memory.
LISTS = b"\x9a" + (1 << 22).to_bytes(4, "big") + b"\x80" * (1 << 22)
SUMMARY = Summary(until_frame=2**64 - 1, from_tick=2**64 - 2, until_tick=2**64 - 1, is_final=True)


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the decoder is given anything: what it makes of it is in memory by then."""

    def decoded(*_: object) -> None:
        raise AssertionError("the decoder was given a bomb")

    monkeypatch.setattr(cbor2, "load", decoded)
    monkeypatch.setattr(cbor2, "loads", decoded)


@pytest.mark.usefixtures("no_decoder")
def test_samples_of_millions_of_items_are_refused_before_they_take_memory() -> None:
    with pytest.raises(RemoteProtocolError, match="too many items"):
        decode_samples(LISTS)


@pytest.mark.usefixtures("no_decoder")
def test_a_map_of_millions_of_items_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(RemoteProtocolError, match="too many items"):
        cbor.decode(LISTS)


@pytest.mark.usefixtures("no_decoder")
def test_a_summary_as_large_as_a_frame_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbor, "is_plain", lambda _: pytest.fail("it was gone through"))
    with pytest.raises(RemoteProtocolError, match="a summary of"):
        Summary.decode(LISTS)


def test_the_largest_summary_is_read() -> None:
    assert Summary.decode(SUMMARY.encode()) == SUMMARY


def test_the_largest_pack_of_samples_is_read() -> None:
    """10,000 samples, each with all that a sample can have."""
    pack = [
        Sample(
            name=f"n{number}", value=True, unit="Cel", time_ns=1_700_000_000_000_000_000 + number
        )
        for number in range(10_000)
    ]
    assert len(decode_samples(encode_samples(pack))) == len(pack)


# A reading that one output cannot write costs it the whole batch: other devices' readings too.
@pytest.mark.parametrize(
    ("label", "value"),
    [
        (-3, 1e18),  # base time, s: beyond what any calendar has
        (-3, -1e300),
        (6, 1e200),
        (1, "a\nb"),  # unit
        (1, "\x1b[2J"),
        (1, "x" * 33),
        (3, "x" * 1025),  # text
    ],
)
def test_a_sample_that_outputs_cannot_write_is_refused(label: int, value: float | str) -> None:
    record: dict[int, object] = {-3: 1.7e9, 0: "t", 3: "text", label: value}
    with pytest.raises(RemoteProtocolError):
        decode_samples(cbor2.dumps([record], canonical=True))


def test_a_source_is_told_of_a_sample_that_no_sink_takes() -> None:
    for fields in ({"time_ns": 1 << 63}, {"unit": "a\tb"}, {"value": "x" * 1025}):
        with pytest.raises(LocalProtocolError):
            Sample(**{"name": "t", "value": 1.0, "time_ns": 0, **fields})  # type: ignore[arg-type]
    assert Sample(name="t", value="x" * TEXT_LONGEST, time_ns=(1 << 63) - 1)

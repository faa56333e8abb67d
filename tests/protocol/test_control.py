"""Control messages: the classes are the tables of the protocol page; anything else is refused."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import vectors

from tickseal import cbor
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions import control, rules
from tickseal.sessions.control import Message, ReportRow, Role, Unknown, decode, encode
from tickseal.sessions.negotiation import Wish
from tickseal.streams.parameters import Profile

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
KINDS: Mapping[str, type[Message]] = control._BY_NAME

u64 = st.integers(0, 2**64 - 1)
handles = st.integers(1, 2**32 - 1)
letters = st.characters(exclude_categories=("Cc", "Cs"))
ranges = st.tuples(u64, u64).map(lambda pair: (min(pair), max(pair)))
suites = st.lists(st.integers(1, 255), min_size=1, max_size=16, unique=True).map(tuple)
rows = st.builds(ReportRow, st.integers(0, 2**32 - 1), u64, u64, u64, u64)
wishes = st.builds(
    Wish,
    suites=st.just(()) | suites,
    depth=st.none() | st.integers(0, 48),
    hash_length=st.none() | st.integers(8, 32),
    interval_ns=st.none() | st.integers(1000, 86_400 * 10**9),
    profile=st.none() | st.sampled_from(Profile),
)
STRATEGIES = {
    rules.U16: st.integers(0, 65535),
    rules.U32: st.integers(0, 2**32 - 1),
    rules.U64: u64,
    rules.Handle: handles,
    rules.Flag: st.booleans(),
    rules.Name: st.text(letters, min_size=1, max_size=16),
    rules.Text: st.text(letters, max_size=50),
    rules.StreamId: st.text(letters, min_size=1, max_size=32),
    rules.StreamIds: st.lists(
        st.text(letters, min_size=1, max_size=32), max_size=64, unique=True
    ).map(tuple),
    rules.Nodes: st.lists(
        st.tuples(
            st.integers(0, 48), st.integers(0, 2**48 - 1), st.binary(min_size=32, max_size=32)
        ),
        min_size=1,
        max_size=96,
    ).map(tuple),
    rules.Salt: st.binary(min_size=32, max_size=32),
    rules.Confirm: st.binary(min_size=16, max_size=16),
    rules.EncodedMap: st.binary(min_size=1, max_size=1024),
    rules.Blob: st.binary(min_size=1, max_size=100),
    rules.Part: st.binary(max_size=100),
    rules.Range: ranges,
    rules.Suites: suites,
    rules.Discipline: st.sampled_from(ClockDiscipline),
    rules.WishMap: wishes,
    get_type_hints(control.Hello, include_extras=True)["role"]: st.sampled_from(Role),
    get_type_hints(control.Report, include_extras=True)["streams"]: st.lists(rows).map(tuple),
}


def any_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{key: STRATEGIES[hint] for key, hint in hints.items()})


GRANT: dict[str, Any] = {
    "m": "grant", "device": "d", "handle": 1, "metadata": b"m", "parameters": b"p",
    "ticks": [0, 1], "frame_from": 0, "nodes": [[0, 0, bytes(32)]],
}  # fmt: skip
messages = st.sampled_from(sorted(KINDS.values(), key=control.message_name)).flatmap(any_of)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text(letters)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(letters), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def tables_of_the_page() -> dict[str, set[str]]:
    section = PAGE.read_text().split("## 7. Control messages")[1].split("\n## ")[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.fullmatch(r"`(\w+)`", cells[0])
        if name and len(cells) > 2:
            # `wish` explains its own keys behind "map:".
            plain = re.sub(r"map: any of .*", "map", cells[2]).replace("\\|", "")
            found[name[1]] = set(re.findall(r"`(\w+)`", plain))
    return found


def test_the_classes_are_the_tables_of_the_protocol_page() -> None:
    ours = {name: set(get_type_hints(kind)) for name, kind in KINDS.items()}
    assert ours == tables_of_the_page()
    assert len(ours) == 26


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    data = encode(message)
    assert decode(data) == message
    assert cbor.encode(cbor.decode(data)) == data


def test_the_bytes_are_those_of_the_page() -> None:
    ping = control.Ping(n=1, tai=(2, 300), discipline=ClockDiscipline.PTP)
    assert encode(ping) == (
        b"\xa4" b"amdping" b"an\x01" b"ctai\x82\x02\x19\x01\x2c" b"jdisciplinecptp"
    )  # fmt: skip
    assert encode(control.Stored()) == b"\xa1amfstored"


def test_the_golden_messages_are_taken_and_the_others_are_not() -> None:
    golden = vectors("control")
    for row in golden["accepted"]:
        data = bytes.fromhex(row["encoding"])
        assert encode(decode(data)) == data  # type: ignore[arg-type]
    for row in golden["ignored"]:
        assert decode(bytes.fromhex(row["encoding"])) == Unknown()
    for row in golden["refused"]:
        with pytest.raises(RemoteProtocolError):
            decode(bytes.fromhex(row["encoding"]))


def test_a_grant_does_not_show_its_secrets() -> None:
    grant = decode(cbor.encode({**GRANT, "nodes": [[0, 0, b"s" * 32]]}))
    assert "sss" not in repr(grant)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_one_error(data: bytes) -> None:
    try:
        decode(data)
    except RemoteProtocolError:
        pass


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_values_give_a_message_or_one_error(name: str, data: st.DataObject) -> None:
    content = {key: data.draw(values) for key in get_type_hints(KINDS[name])}
    try:
        message = decode(cbor.encode({**content, "m": name}))
    except RemoteProtocolError:
        return
    assert decode(encode(message)) == message  # type: ignore[arg-type]


@given(messages, st.data())
def test_refuses_a_key_too_many_and_a_key_too_few(message: Message, data: st.DataObject) -> None:
    content = cbor.decode_map(encode(message))
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode({**content, "extra": 1}))
    del content[data.draw(st.sampled_from(sorted(content)))]
    if content.get("m") != "stored":
        with pytest.raises(RemoteProtocolError):
            decode(cbor.encode(content))


@pytest.mark.parametrize(
    "content",
    [
        {"m": "rekey", "handle": 0},
        {"m": "rekey", "handle": 2**32},
        {"m": "rekey", "handle": True},
        {"m": "rekey", "handle": 1.0},
        {"m": "bye", "reason": "a\nb"},
        {"m": "bye", "reason": "x" * 201},
        {"m": "bye", "reason": b"bytes"},
        {"m": "ping", "n": 0, "tai": [2, 1], "discipline": "ptp"},
        {"m": "ping", "n": 0, "tai": [1], "discipline": "ptp"},
        {"m": "ping", "n": 0, "tai": [1, 2], "discipline": "sundial"},
        {"m": "ping", "n": -1, "tai": [1, 2], "discipline": "ptp"},
        {"m": "report", "streams": [[1, 2, 3, 4]]},
        {"m": "report", "streams": [[1, 2, 3, 4, -5]]},
        {"m": "report", "streams": [[1, 2, 3, 4, 5]] * 257},
        {"m": "subscribe", "streams": ["a", "a"]},
        {"m": "subscribe", "streams": [""]},
        {"m": "subscribe", "streams": [1]},
        {"m": "subscribe", "streams": [str(n) for n in range(65)]},
        {**GRANT, "nodes": []},
        {**GRANT, "nodes": [[0, 0, bytes(32)]] * 97},
        {**GRANT, "nodes": [[0, 0]]},
        {**GRANT, "nodes": [[49, 0, bytes(32)]]},
        {**GRANT, "nodes": [[0, 2**48, bytes(32)]]},
        {**GRANT, "nodes": [[0, 0, bytes(33)]]},
        {**GRANT, "nodes": [[0, 0, "x" * 32]]},
        {**GRANT, "nodes": [[True, 0, bytes(32)]]},
        {**GRANT, "nodes": [7]},
        {**GRANT, "nodes": 7},
        {"m": "open", "metadata": b"x", "wish": {"suites": []}},
        {"m": "open", "metadata": b"x", "wish": {"suites": [[]]}},
        {"m": "open", "metadata": b"x", "wish": {"suites": [1, 1]}},
        {"m": "open", "metadata": b"x", "wish": {"t0": 0}},
        {"m": "open", "metadata": b"x", "wish": {"depth": None}},
        {"m": "open", "metadata": b"", "wish": {}},
        {"handle": 1},
        {"m": 7},
        {"m": None},
    ],
    ids=str,
)
def test_refuses_values_out_of_range(content: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode(content))


def test_refuses_hello_with_suites_that_are_no_numbers() -> None:
    hello: dict[str, Any] = {"m": "hello", "role": "source", "name": "n", "software": "s"}
    hello |= {"tai": [1, 2], "discipline": "ntp"}
    for wrong in ([[1]], [{}], [True], [0], [256], [1, 1], list(range(1, 18)), [], "1", None):
        with pytest.raises(RemoteProtocolError):
            decode(cbor.encode({**hello, "suites": wrong}))
    assert isinstance(decode(cbor.encode({**hello, "suites": [1, 200]})), control.Hello)


def test_refuses_cbor_that_is_not_deterministic() -> None:
    assert decode(b"\xa1amfstored") == control.Stored()
    for data in (b"\xa1ax\x01", b"\xb8\x01amfstored", b"\xbfamfstored\xff", b"\xa1amxfstored"):
        with pytest.raises(RemoteProtocolError):
            decode(data)


def test_a_message_of_a_later_version_is_unknown_and_not_an_error() -> None:
    assert decode(cbor.encode({"m": "teleport", "anything": [1, 2]})) == Unknown()


def test_refuses_a_message_over_16384_bytes() -> None:
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode({"m": "teleport", "padding": bytes(16_384)}))
    widest = control.Grant(
        device="d" * 200, handle=1, metadata=bytes(1024), parameters=bytes(1024),
        ticks=(0, 2**64 - 1), frame_from=0, nodes=((48, 2**48 - 1, bytes(32)),) * 96,
    )  # fmt: skip
    assert decode(encode(widest)) == widest
    longest = control.Report(streams=(ReportRow(2**32 - 1, *[2**64 - 1] * 4),) * 256)
    assert decode(encode(longest)) == longest


def test_an_invalid_message_cannot_be_made() -> None:
    with pytest.raises(LocalProtocolError, match=r"rekey: handle must be 1\.\.4294967295"):
        control.Rekey(handle=0)
    with pytest.raises(LocalProtocolError):
        control.Bye(reason="two\nlines")


def test_a_clock_reading_survives() -> None:
    now = ClockInterval(earliest_ns=5, latest_ns=9, discipline=ClockDiscipline.PPS)
    ping = control.Ping(n=0, tai=control.tai(now), discipline=now.discipline)
    assert control.clock_of(ping) == now

"""A token is read as it was written, or refused with one line that says what to do."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import cbor
from tickseal.core.errors import EnrolmentError
from tickseal.invite import InviteToken, split_address

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "invite.json").read_text())
INVITE = InviteToken(
    addresses=("gateway.local:4460",),
    gateway_public=b"g" * 32,
    hybrid=True,
    invite_id=b"invite#1",
    secret=b"s" * 32,
)
FIELDS: dict[str, Any] = {
    "a": ["gateway.local:4460"],
    "g": b"g" * 32,
    "h": True,
    "i": b"invite#1",
    "s": b"s" * 32,
}


def token_of(value: Any) -> str:
    """Return a token with the right checksum around any CBOR value, or any bytes."""
    body = value if isinstance(value, bytes) else cbor.encode(value)
    whole = body + hashlib.sha256(body).digest()[:4]
    return "tks1_" + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def refusal_of(text: str) -> str:
    with pytest.raises(EnrolmentError) as caught:
        InviteToken.parse(text)
    line = str(caught.value)
    assert "\n" not in line
    assert "ssss" not in line
    return line


hosts = st.one_of(
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map("[{}]".format),
)
addresses = st.tuples(hosts, st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}")
invites = st.builds(
    InviteToken,
    addresses=st.lists(addresses, min_size=1, max_size=8).map(tuple),
    gateway_public=st.binary(min_size=32, max_size=32),
    hybrid=st.booleans(),
    invite_id=st.binary(min_size=8, max_size=8),
    secret=st.binary(min_size=32, max_size=32),
)


@given(invites)
def test_a_token_is_read_as_it_was_written(invite: InviteToken) -> None:
    token = invite.encode()
    assert InviteToken.parse(token) == invite
    assert InviteToken.parse(f"  {token}\r\n") == invite


@given(invites, st.data())
def test_one_wrong_letter_is_always_noticed(invite: InviteToken, data: st.DataObject) -> None:
    token = invite.encode()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(exclude_characters=token[place]))
    typo = token[:place] + letter + token[place + 1 :]
    # White space at an end is no part of a token: the rest is then cut off.
    assert refusal_of(typo)


@given(invites, st.data())
def test_a_token_cut_off_anywhere_is_refused(invite: InviteToken, data: st.DataObject) -> None:
    token = invite.encode()
    assert refusal_of(token[: data.draw(st.integers(0, len(token) - 1))])


@given(st.one_of(st.text(), st.text().map("tks1_".__add__), st.binary(max_size=200).map(token_of)))
def test_any_text_gives_a_value_or_one_line(text: str) -> None:
    try:
        invite = InviteToken.parse(text)
    except EnrolmentError as error:
        assert "\n" not in str(error)
    else:
        assert invite.encode() == text.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("hello", "starts with tks1_"),
        ("TKS1_abc", "starts with tks1_"),
        ("tks2_abc", "update tickseal"),
        ("tks1_" + "A" * 5000, "5005 characters"),
        ("tks1_abc def", "place 9"),
        ("tks1_abcé", "place 9"),
        (INVITE.encode() + "=", "wrong character"),
        (INVITE.encode()[:30] + "\n" + INVITE.encode()[30:], "place 31"),
        ("tks1_", "cut off"),
        ("tks1_A", "cut off"),
        (INVITE.encode()[:-1], "cut off"),
        (INVITE.encode()[:-20], "cut off"),
        (INVITE.encode().replace("Z", "z", 1), "typo"),
    ],
    ids=lambda text: text[:20],
)
def test_says_which_way_a_token_is_broken(text: str, said: str) -> None:
    assert said in refusal_of(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": []}, "0 addresses"),
        ({"a": ["host:1"] * 9}, "9 addresses"),
        ({"a": [1]}, "not text"),
        ({"a": "host:1"}, "wrong type"),
        ({"a": ["host"]}, "'host' is not an address"),
        ({"g": bytes(31)}, "gateway key has 31 bytes"),
        ({"g": "g" * 32}, "wrong type"),
        ({"h": 1}, "wrong type"),
        ({"i": bytes(9)}, "id has 9 bytes"),
        ({"s": b"s" * 33}, "secret has 33 bytes"),
        ({"more": 1}, "other fields"),
    ],
    ids=lambda change: str(change)[:25],
)
def test_says_which_field_is_wrong(change: dict[str, Any], said: str) -> None:
    assert InviteToken.parse(token_of(FIELDS)) == INVITE
    assert said in refusal_of(token_of(FIELDS | change))


@pytest.mark.parametrize("value", [[], b"\xff", b"\xa0\xa0", b"\xbf\xff", {}], ids=repr)
def test_refuses_a_body_that_is_not_the_one_map(value: Any) -> None:
    assert "ask for a new invite" in refusal_of(token_of(value))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("gateway.local:4460", ("gateway.local", 4460)),
        ("192.0.2.7:1", ("192.0.2.7", 1)),
        ("[2001:db8::7]:65535", ("2001:db8::7", 65535)),
        ("[fe80::1%eth0]:4460", ("fe80::1%eth0", 4460)),
    ],
)
def test_splits_an_address(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    ["", ":1", "host", "host:", "host:0", "host:65536", "host:٣", "2001:db8::7:1",
     "[host]:1", "a b:1", "-host:1", "host:1\n", "h" * 254 + ":1", "https://host:1"],
)  # fmt: skip
def test_refuses_what_is_not_an_address(address: str) -> None:
    with pytest.raises(EnrolmentError, match="is not an address"):
        split_address(address)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = split_address(text)
    except EnrolmentError:
        return
    assert host in text
    assert 1 <= port <= 65535


def test_an_invalid_invite_cannot_exist() -> None:
    for change in (
        {"addresses": ()},
        {"addresses": ("host",)},
        {"gateway_public": b""},
        {"invite_id": b""},
        {"secret": b""},
    ):
        with pytest.raises(EnrolmentError):
            replace(INVITE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("accepted", VECTOR["accepted"], ids=lambda one: one["map"]["a"][0])
def test_gives_the_golden_tokens_and_reads_them(accepted: dict[str, Any]) -> None:
    invite = InviteToken.parse(accepted["token"])
    assert invite.encode() == accepted["token"]
    assert list(invite.addresses) == accepted["map"]["a"]
    assert invite.hybrid == accepted["map"]["h"]
    for key, value in (
        ("g", invite.gateway_public), ("i", invite.invite_id), ("s", invite.secret)
    ):  # fmt: skip
        assert value.hex() == accepted["map"][key]["$bytes"]


@pytest.mark.parametrize("refused", VECTOR["refused"], ids=lambda one: one["why"])
def test_refuses_the_golden_wrong_tokens(refused: dict[str, str]) -> None:
    assert refusal_of(refused["token"])


def test_says_nothing_secret() -> None:
    assert "ssss" not in repr(INVITE)
    assert "gateway.local" in repr(INVITE)

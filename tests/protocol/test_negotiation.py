"""What is granted lies within the policy; a device refuses what lies outside its own."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import cbor
from tickseal.clock import ClockInterval
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions.negotiation import (
    AcceptancePolicy,
    NegotiationError,
    NegotiationPolicy,
    Span,
    Wish,
    clamp,
    pick_generation,
    pick_handle,
)
from tickseal.streams.parameters import TABLE, Profile, Renewal, StreamParameters, Suite

SECOND = 10**9
NOW = ClockInterval(earliest_ns=1_700_000_000 * SECOND + 7, latest_ns=1_700_000_001 * SECOND)
BOUNDS = {name: Span(low, high) for _, name, low, high in TABLE}
SPANS = ("depth", "epoch_bits", "frame_bytes", "hash_length", "interval_ns", "past_ns",
         "segment_bytes", "skew_ns")  # fmt: skip


def within(name: str) -> st.SearchStrategy[int]:
    return st.integers(*BOUNDS[name])


def some(kind: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(kind), min_size=1, unique=True).map(tuple)


wishes = st.builds(
    Wish,
    suites=st.lists(st.integers(1, 6), min_size=1, max_size=6, unique=True).map(tuple),
    profile=st.none() | st.sampled_from(Profile),
    renewal=st.none() | st.sampled_from(Renewal),
    **{name: st.none() | within(name) for name in SPANS},
)
policies = st.builds(
    NegotiationPolicy,
    suites=some(Suite),
    profiles=some(Profile),
    renewals=some(Renewal),
    **{
        name: st.tuples(within(name), within(name)).map(lambda ends: Span(*sorted(ends)))
        for name in SPANS
        # frame_bytes is cut to what the header can number, and so may have to leave its span.
        if name != "frame_bytes"
    },
)


@given(wishes, policies)
def test_what_is_granted_is_allowed_and_nearest_to_the_wish(
    wish: Wish, policy: NegotiationPolicy
) -> None:
    try:
        granted = clamp(wish, policy, now=NOW, generation=7)
    except NegotiationError as refusal:
        no_suite = not set(policy.suites) & set(wish.suites)
        no_profile = wish.profile is not None and wish.profile not in policy.profiles
        assert {"suite": no_suite, "profile": no_profile}[refusal.reason]
        return
    policy.check(granted)
    assert granted.generation == 7
    assert granted.suite == next(suite for suite in policy.suites if suite in wish.suites)
    for name in ("profile", "renewal", *SPANS):
        wished = getattr(wish, name)
        if wished is None or name == "frame_bytes":
            continue
        allowed = getattr(policy, {"profile": "profiles", "renewal": "renewals"}.get(name, name))
        assert (getattr(granted, name) == wished) is (wished in allowed)


def test_t0_is_the_whole_second_at_or_before_the_earliest() -> None:
    wish = Wish(suites=(Suite.AES_256_GCM,))
    assert clamp(wish, NegotiationPolicy(), now=NOW, generation=1).t0_ns == NOW.earliest_ns - 7


def test_what_is_not_wished_is_the_default() -> None:
    granted = clamp(Wish(suites=(1,)), NegotiationPolicy(), now=NOW, generation=1)
    assert granted == StreamParameters(t0_ns=granted.t0_ns, generation=1)


def test_the_controllers_order_of_suites_decides_among_what_the_device_offers() -> None:
    policy = NegotiationPolicy(suites=(Suite.CHACHA20_POLY1305, Suite.AES_256_GCM))
    wish = Wish(suites=(Suite.AES_256_GCM, 77, Suite.CHACHA20_POLY1305))
    assert clamp(wish, policy, now=NOW, generation=1).suite is Suite.CHACHA20_POLY1305
    with pytest.raises(NegotiationError, match="none of the suites"):
        clamp(Wish(suites=(77, Suite.AES_128_CCM_8)), policy, now=NOW, generation=1)


def test_a_compact_stream_gets_frames_that_its_header_can_number() -> None:
    wish = Wish(suites=(1,), profile=Profile.COMPACT, segment_bytes=100)
    assert clamp(wish, NegotiationPolicy(), now=NOW, generation=1).frame_bytes == 25_600


def test_no_tree_only_where_the_policy_says_so() -> None:
    wish = Wish(suites=(1,), depth=0)
    assert clamp(wish, NegotiationPolicy(), now=NOW, generation=1).depth == 16
    lax = NegotiationPolicy(depth=Span(0, 48))
    assert clamp(wish, lax, now=NOW, generation=1).depth == 0


@given(wishes)
def test_a_wish_comes_back_as_it_was(wish: Wish) -> None:
    assert Wish.from_wire(cbor.decode(cbor.encode(wish.to_wire()))) == wish


@given(st.dictionaries(
    st.sampled_from([row[0] for row in TABLE] + ["suites", "x"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
    | st.lists(st.lists(st.integers())),
))  # fmt: skip
def test_any_map_gives_a_wish_or_one_error(value: Any) -> None:
    try:
        wish = Wish.from_wire(value)
    except RemoteProtocolError:
        return
    assert wish.to_wire() == value


GRANTED = StreamParameters(t0_ns=0, generation=1)


@pytest.mark.parametrize(
    "change",
    [
        {"suite": Suite.AES_128_CCM_8},
        {"profile": Profile.COMPACT, "frame_bytes": 1000},
        {"renewal": Renewal.EVERY_INTERVAL},
        {"hash_length": 15},
        {"depth": 0},
        {"interval_ns": 999_999},
        {"interval_ns": 3600 * SECOND + 1},
        {"past_ns": 60 * SECOND + 1},
        {"skew_ns": 10 * SECOND + 1},
    ],
    ids=str,
)
def test_a_device_refuses_what_its_own_policy_does_not_allow(change: dict[str, Any]) -> None:
    policy = AcceptancePolicy(renewals=(Renewal.EVERY_FRAME,))
    policy.check(GRANTED)
    with pytest.raises(NegotiationError) as refusal:
        policy.check(replace(GRANTED, **change))
    assert refusal.value.reason == "policy"


def test_a_device_refuses_a_suite_that_it_did_not_offer_this_time() -> None:
    with pytest.raises(NegotiationError, match="not offered"):
        AcceptancePolicy().check(GRANTED, offered=(Suite.CHACHA20_POLY1305,))


@given(st.sets(st.integers(0, 2**64 - 1), max_size=20), st.binary(min_size=8, max_size=8))
def test_a_generations_low_bits_are_its_own(held: set[int], seed: bytes) -> None:
    number = pick_generation(lambda size: seed[:size], held)
    assert number & 0xFF not in {other & 0xFF for other in held}
    assert 0 < number < 2**64


@given(st.sets(st.integers(0, 2**32 - 1), max_size=200), st.binary(min_size=4, max_size=4))
def test_a_handles_low_bits_are_its_own_on_its_link(taken: set[int], seed: bytes) -> None:
    handle = pick_handle(lambda size: seed[:size], taken)
    assert handle not in taken
    assert 0 < handle < 2**32
    if len({other & 0xFF for other in taken}) < 256:
        compact = pick_handle(lambda size: seed[:size], taken, Profile.COMPACT)
        assert compact & 0xFF not in {other & 0xFF for other in taken}


def test_says_so_when_the_header_can_tell_no_more_apart() -> None:
    with pytest.raises(LocalProtocolError):
        pick_generation(bytes, range(16), Profile.COMPACT)
    with pytest.raises(LocalProtocolError):
        pick_handle(bytes, range(256), Profile.COMPACT)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NegotiationPolicy(suites=()),
        lambda: NegotiationPolicy(depth=Span(5, 4)),
        lambda: NegotiationPolicy(depth=Span(0, 49)),
        lambda: AcceptancePolicy(profiles=()),
        lambda: AcceptancePolicy(hash_min=7),
        lambda: Wish(depth=49),
        lambda: Wish(depth=True),
        lambda: Wish(suites=(1, 1)),
    ],
)
def test_an_impossible_policy_or_wish_cannot_exist(make: Any) -> None:
    with pytest.raises(LocalProtocolError):
        make()

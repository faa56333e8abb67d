"""The life of a device at its gateway, from the invite to its revocation."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickseal import primitives
from tickseal.clock import ClockDiscipline
from tickseal.core import keyschedule
from tickseal.core.errors import LocalProtocolError
from tickseal.handshake import REFUSAL_REASONS
from tickseal.invite import InviteToken
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.events import CloseReason
from tickseal.sessions.negotiation import Wish
from tickseal.sessions.outbox import CONTROL_MAX_BYTES, TAKE_BYTES
from tickseal.sessions.session import State
from tickseal.sessions.source_session import Credentials
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.offline import OfflineGeneration, seal_offline_generation
from tickseal.streams.parameters import StreamParameters

SECOND = 10**9
ROW = control.ReportRow(0xA1B2C3D4, 101, 5, 5, 0)


def key_hashes(generation: Generation) -> list[bytes]:
    keys = (
        keyschedule.frame_key(primitives, generation.walker.secret(tick), tick, tick + 1)
        for tick in (0, 1, 77)
    )
    return [keyschedule.key_hash(primitives, key, 16) for key in keys]


@pytest.mark.parametrize("hybrid", [False, True], ids=["classical", "hybrid"])
def test_enrol_open_rekey_report_revoke(conversation: Any, hybrid: bool) -> None:
    invite = InviteToken(
        addresses=("shed:4711",),
        gateway_public=conversation.GATEWAY_PUBLIC,
        hybrid=hybrid,
        invite_id=b"invite#1",
        secret=conversation.PSK,
    )
    first = conversation(Credentials.from_invite(invite, private_key=conversation.DEVICE)).talk()
    request = first.one(first.controller, ev.HandshakeRequested)
    assert request.static_public == primitives.x25519_public(conversation.DEVICE)
    assert (request.invite_id, request.hybrid) == (b"invite#1", hybrid)
    enrolled = first.one(first.source, ev.Enrolled)
    assert enrolled.device == "porch-1"
    psk = enrolled.device_psk
    assert psk == first.one(first.controller, ev.SessionStarted).device_psk != invite.secret
    first.one(first.controller, ev.DeviceStored)
    first.open()
    started = first.one(first.source, ev.GenerationStarted)
    assert key_hashes(started.generation) == key_hashes(first.granted[0])

    pinned = Credentials(
        private_key=conversation.DEVICE,
        gateway_key=conversation.GATEWAY_PUBLIC,
        psk=psk,
        hybrid=hybrid,
    )
    later = conversation(pinned)
    later.decide = lambda _: later.controller.accept(psk)
    later.talk()
    welcomed = later.one(later.source, ev.Welcomed)
    assert (welcomed.gateway, welcomed.udp_port) == ("shed", 4711)
    session_started = later.one(later.controller, ev.SessionStarted)
    assert (session_started.hello.name, session_started.hello.suites) == ("porch", (1, 2))
    assert session_started.device_psk is None

    later.open()
    later.controller.rekey(later.HANDLE)
    later.talk()
    assert later.one(later.source, ev.RekeyRequested).stream_id == later.STREAM.id
    later.open()
    ours = [event.generation for event in later.seen(later.source, ev.GenerationStarted)]
    assert [generation.number for generation in ours] == [100, 101]
    assert list(map(key_hashes, ours)) == list(map(key_hashes, later.granted))
    assert not set(key_hashes(ours[0])) & set(key_hashes(ours[1]))

    later.controller.report([ROW] * 300)
    later.talk()
    assert [len(e.rows) for e in later.seen(later.source, ev.Reported)] == [256, 44]

    later.controller.revoke()
    later.talk()
    later.one(later.source, ev.Revoked)
    assert later.end(later.source) is CloseReason.REVOKED
    assert later.controller.is_closed


def test_no_secret_shows() -> None:
    credentials = Credentials(
        private_key=b"k" * 32, gateway_key=b"g" * 32, psk=b"p" * 32, hybrid=False
    )
    for shown in (
        repr(credentials),
        repr(ev.Enrolled(device="d", device_psk=b"p" * 32)),
        str(ev.Enrolled(device="d", device_psk=b"p" * 32)),
    ):
        assert "kkk" not in shown
        assert "ppp" not in shown


@pytest.mark.parametrize("reason", REFUSAL_REASONS)
def test_a_refusal_reaches_the_device_with_its_reason(conversation: Any, reason: str) -> None:
    pair = conversation()
    pair.decide = lambda _: pair.controller.refuse(reason)
    pair.talk()
    assert pair.one(pair.source, ev.HandshakeRefused).reason == reason
    assert pair.end(pair.source) is CloseReason.REFUSED
    assert pair.controller.is_closed


def test_a_stream_can_be_refused_and_asked_for_again(conversation: Any) -> None:
    pair = conversation().talk()
    pair.grant = lambda request: pair.controller.refuse_stream(
        request.metadata.id, "suite", "none of yours"
    )
    pair.open().open()
    refused = pair.seen(pair.source, ev.StreamRefused)
    assert [(e.stream_id, e.reason) for e in refused] == [(pair.STREAM.id, "suite")] * 2
    assert not pair.seen(pair.source, ev.GenerationStarted)


def test_a_grant_that_cannot_be_made_uses_nothing_up(conversation: Any) -> None:
    pair = conversation().talk()
    usual = pair.grant

    def grant(request: ev.OpenRequested) -> None:
        parameters = StreamParameters(t0_ns=0, generation=1)
        for handle, salt in ((0, bytes(32)), (1, bytes(31))):
            with pytest.raises(LocalProtocolError):
                pair.controller.grant_stream(
                    request.metadata.id, parameters, handle=handle, salt=salt
                )
        usual(request)

    pair.grant = grant
    pair.open()
    pair.one(pair.source, ev.GenerationStarted)


def test_a_wish_without_suites_stands_for_those_of_hello(conversation: Any) -> None:
    pair = conversation().talk()
    pair.inject(pair.controller, control.Open(metadata=pair.STREAM.encode(), wish=Wish(depth=20)))
    assert pair.one(pair.controller, ev.OpenRequested).wish == Wish(depth=20, suites=(1, 2))


def test_a_stream_is_not_asked_for_twice_at_a_time(conversation: Any) -> None:
    pair = conversation().talk()
    assert pair.source.open_stream(pair.STREAM, Wish()) is True
    assert pair.source.open_stream(pair.STREAM, Wish()) is False
    assert pair.source.open_stream(StreamMetadata(id="other", type="t"), Wish()) is True


def test_bye_comes_last(conversation: Any) -> None:
    pair = conversation().talk().open()
    pair.controller.send_stored_until(pair.HANDLE, 100, 7)
    pair.controller.close("restart")
    pair.talk()
    assert pair.at_source[-2:] == [
        ev.StoredUntil(handle=pair.HANDLE, generation=100, frame_until=7),
        ev.SessionClosed(reason=CloseReason.BYE, detail="restart"),
    ]
    assert pair.source.receive(b"anything", pair.now(pair.source), 0) == []
    assert pair.source.on_deadline(pair.now(pair.source), 10**12) == []
    assert pair.source.data_to_send() == b""


def test_what_is_done_too_early_or_too_late_is_said_to_the_caller(conversation: Any) -> None:
    pair = conversation()
    for early in (
        lambda: pair.source.open_stream(pair.STREAM, Wish()),
        lambda: pair.source.send_segments([b"x"]),
        lambda: pair.source.offer(b"x"),
        lambda: pair.source.alarm("fire"),
        pair.source.confirm_stored,
        lambda: pair.controller.accept(pair.PSK),
        lambda: pair.controller.refuse("busy"),
        lambda: pair.controller.rekey(1),
    ):
        with pytest.raises(LocalProtocolError):
            early()
    pair.talk()
    with pytest.raises(LocalProtocolError):
        pair.controller.answer_offer(1, 2, accepted=True)
    with pytest.raises(LocalProtocolError):
        pair.controller.refuse_stream("never asked for", "policy")
    pair.controller.close()
    with pytest.raises(LocalProtocolError):
        pair.controller.report([ROW])
    pair.controller.close()
    pair.controller.revoke()


def test_only_a_device_with_an_invite_is_enrolled(conversation: Any) -> None:
    pair = conversation()
    with pytest.raises(LocalProtocolError, match="shows an invite"):
        pair.decide = lambda _: pair.controller.accept(pair.PSK, enrolling="porch-1")
        pair.talk()
    pair = conversation(replace(conversation.CREDENTIALS, invite_id=b"invite#1"))
    with pytest.raises(LocalProtocolError, match="shows an invite"):
        pair.decide = lambda _: pair.controller.accept(pair.PSK)
        pair.talk()


def test_an_enrolling_device_opens_nothing_before_its_identity_is_stored(conversation: Any) -> None:
    pair = conversation(replace(conversation.CREDENTIALS, invite_id=b"invite#1"))
    pair.source.confirm_stored = lambda: None
    pair.talk()
    assert pair.source.state is pair.controller.state is State.STORING
    with pytest.raises(LocalProtocolError):
        pair.source.open_stream(pair.STREAM, Wish())
    pair.wait(5)
    assert pair.source.state is State.STORING
    pair.inject(pair.controller, control.Open(metadata=pair.STREAM.encode(), wish=Wish()))
    assert pair.end(pair.controller) is CloseReason.PROTOCOL


# --- Data and backfill on the control connection ---


def test_live_segments_overtake_backfill_and_pings_overtake_both(conversation: Any) -> None:
    pair = conversation().talk().open()
    pair.source.announce_backfill(pair.HANDLE, 100, ticks=(1, 2), frames=(3, 4))
    old = [bytes([n]) * 60_000 for n in range(10)]
    assert pair.source.send_segments(old, backfill=True) == 4
    assert pair.source.refused_segments == 6
    pair.source.finish_backfill(pair.HANDLE, 100)
    assert pair.source.send_segments([b"live"]) == 1
    pair.monotonic_ns += 3 * SECOND
    pair.source.on_deadline(pair.now(pair.source), pair.monotonic_ns)
    pair.at_controller.clear()

    head = pair.source.data_to_send()
    assert len(head) <= TAKE_BYTES + 65_537 + 100
    pair.give(pair.controller, head)
    assert pair.controller.data_to_send(), "the ping is answered before the backfill is through"
    pair.talk()
    first, announced, *middle, finished = pair.at_controller
    assert [bytes(segment) for segment in first.segments] == [b"live"]
    assert announced == ev.BackfillAnnounced(
        handle=pair.HANDLE, generation=100, ticks=(1, 2), frames=(3, 4)
    )
    assert [bytes(s) for event in middle for s in event.segments] == old[:4]
    assert finished == ev.BackfillFinished(handle=pair.HANDLE, generation=100)
    assert pair.source.send_segments(old[4:], backfill=True) == 4


def test_closing_drops_the_segments_that_wait(conversation: Any) -> None:
    pair = conversation().talk().open()
    pair.source.send_segments([b"live"])
    pair.source.announce_backfill(pair.HANDLE, 100, ticks=(1, 2), frames=(3, 4))
    pair.source.close()
    words = pair.source.data_to_send()
    assert b"live" not in words
    assert pair.source.data_to_send() == b""
    pair.give(pair.controller, words)
    assert pair.end(pair.controller) is CloseReason.BYE


def offer(pair: Any, **changes: Any) -> bytes:
    parameters = StreamParameters(t0_ns=pair.START_NS, generation=changes.pop("generation", 555))
    generation = OfflineGeneration(
        handle=pair.HANDLE,
        metadata=pair.STREAM.encode(),
        parameters=parameters.encode(),
        salt=b"s" * 32,
        secret=b"i" * 32,
    )
    keys = {"private": pair.DEVICE, "gateway_public": pair.GATEWAY_PUBLIC, "psk": pair.PSK}
    return seal_offline_generation(generation, **(keys | changes), random_bytes=random.randbytes)


def test_an_offline_generation_opens_at_the_gateway(conversation: Any) -> None:
    pair = conversation().talk()
    pair.source.offer(offer(pair))
    pair.talk()
    offered = pair.one(pair.controller, ev.OfflineGenerationOffered)
    assert (offered.handle, offered.generation.number) == (pair.HANDLE, 555)
    alone = Generation.derive(
        pair.STREAM,
        StreamParameters(t0_ns=pair.START_NS, generation=555),
        initial_secret=b"i" * 32,
        salt=b"s" * 32,
        handle=pair.HANDLE,
    )
    assert key_hashes(offered.generation) == key_hashes(alone)
    pair.controller.answer_offer(pair.HANDLE, 555, accepted=True)
    pair.talk()
    assert pair.one(pair.source, ev.OfferAnswered) == ev.OfferAnswered(
        handle=pair.HANDLE, generation=555, accepted=True, reason=""
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"psk": b"q" * 32},
        {"private": b"x" * 32},
        {"gateway_public": primitives.x25519_public(b"y" * 32)},
    ],
    ids=["another PSK", "another device", "another gateway"],
)
def test_an_offer_that_cannot_be_read_is_answered_and_is_not_the_end(
    conversation: Any, changes: dict[str, Any]
) -> None:
    pair = conversation().talk()
    pair.source.offer(offer(pair, **changes))
    pair.talk()
    answer = pair.one(pair.source, ev.OfferAnswered)
    assert (answer.handle, answer.accepted, answer.reason) == (0, False, "unreadable")
    assert not pair.source.is_closed
    assert not pair.seen(pair.controller, ev.OfflineGenerationOffered)


# --- Cuts, and what does not drain ---


@settings(max_examples=15)
@given(chance=st.randoms(use_true_random=False))
def test_however_the_bytes_are_cut_the_same_happens(
    conversation: Any, chance: random.Random
) -> None:
    def cut(data: bytes) -> Iterator[bytes]:
        while data:
            size = chance.choice([1, 2, 3, 50, len(data)])
            yield data[:size]
            data = data[size:]

    def live(pair: Any) -> list[str]:
        pair.talk().open()
        pair.source.announce_backfill(pair.HANDLE, 100, ticks=(1, 2), frames=(3, 4))
        pair.source.send_segments([b"old"], backfill=True)
        pair.source.finish_backfill(pair.HANDLE, 100)
        pair.source.send_segments([b"new", b"newer"])
        pair.talk().wait(5)
        pair.source.close_stream(pair.HANDLE, 100)
        pair.source.close()
        pair.talk()
        return [
            repr(
                [bytes(s) for s in event.segments]
                if isinstance(event, ev.SegmentsReceived)
                else event
            )
            for event in pair.at_source + pair.at_controller
        ]

    whole, pieces = conversation(), conversation()
    pieces.cut = cut
    assert live(whole) == live(pieces)


def test_a_peer_that_does_not_read_is_given_up(conversation: Any) -> None:
    pair = conversation().talk()
    ping = control.Ping(n=0, tai=(1, 2), discipline=ClockDiscipline.NTP)
    for _ in range(CONTROL_MAX_BYTES // len(control.encode(ping)) + 2):
        pair.inject(pair.controller, ping)
    assert pair.end(pair.controller) is CloseReason.OVERFLOW


def test_a_device_that_does_not_wait_for_answers_is_given_up(conversation: Any) -> None:
    def twice(pair: Any, n: int) -> control.Message:
        return control.Open(metadata=pair.STREAM.encode(), wish=Wish())

    def opens(pair: Any, n: int) -> control.Message:
        return control.Open(metadata=StreamMetadata(id=str(n), type="t").encode(), wish=Wish())

    def offer_twice(pair: Any, n: int) -> control.Message:
        return control.Offer(blob=offer(pair))

    def offers(pair: Any, n: int) -> control.Message:
        return control.Offer(blob=offer(pair, generation=n))

    for make, most in ((twice, 1), (opens, 64), (offer_twice, 1), (offers, 64)):
        pair = conversation().talk()
        pair.grant = lambda request: None
        for n in range(most):
            pair.inject(pair.controller, make(pair, n))
            assert not pair.controller.is_closed
        pair.inject(pair.controller, make(pair, most))
        assert pair.end(pair.controller) is CloseReason.PROTOCOL

"""What anybody between, or a hostile peer, can do to a session: end it, and nothing else."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickseal import primitives
from tickseal.clock import ClockDiscipline
from tickseal.core.errors import LocalProtocolError
from tickseal.handshake import REFUSAL_PSK, Initiator, Responder
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import ReportRow, Role
from tickseal.sessions.events import CloseReason
from tickseal.sessions.negotiation import Wish
from tickseal.sessions.records import RecordType, encode_record
from tickseal.sessions.session import State
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters, Suite

NTP = ClockDiscipline.NTP
OPENED = control.Opened(
    stream="porch/temperature",
    handle=0xA1B2C3D4,
    generation=100,
    parameters=StreamParameters(t0_ns=0, generation=100).encode(),
    salt=bytes(32),
    confirm=bytes(16),
)
GRANT = control.Grant(
    device="d",
    handle=1,
    metadata=StreamMetadata(id="s", type="t").encode(),
    parameters=StreamParameters(t0_ns=0, generation=2, depth=4).encode(),
    ticks=(0, 2),
    frame_from=0,
    nodes=((1, 0, bytes(32)),),
)
EXAMPLES: list[control.Message] = [
    control.Hello(
        role=Role.SOURCE, name="n", software="s", suites=(1,), tai=(0, 1), discipline=NTP
    ),
    control.Welcome(name="n", tai=(0, 1), udp=0),
    control.Enrolled(device="d"),
    control.Stored(),
    control.Ping(n=0, tai=(0, 1), discipline=NTP),
    control.Pong(n=0, tai=(0, 1), discipline=NTP),
    control.Alarm(reason="fire", detail=""),
    control.Revoked(),
    control.Bye(reason="done"),
    control.Open(metadata=StreamMetadata(id="s", type="t").encode(), wish=Wish()),
    control.Open(metadata=b"\xff", wish=Wish()),
    OPENED,
    control.Refused(stream="porch/temperature", reason="suite", detail=""),
    control.Close(handle=1, generation=1),
    control.Report(streams=(ReportRow(1, 2, 3, 4, 5),)),
    control.Resync(handle=1, generation=2, reason="key_hash"),
    control.Rekey(handle=1),
    control.Offer(blob=bytes(200)),
    control.Offered(handle=1, generation=2, accepted=True, reason=""),
    control.Backfill(handle=1, generation=2, ticks=(0, 1), frames=(0, 1)),
    control.StoredUntil(handle=1, generation=2, frame_until=3),
    control.Backfilled(handle=1, generation=2),
    control.Subscribe(streams=("s",)),
    GRANT,
    control.Withdrawn(handle=1, generation=2, reason="policy"),
    control.Recall(stream="s", tai=(0, 1)),
    control.Recalled(stream="s", part=b"", last=False, reason=""),
]  # fmt: skip
FROM_CONTROLLER = {
    control.Ping, control.Pong, control.Alarm, control.Report, control.Resync, control.Rekey,
    control.StoredUntil,
}  # fmt: skip
FROM_DEVICE = {
    control.Ping, control.Pong, control.Alarm, control.Open, control.Close, control.Offer,
    control.Backfill, control.Backfilled,
}  # fmt: skip


TO_SINK = {
    control.Ping, control.Pong, control.Alarm, control.Refused, control.Grant, control.Withdrawn,
}  # fmt: skip
FROM_SINK = {control.Ping, control.Pong, control.Alarm, control.Subscribe, control.Recall}


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in EXAMPLES} == set(control._NAMES)


# --- Before a session stands ---


def test_a_replayed_first_message_opens_nothing(conversation: Any) -> None:
    recorded: list[bytes] = []
    pair = conversation()
    pair.cut = lambda data: iter([recorded.append(data) or data])
    pair.talk()
    again = conversation(controller={"random_bytes": os.urandom})
    again.give(again.controller, recorded[0])
    assert again.seen(again.controller, ev.HandshakeRequested), "it authenticates, as any replay"
    assert again.controller.state is State.GREETING
    # The rest of the recording is under the keys of then.
    hello = next(data for data in recorded if data[2] == RecordType.CONTROL)
    again.give(again.controller, hello)
    assert not again.seen(again.controller, ev.SessionStarted)
    assert again.end(again.controller) is CloseReason.PROTOCOL


def test_a_replay_that_goes_silent_is_dropped_after_ten_seconds(conversation: Any) -> None:
    pair = conversation()
    pair.give(pair.controller, pair.source.data_to_send())
    pair.wait(9.9, deliver=False)
    assert not pair.controller.is_closed
    pair.wait(0.1, deliver=False)
    assert pair.end(pair.controller) is CloseReason.HANDSHAKE_TIMEOUT
    assert pair.end(pair.source) is CloseReason.HANDSHAKE_TIMEOUT
    assert not pair.seen(pair.controller, ev.SessionStarted)


@pytest.mark.parametrize("first", EXAMPLES, ids=lambda m: control.message_name(type(m)))
def test_nothing_but_hello_starts_a_session(conversation: Any, first: control.Message) -> None:
    pair = conversation()
    pair.source._send = lambda message: None
    pair.talk()
    pair.inject(pair.controller, first)
    if isinstance(first, control.Hello):
        pair.one(pair.controller, ev.SessionStarted)
    else:
        assert not pair.seen(pair.controller, ev.SessionStarted)
        assert pair.end(pair.controller) is CloseReason.PROTOCOL


def test_an_unknown_message_does_not_start_a_session_either(conversation: Any) -> None:
    pair = conversation()
    pair.source._send = lambda message: None
    pair.talk()
    pair.inject(pair.controller, {"m": "teleport"})
    assert pair.end(pair.controller) is CloseReason.PROTOCOL


def test_another_gateway_cannot_answer(conversation: Any) -> None:
    pair = conversation(controller={"private_key": b"x" * 32})
    pair.talk()
    assert pair.end(pair.controller) is CloseReason.HANDSHAKE_FAILED
    assert not pair.seen(pair.controller, ev.HandshakeRequested)
    pair.give(pair.source, b"")
    assert pair.end(pair.source) is CloseReason.DISCONNECTED
    assert "pinned" in pair.one(pair.source, ev.SessionClosed).detail


def test_another_psk_fails_the_handshake_at_the_device(conversation: Any) -> None:
    pair = conversation()
    pair.decide = lambda _: pair.controller.accept(b"q" * 32)
    pair.talk()
    assert pair.end(pair.source) is CloseReason.HANDSHAKE_FAILED
    pair.give(pair.controller, b"")
    assert not pair.seen(pair.controller, ev.SessionStarted)


def test_a_refusal_cannot_be_forged(conversation: Any) -> None:
    pair = conversation()
    first = pair.source.data_to_send()
    forger = Responder(private=b"x" * 32, random_bytes=os.urandom)
    own = Initiator(
        private=b"y" * 32, gateway_public=primitives.x25519_public(b"x" * 32), psk=REFUSAL_PSK,
        hybrid=False, random_bytes=os.urandom,
    )  # fmt: skip
    forger.read_first(*own.first_record())
    kind, body = forger.refuse("revoked")
    assert first
    pair.give(pair.source, encode_record(RecordType(kind), body))
    assert not pair.seen(pair.source, ev.HandshakeRefused)
    assert pair.end(pair.source) is CloseReason.HANDSHAKE_FAILED


@pytest.mark.parametrize("body", [b"", bytes(48), os.urandom(1200)], ids=len)
@pytest.mark.parametrize("kind", list(RecordType))
def test_any_first_record_that_is_none_ends_the_session(
    conversation: Any, kind: RecordType, body: bytes
) -> None:
    for end in ("source", "controller"):
        pair = conversation()
        session = getattr(pair, end)
        pair.give(session, encode_record(kind, body))
        assert pair.end(session) in (CloseReason.PROTOCOL, CloseReason.HANDSHAKE_FAILED)
        assert len(pair.at_source + pair.at_controller) == 1


def test_a_key_encapsulation_key_that_is_none_ends_the_session(
    conversation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = conversation(replace(conversation.CREDENTIALS, hybrid=True))
    responder = pair.controller._responder
    assert responder is not None

    def read_first(kind: int, body: bytes, real: Callable[..., Any] = responder.read_first) -> Any:
        first = real(kind, body)
        responder._state._kem_public = b"\xff" * 1184  # type: ignore[union-attr]
        return first

    monkeypatch.setattr(responder, "read_first", read_first)
    pair.give(pair.controller, pair.source.data_to_send())
    assert pair.controller.next_deadline_ns() == 0
    pair.wait(0, deliver=False)
    assert pair.end(pair.controller) is CloseReason.HANDSHAKE_FAILED


def test_the_pattern_is_told_and_not_turned_into_the_other(conversation: Any) -> None:
    for hybrid, wrong in ((True, RecordType.CLASSICAL), (False, RecordType.HYBRID)):
        pair = conversation(replace(conversation.CREDENTIALS, hybrid=hybrid))
        first = pair.source.data_to_send()
        pair.give(pair.controller, first[:2] + bytes((wrong,)) + first[3:])
        assert pair.end(pair.controller) is CloseReason.HANDSHAKE_FAILED
        again = conversation(replace(conversation.CREDENTIALS, hybrid=hybrid)).talk()
        assert again.one(again.controller, ev.HandshakeRequested).hybrid is hybrid


# --- While it runs ---


@settings(max_examples=40)
@given(place=st.integers(0, 2**16), bit=st.integers(0, 7), state=st.integers(0, 2))
def test_an_altered_byte_ends_the_session_it_was_sent_to(
    conversation: Any, place: int, bit: int, state: int
) -> None:
    """Alter one byte of what the device sends: first message, hello, or an open."""
    pair = conversation()
    for _ in range(state):
        pair.give(pair.controller, pair.source.data_to_send())
        pair.give(pair.source, pair.controller.data_to_send())
    if state == 2:
        pair.source.open_stream(pair.STREAM, Wish())
    data = bytearray(pair.source.data_to_send())
    # Lengths are not authenticated: a longer one makes the reader wait, as a cut wire does.
    data[2 + place % (len(data) - 2)] ^= 1 << bit
    pair.at_controller.clear()
    pair.give(pair.controller, bytes(data))
    if pair.controller.is_closed:
        assert pair.end(pair.controller) in (CloseReason.PROTOCOL, CloseReason.HANDSHAKE_FAILED)
        assert not pair.seen(pair.controller, ev.OpenRequested)
    else:
        assert not pair.at_controller, "only waiting for the rest is allowed"


@pytest.mark.parametrize("sink", [False, True], ids=["source", "sink"])
@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: control.message_name(type(m)))
def test_a_message_that_is_not_due_ends_the_session(
    conversation: Any, message: control.Message, sink: bool
) -> None:
    ends = (("source", FROM_CONTROLLER), ("controller", FROM_DEVICE))
    if sink:
        ends = (("source", TO_SINK), ("controller", FROM_SINK))
    for end, allowed in ends:
        pair = conversation(sink=sink).talk()
        pair.wait(1)
        pair.grant = lambda request: None
        session = getattr(pair, end)
        pair.inject(session, message)
        good = type(message) in allowed and message != EXAMPLES[10]
        if type(message) is control.Bye:
            assert pair.end(session) is CloseReason.BYE
        elif type(message) is control.Revoked and end == "source":
            assert pair.end(session) is CloseReason.REVOKED
        elif good:
            assert not session.is_closed
        else:
            assert pair.end(session) is CloseReason.PROTOCOL


def test_a_message_of_a_later_version_is_counted(conversation: Any) -> None:
    pair = conversation().talk()
    for session in (pair.source, pair.controller):
        assert pair.inject(session, {"m": "teleport", "where": 1}) == []
        assert session.counters["unknown_message"] == 1


messages = st.sampled_from(EXAMPLES) | st.dictionaries(
    st.sampled_from(["m", "handle", "generation", "tai", "n"]),
    st.sampled_from(["ping", "opened", "open", 1, [1, 2], None]),
)


@settings(max_examples=60)
@given(
    end=st.sampled_from(["source", "controller"]),
    sink=st.booleans(),
    sent=st.lists(messages | st.binary(max_size=40), max_size=8),
)
def test_any_order_of_anything_gives_events_or_the_end(
    conversation: Any, end: str, sink: bool, sent: list[Any]
) -> None:
    pair = conversation(sink=sink).talk()
    if not sink:
        pair.open()
    session = getattr(pair, end)
    pair.grant = lambda request: None
    for item in sent:
        if isinstance(item, bytes):
            pair.give(session, item)
        else:
            pair.inject(session, item)
        session.data_to_send()
    if session.is_closed:
        pair.end(session)


def test_a_sink_sends_no_streams(conversation: Any) -> None:
    for hostile in (
        lambda pair: pair.inject(pair.controller, EXAMPLES[9]),
        lambda pair: pair.give(pair.controller, encode_record(RecordType.DATA, b"\0\1x")),
    ):
        pair = conversation(sink=True).talk()
        hostile(pair)
        assert pair.end(pair.controller) is CloseReason.PROTOCOL


# --- What a led-astray controller grants ---


@pytest.mark.parametrize(
    "change",
    [{"suite": Suite.AES_128_CCM_8}, {"hash_length": 8}, {"depth": 0}, {"interval_ns": 1000},
     {"past_ns": 3600 * 10**9}],
    ids=str,
)  # fmt: skip
def test_a_downgrade_is_closed_and_reported(conversation: Any, change: dict[str, Any]) -> None:
    pair = conversation().talk()
    pair.alter = lambda granted: replace(granted, **change)
    pair.open()
    assert pair.one(pair.source, ev.StreamRefused).reason == "policy"
    assert not pair.seen(pair.source, ev.GenerationStarted)
    assert pair.one(pair.controller, ev.StreamClosed) == ev.StreamClosed(
        handle=pair.HANDLE, generation=100
    )
    # Both exporters have moved on alike: the next opening agrees again.
    pair.alter = lambda granted: granted
    pair.open()
    ours = pair.one(pair.source, ev.GenerationStarted).generation
    assert ours.confirm == pair.granted[-1].confirm


def test_a_wrong_confirmation_closes_the_stream(conversation: Any) -> None:
    pair = conversation().talk()
    pair.grant = lambda request: None
    pair.open()
    pair.inject(pair.source, OPENED)
    assert pair.one(pair.source, ev.StreamRefused).reason == "confirm"
    pair.talk()
    assert pair.one(pair.controller, ev.StreamClosed).generation == 100


@pytest.mark.parametrize(
    "change",
    [{"generation": 101}, {"stream": "another"}, {"parameters": b"\xa0"}],
    ids=["another generation", "a stream not asked for", "no parameters"],
)
def test_an_opened_that_contradicts_itself_ends_the_session(
    conversation: Any, change: dict[str, Any]
) -> None:
    pair = conversation().talk()
    pair.grant = lambda request: None
    pair.open()
    pair.inject(pair.source, replace(OPENED, **change))
    assert pair.end(pair.source) is CloseReason.PROTOCOL


def test_a_handle_stays_with_its_stream(conversation: Any) -> None:
    pair = conversation().talk().open()
    pair.HANDLE = 7
    pair.open()
    assert pair.end(pair.source) is CloseReason.PROTOCOL


@pytest.mark.parametrize("is_cut", [False, True], ids=["closed", "cut off"])
def test_whoever_takes_a_machine_after_a_session_finds_none_of_its_secrets(
    conversation: Any, is_cut: bool
) -> None:
    pair = conversation().talk().open()
    sides = (pair.source, pair.controller)
    for side in sides:
        if is_cut:
            side.receive(b"", pair.now(side), 0)
        else:
            side.close()
    for side in sides:
        assert side.is_closed
        for use in (
            lambda left: left.send.seal(b""),
            lambda left: left.receive.open(bytes(16)),
            lambda left: left.exporter.initial_secret("a", 1),
        ):
            with pytest.raises(LocalProtocolError, match="cleared"):
                use(side._established)
    assert not pair.controller._psk

"""A separate sink's session: subscribed, granted, forwarded to, withdrawn."""

from typing import Any

import pytest
from streams import vectors

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import LocalProtocolError
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.events import CloseReason
from tickseal.sessions.grants import GrantHolder
from tickseal.sessions.outbox import DATA_MAX_BYTES
from tickseal.sessions.records import RecordType, encode_record
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import StreamParameters
from tickseal.streams.sealing import FrameSealer

GRANTS = vectors("grants")


def gateway_side(pair: Any, **changes: Any) -> Generation:
    """A generation as the gateway holds it."""
    values: dict[str, Any] = {"t0_ns": pair.START_NS, "generation": 7} | changes
    return Generation.derive(
        pair.STREAM,
        StreamParameters(**values),
        initial_secret=b"i" * 32,
        salt=b"s" * 32,
        handle=pair.HANDLE,
    )


def give(pair: Any, generation: Generation, ticks: tuple[int, int], frame_from: int = 0) -> None:
    pair.controller.grant_span(
        generation, device="porch-1", from_tick=ticks[0], until_tick=ticks[1], frame_from=frame_from
    )


def test_a_sink_subscribes_and_is_answered_stream_by_stream(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    assert pair.one(pair.controller, ev.SessionStarted).hello.role is Role.SINK
    pair.source.subscribe(["a", pair.STREAM.id])
    pair.talk()
    asked = pair.one(pair.controller, ev.SubscribeRequested)
    assert asked.streams == ("a", pair.STREAM.id)
    pair.controller.refuse_subscription("a", "policy", "not for you")
    held = gateway_side(pair)
    before = held.walker.nodes()
    give(pair, held, (10, 20), frame_from=5)
    assert held.walker.nodes() == before
    pair.talk()
    refused = pair.one(pair.source, ev.StreamRefused)
    assert (refused.stream_id, refused.reason) == ("a", "policy")
    granted = pair.one(pair.source, ev.GrantReceived)
    assert (granted.device, granted.ticks, granted.frame_from) == ("porch-1", (10, 20), 5)
    walker = granted.generation.walker
    assert (walker.start, walker.end) == (10, 20)
    assert walker.secret(13) == held.walker.secret(13)
    assert granted.generation.context == held.context


def test_a_grant_is_there_before_the_segments_that_need_it(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    sealer = FrameSealer(gateway_side(pair))
    segments = sealer.seal(b"21.5", 3)
    pair.controller.forward(segments)
    give(pair, gateway_side(pair), (0, 600))
    pair.talk()
    first, second = pair.at_source[-2:]
    assert isinstance(first, ev.GrantReceived)
    holder = GrantHolder()
    holder.take(first)
    at_ns = pair.START_NS + 350_000_000
    now = ClockInterval.around(at_ns, 1000, ClockDiscipline.NTP)
    (frame,) = holder.receiver.receive(second.segments, now)
    assert frame.payload == b"21.5"


def test_withdrawing_names_the_generation_and_why(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    pair.controller.withdraw(pair.HANDLE, 7, "policy")
    pair.talk()
    assert pair.one(pair.source, ev.GrantWithdrawn) == ev.GrantWithdrawn(
        handle=pair.HANDLE, generation=7, reason="policy"
    )


def test_a_slow_sink_gets_the_newest_segments(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    for number in range(400):
        pair.controller.forward([number.to_bytes(2, "big") + bytes(1198)])
    pair.talk()
    came = [
        int.from_bytes(segment[:2], "big")
        for event in pair.seen(pair.source, ev.SegmentsReceived)
        for segment in event.segments
    ]
    assert came == list(range(400 - len(came), 400))
    assert len(came) == DATA_MAX_BYTES // 1202
    assert pair.controller.dropped_segments == 400 - len(came)


def test_segments_of_one_stream_come_with_its_handle(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    pair.controller.forward([b"a", b"bc"], 0x0102_0304)
    pair.controller.forward([b"d"])
    pair.talk()
    came = pair.seen(pair.source, ev.SegmentsReceived)
    assert [(e.handle, [bytes(one) for one in e.segments]) for e in came] == [
        (0x0102_0304, [b"a", b"bc"]),
        (0, [b"d"]),
    ]
    for _ in range(400):
        pair.controller.forward([bytes(1200)], 7)
    assert pair.controller.dropped_segments == 400 - DATA_MAX_BYTES // 1206


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0\0\1x", b"\0\0\0\1", b"\0\0\0\1\0\2x"])
def test_a_record_of_one_stream_that_is_not_whole_ends_the_session(
    conversation: Any, body: bytes
) -> None:
    pair = conversation(sink=True).talk()
    pair.give(pair.source, encode_record(RecordType.STREAM_DATA, body))
    assert pair.one(pair.source, ev.SessionClosed).reason is CloseReason.PROTOCOL


def test_a_recording_is_recalled_part_by_part_behind_what_is_live(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    pair.source.recall("yard", (5, 9))
    with pytest.raises(LocalProtocolError, match="one at a time"):
        pair.source.recall("yard", (5, 9))
    pair.talk()
    assert pair.one(pair.controller, ev.RecallRequested) == ev.RecallRequested(
        stream_id="yard", tai=(5, 9)
    )
    parts = [bytes([n]) * 12_288 for n in range(40)]
    sent = 0
    while pair.controller.send_recalled(parts[sent]):
        sent += 1
    assert 0 < sent < 40, "what waits is bounded"
    pair.controller.forward([b"live"])
    assert pair.controller.data_to_send()[2] == RecordType.DATA
    pair = conversation(sink=True).talk()
    pair.source.recall("yard", (5, 9))
    pair.talk()
    for part in parts:
        while not pair.controller.send_recalled(part):
            pair.talk()
    assert pair.controller.send_recalled(b"end", is_last=True)
    pair.talk()
    came = pair.seen(pair.source, ev.RecallReceived)
    assert b"".join(event.part for event in came) == b"".join(parts) + b"end"
    assert [event.is_last for event in came] == [False] * 40 + [True]
    assert b"end" not in repr(came[-1]).encode()
    pair.source.recall("yard", (5, 9))
    pair.talk()
    pair.controller.send_recalled(b"", is_last=True, reason="policy")
    pair.talk()
    assert pair.seen(pair.source, ev.RecallReceived)[-1].reason == "policy"
    with pytest.raises(LocalProtocolError, match="has not asked"):
        pair.controller.send_recalled(b"")


def test_a_sink_that_recalls_without_waiting_is_given_up(conversation: Any) -> None:
    pair = conversation(sink=True).talk()
    recall = control.Recall(stream="yard", tai=(5, 9))
    pair.inject(pair.controller, recall)
    pair.inject(pair.controller, recall)
    assert pair.end(pair.controller) is CloseReason.PROTOCOL


def test_a_source_gets_no_grants_and_cannot_subscribe(conversation: Any) -> None:
    pair = conversation().talk()
    for refused in (
        lambda: give(pair, gateway_side(pair), (0, 1)),
        lambda: pair.controller.withdraw(1, 2, "x"),
        lambda: pair.controller.refuse_subscription("a", "policy"),
        lambda: pair.controller.forward([b"x"]),
        lambda: pair.controller.send_recalled(b"x"),
    ):
        with pytest.raises(LocalProtocolError, match="source"):
            refused()


def test_what_is_done_too_early_is_said_to_the_caller(conversation: Any) -> None:
    pair = conversation(sink=True)
    for early in (
        pair.source.subscribe,
        lambda: give(pair, gateway_side(pair), (0, 1)),
        lambda: pair.controller.forward([b"x"]),
    ):
        with pytest.raises(LocalProtocolError):
            early()
    pair.talk()
    with pytest.raises(LocalProtocolError):
        pair.source.subscribe(["a", "a"])
    with pytest.raises(LocalProtocolError, match="depth 0"):
        give(pair, gateway_side(pair, depth=0), (0, 1))
    punctured = gateway_side(pair)
    punctured.walker.puncture(5)
    with pytest.raises(LocalProtocolError, match="not held"):
        give(pair, punctured, (4, 9))
    with pytest.raises(LocalProtocolError, match="empty"):
        give(pair, punctured, (9, 9))
    assert not pair.source.is_closed


@pytest.mark.parametrize("row", GRANTS["refused"], ids=lambda row: row["why"])
def test_a_grant_that_contradicts_itself_ends_the_session(
    conversation: Any, row: dict[str, str]
) -> None:
    pair = conversation(sink=True).talk()
    sealed = pair.controller._transport().send.seal(bytes.fromhex(row["encoding"]))
    pair.give(pair.source, encode_record(RecordType.CONTROL, sealed))
    assert pair.end(pair.source) is CloseReason.PROTOCOL
    assert not pair.seen(pair.source, ev.GrantReceived)


@pytest.mark.parametrize("case", GRANTS["cases"], ids=lambda case: case["name"])
def test_a_golden_grant_opens_just_what_it_says(conversation: Any, case: dict[str, Any]) -> None:
    pair = conversation(sink=True).talk()
    sealed = pair.controller._transport().send.seal(bytes.fromhex(case["encoding"]))
    pair.give(pair.source, encode_record(RecordType.CONTROL, sealed))
    holder = GrantHolder()
    received = holder.take(pair.one(pair.source, ev.GrantReceived))
    for row in case["segments"]:
        received.opener.refusals.clear()
        now = ClockInterval(earliest_ns=row["clock"][0], latest_ns=row["clock"][1])
        frames = holder.receiver.receive([bytes.fromhex(row["segment"])], now)
        if "opened" in row:
            assert [frame.payload.hex() for frame in frames] == [row["opened"]], row
        else:
            assert not frames
            assert dict(received.opener.refusals) == {row["refused"]: 1}, row

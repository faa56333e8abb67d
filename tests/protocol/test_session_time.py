"""Pings, silence, the clock check of section 7.5 and the throttles of section 7.3."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import RemoteProtocolError
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Pong, ReportRow
from tickseal.sessions.events import CloseReason
from tickseal.sessions.liveness import Liveness
from tickseal.sessions.negotiation import Wish
from tickseal.sessions.records import RecordType, encode_record
from tickseal.sessions.throttle import Throttle

SECOND = 10**9
PTP = ClockDiscipline.PTP


# --- Pings and silence ---


def test_both_sides_ping_at_once_and_every_two_seconds(conversation: Any) -> None:
    pair = conversation().talk()
    pair.wait(0)
    assert len(pair.seen(pair.source, ev.GatewayTime)) == 1
    pair.wait(9.9)
    assert len(pair.seen(pair.source, ev.GatewayTime)) == 5
    pair.wait(60)
    assert not pair.source.is_closed
    assert not pair.controller.is_closed


def test_a_peer_silent_for_ten_seconds_is_gone(conversation: Any) -> None:
    pair = conversation().talk()
    pair.wait(4)
    pair.wait(9.9, deliver=False)
    assert not pair.source.is_closed
    pair.wait(0.1, deliver=False)
    assert pair.end(pair.source) is CloseReason.SILENT
    assert pair.end(pair.controller) is CloseReason.SILENT


def test_what_is_not_authentic_is_silence(conversation: Any) -> None:
    pair = conversation().talk()
    for _ in range(10):
        pair.wait(1, deliver=False)
        pair.give(pair.controller, encode_record(RecordType.DATA, b"\0\1x"))
    assert pair.end(pair.controller) is CloseReason.SILENT


def test_a_late_shell_does_not_ping_to_catch_up(conversation: Any) -> None:
    pair = conversation().talk()
    pair.monotonic_ns += 9 * SECOND
    pair.source.on_deadline(pair.now(pair.source), pair.monotonic_ns)
    pair.source.data_to_send()
    pair.source.on_deadline(pair.now(pair.source), pair.monotonic_ns)
    assert pair.source.data_to_send() == b""


def test_a_pong_without_its_ping_ends_the_session_and_a_second_one_is_counted(
    conversation: Any,
) -> None:
    pair = conversation().talk()
    pair.wait(0)
    pong = control.Pong(n=0, tai=(0, 2**63), discipline=PTP)
    assert pair.inject(pair.source, pong) == []
    assert pair.source.counters["late_pong"] == 1
    pair.inject(pair.source, control.Pong(n=1, tai=(0, 1), discipline=PTP))
    assert pair.end(pair.source) is CloseReason.PROTOCOL


# --- The clock check ---


def test_clocks_that_part_raise_one_alarm_on_both_sides_and_one_when_they_meet(
    conversation: Any,
) -> None:
    pair = conversation().talk()
    pair.wait(6)
    assert not pair.seen(pair.source, ev.ClockDisagreement)
    pair.ahead_ns = 5000
    pair.wait(6)
    pair.ahead_ns = 0
    pair.wait(6)
    for session, sign in ((pair.source, 1), (pair.controller, -1)):
        changes = [
            event
            for event in (pair.at_source if session is pair.source else pair.at_controller)
            if isinstance(event, ev.ClockDisagreement | ev.ClockAgreement)
        ]
        assert [type(event) for event in changes] == [ev.ClockDisagreement, ev.ClockAgreement]
        # Both read to within 1000 ns, and are 5000 ns apart.
        assert changes[0].apart_ns == sign * 3000
        alarms = [event.reason for event in pair.seen(session, ev.AlarmRaised)]
        assert alarms == ["clock", "clock_agrees"]
    assert not pair.source.clock_disagrees


intervals = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(
    lambda ends: ClockInterval(earliest_ns=ends[0], latest_ns=sum(ends), discipline=PTP)
)


@given(sent=intervals, received=intervals, peer=intervals)
def test_disagreement_is_when_no_pair_of_true_times_exists(
    sent: ClockInterval, received: ClockInterval, peer: ClockInterval
) -> None:
    liveness = Liveness(0)
    ping = liveness.ping(sent, 0)
    assert ping is not None
    trip = liveness.pong(Pong(n=0, tai=control.tai(peer), discipline=PTP), received, 1)
    assert trip is not None
    change = liveness.check_clock(trip)
    possible = range(sent.earliest_ns, received.latest_ns + 1)
    meets = any(peer.earliest_ns <= instant <= peer.latest_ns for instant in possible)
    if not possible:
        assert change is None, "an own clock that was set back tells nothing of the peer's"
        return
    assert (change is None) is meets
    if change is not None:
        event, alarm = change
        assert isinstance(event, ev.ClockDisagreement)
        assert alarm.reason == "clock"
        if event.apart_ns > 0:
            assert peer.earliest_ns - event.apart_ns == received.latest_ns
        else:
            assert peer.latest_ns - event.apart_ns == sent.earliest_ns


@given(
    offset=st.integers(10**12, 2 * 10**12),
    there=st.integers(0, 10**6),
    back=st.integers(0, 10**6),
    half=st.integers(0, 1000),
)
def test_the_gateways_time_holds_the_truth_however_the_round_trip_is_split(
    offset: int, there: int, back: int, half: int
) -> None:
    sent, received = 50, 50 + there + back
    read_at = offset + sent + there
    event = ev.GatewayTime(
        peer=ClockInterval(earliest_ns=read_at - half, latest_ns=read_at + half, discipline=PTP),
        sent_monotonic_ns=sent,
        received_monotonic_ns=received,
    )
    assert event.round_trip_ns == there + back
    assert event.clock.discipline is ClockDiscipline.GATEWAY
    assert event.clock.earliest_ns <= offset + received <= event.clock.latest_ns
    assert event.clock.uncertainty_ns <= half + (there + back) / 2 + 1
    assert abs(event.clock.midpoint_ns - (read_at + (there + back) / 2)) <= 1


def test_pings_that_were_never_answered_are_forgotten() -> None:
    liveness = Liveness(0)
    now = ClockInterval(earliest_ns=1, latest_ns=2)
    for n in range(50):
        assert liveness.ping(now, n * 2 * SECOND) is not None
    assert len(liveness._outstanding) <= 6
    assert liveness.pong(Pong(n=0, tai=(1, 2), discipline=PTP), now, 0) is None
    with pytest.raises(RemoteProtocolError):
        liveness.pong(Pong(n=50, tai=(1, 2), discipline=PTP), now, 0)


# --- Throttles ---


def tries(throttle: Throttle, seconds: int) -> list[int]:
    return [second for second in range(seconds) if throttle.allow(second * SECOND)]


def test_a_remedy_that_does_not_help_is_tried_less_and_less() -> None:
    assert tries(Throttle(doubles=True), 300) == [0, 5, 15, 35, 75, 135, 195, 255]
    assert tries(Throttle(doubles=False), 21) == [0, 5, 10, 15, 20]


def test_a_remedy_that_helped_starts_again_at_five_seconds() -> None:
    throttle = Throttle(doubles=True)
    tries(throttle, 100)
    assert not throttle.allow(100 * SECOND), "the last try was at 75 s, the next would be at 135 s"
    throttle.helped()
    assert throttle.allow(100 * SECOND)
    assert not throttle.allow(104 * SECOND)
    assert throttle.allow(105 * SECOND)
    assert not throttle.allow(114 * SECOND)


def test_resync_reaches_the_application_once_in_five_seconds_then_less(conversation: Any) -> None:
    pair = conversation().talk().open()
    for _ in range(40):
        pair.controller.resync(pair.HANDLE, 100, "key_hash", pair.monotonic_ns)
        pair.talk().wait(1)
    requested = pair.seen(pair.source, ev.ResyncRequested)
    assert len(requested) == 4
    assert requested[0] == ev.ResyncRequested(
        stream_id=pair.STREAM.id, handle=pair.HANDLE, generation=100, reason="key_hash"
    )
    assert pair.source.counters["throttled_resync"] == 4, "the controller sends 8 in 40 s"
    pair.controller.report([ReportRow(pair.HANDLE, 100, 1, 1, 0)])
    pair.talk()
    pair.wait(40)
    for _ in range(6):
        pair.controller.resync(pair.HANDLE, 100, "key_hash", pair.monotonic_ns)
        pair.talk().wait(1)
    assert len(pair.seen(pair.source, ev.ResyncRequested)) == 6


def test_a_request_about_what_is_renewed_already_is_out_of_date(conversation: Any) -> None:
    pair = conversation().talk().open().open()
    pair.inject(pair.source, control.Resync(handle=pair.HANDLE, generation=100, reason="late"))
    pair.inject(pair.source, control.Resync(handle=7, generation=100, reason="late"))
    pair.source.open_stream(pair.STREAM, Wish())
    pair.inject(pair.source, control.Resync(handle=pair.HANDLE, generation=101, reason="late"))
    pair.inject(pair.source, control.Rekey(handle=pair.HANDLE))
    assert not pair.seen(pair.source, ev.ResyncRequested)
    assert not pair.seen(pair.source, ev.RekeyRequested)
    assert pair.source.counters == {"stale_resync": 3, "stale_rekey": 1}


def test_a_stream_that_was_closed_is_forgotten(conversation: Any) -> None:
    pair = conversation().talk().open()
    pair.source.close_stream(pair.HANDLE, 100)
    pair.talk()
    assert pair.one(pair.controller, ev.StreamClosed).generation == 100
    pair.controller.rekey(pair.HANDLE)
    pair.talk()
    assert not pair.seen(pair.source, ev.RekeyRequested)

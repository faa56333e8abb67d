"""Clocks that contradict each other: who is to blame is told as far as others show it."""

import pytest
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import ClockConfig
from tickseal_gateway.controller.clocks import ClockWatch
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device, DeviceState

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.sessions import events as ev
from tickseal.sessions.liveness import RoundTrip

MS = 1_000_000
TRUE_NS = 10**18


def reading(ahead_ms: float, discipline: ClockDiscipline = ClockDiscipline.NTP) -> ClockInterval:
    """Return what a clock says that is ahead by so much, and sure of itself to 5 ms."""
    return ClockInterval.around(TRUE_NS + int(ahead_ms * MS), 5 * MS, discipline)


def trip(here_ms: float, there: ClockInterval) -> RoundTrip:
    here = reading(here_ms)
    return RoundTrip(
        sent=here, received=here, peer=there, sent_monotonic_ns=0, received_monotonic_ns=2 * MS
    )


def garden() -> Device:
    return Device(
        id=1,
        name="garden",
        static_public=b"",
        psk=b"",
        hybrid=True,
        state=DeviceState.APPROVED,
        enrolled_ns=0,
    )


def told(here_ms: float, others: dict[str, ClockInterval]) -> str:
    """Return the alarm of the device "garden", which was found a second ahead."""
    alarms = Alarms()
    watch = ClockWatch(ClockConfig(), StreamTable(), alarms)
    device = garden()
    local = reading(here_ms)
    watch.disagrees(
        device, ev.ClockDisagreement(peer=others["garden"], local=local, apart_ns=10**9)
    )
    watch.review(local, [(name, trip(here_ms, there)) for name, there in others.items()])
    (alarm,) = alarms.standing()
    watch.agrees(device)
    watch.review(local, [])
    assert not alarms.standing()
    return alarm.detail


def test_of_two_none_is_blamed() -> None:
    assert "cannot be told" in told(0, {"garden": reading(1000)})


def test_a_device_against_whom_others_agree_is_to_blame() -> None:
    assert "mend the clock of that device" in told(0, {"garden": reading(1000), "roof": reading(1)})


def test_a_gateway_against_whom_devices_agree_is_to_blame() -> None:
    assert "against this machine" in told(-1000, {"garden": reading(0), "roof": reading(2)})


@pytest.mark.parametrize("discipline", [ClockDiscipline.GATEWAY, ClockDiscipline.NONE])
def test_a_time_that_came_from_the_gateway_or_is_a_guess_is_no_witness(
    discipline: ClockDiscipline,
) -> None:
    others = {"garden": reading(1000), "roof": reading(0, discipline)}
    assert "cannot be told" in told(0, others)


@pytest.mark.parametrize(
    ("says", "ends", "kind"),
    [
        ("clock", "clock_agrees", "clock_of_device"),
        ("clock_sources", "clock_sources_agree", "clock_sources"),
        ("clock_sources", "", "clock_sources"),
    ],
)
def test_what_a_device_says_of_its_clock_stands_until_it_takes_it_back_or_leaves(
    says: str, ends: str, kind: str
) -> None:
    alarms = Alarms()
    watch = ClockWatch(ClockConfig(), StreamTable(), alarms)
    watch.device_says(garden(), ev.AlarmRaised(reason=says, detail="ptp and chrony disagree"))
    assert [(one.kind, one.detail) for one in alarms.standing()] == [
        (kind, "the device says: ptp and chrony disagree")
    ]
    if ends:
        watch.device_says(garden(), ev.AlarmRaised(reason=ends, detail=""))
    else:
        watch.forget(garden())
    assert not alarms.standing()

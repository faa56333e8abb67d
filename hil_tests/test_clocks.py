"""The device's clock is wrong, is stepped, loses its master: what is taken, and what is said."""

from collections import defaultdict
from typing import Any

import pytest
from waiting import eventually

from hil_tests.bench import counting
from hil_tests.bench.capabilities import PPS, PTP, Clock
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway
from hil_tests.bench.shell import Shell

STREAM = counting.STREAM
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
#: What a daemon claims that steers the device's clock, truly or not.
ERROR_NS = 10 * MILLISECOND_NS
#: docs/protocol.md section 2.2, the defaults.
PAST_NS, SKEW_NS = 2 * SECOND_NS, SECOND_NS // 2
WINDOW_NS = PAST_NS + SKEW_NS
LOOKS = 5
#: Less than the 400 ms to which whoever names the second of a pulse must know the time.
WRONG_NS = 150 * MILLISECOND_NS


def start(edge: Edge, shell: Shell, *more: str) -> None:
    counting.prepare(shell)
    edge.start("".join([*more, counting.config()]))


def counters(gateway: Gateway) -> tuple[int, int, int]:
    """Return how many frames were opened, were early, were late."""
    stream = gateway.stream(STREAM)
    refusals = stream["refusals"]
    return stream["frames"], refusals.get("early", 0), refusals.get("late", 0)


def fate_of_frames(gateway: Gateway, expected: str = "opened", count: int = 20) -> str:
    """Return what becomes of frames that are sealed from now on: opened, early, or late.

    Looks again where it is not what is expected: on a busy machine frames may be on their way for
    longer than the edge of a window is away.
    """
    found = ""
    for _ in range(LOOKS):
        wait_for_segments(gateway, 10)  # those of before are on their way
        before = counters(gateway)
        wait_for_segments(gateway, count)
        names = ("opened", "early", "late")
        more = zip(names, before, counters(gateway), strict=True)
        found = " and ".join(name for name, then, now in more if now > then + 1)
        if found == expected:
            break
    return found


def wait_for_segments(gateway: Gateway, more: int) -> None:
    before = len(gateway.wire.passed)
    eventually(lambda: len(gateway.wire.passed) >= before + more, what=f"{more} segments")


def test_frames_are_taken_within_the_window_and_refused_without(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock
) -> None:
    # The window is as much wider as the gateway does not know the time itself (section 4).
    unsure_ns = gateway.status()["clock"]["uncertainty_ns"]
    late_ns, early_ns = -(PAST_NS + unsure_ns), SKEW_NS + unsure_ns
    near_ns = 400 * MILLISECOND_NS  # of an edge; where a frame on its way may lie on either side
    sweep = [
        (-3 * WINDOW_NS, "late"),
        (-2 * WINDOW_NS, "late"),
        (late_ns - near_ns, "late"),
        (late_ns + near_ns, "opened"),
        (-WINDOW_NS // 2, "opened"),
        (0, "opened"),
        (early_ns - near_ns, "opened"),
        (early_ns + near_ns, "early"),
        (2 * WINDOW_NS, "early"),
        (3 * WINDOW_NS, "early"),
    ]
    at_ns, _ = sweep[0]
    clock.vouch(at_ns - clock.offset_ns(), error_ns=ERROR_NS)
    start(edge, shell)
    found = []
    # Forwards only: a clock that goes back ends a generation, which is another test.
    for offset_ns, fate in sweep:
        clock.vouch(offset_ns - clock.offset_ns(), error_ns=ERROR_NS)
        found.append((offset_ns, fate_of_frames(gateway, fate)))
    assert found == sweep
    assert "its clock and this machine's" in "".join(gateway.alarms("clock"))


@pytest.mark.parametrize("step_ns", [4 * SECOND_NS, -4 * SECOND_NS])
def test_a_stream_comes_back_when_its_clock_was_stepped_and_back(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock, step_ns: int
) -> None:
    mark = len(gateway.wire.passed)
    clock.vouch(-clock.offset_ns(), error_ns=ERROR_NS)
    start(edge, shell)
    gateway.more_frames(STREAM)
    clock.vouch(step_ns, error_ns=ERROR_NS)
    eventually(lambda: gateway.alarms("clock"), what="the gateway says that the clocks disagree")
    clock.vouch(-step_ns, error_ns=ERROR_NS)
    eventually(lambda: not gateway.alarms("clock"), what="the gateway says that they agree again")
    gateway.more_frames(STREAM, 40)
    assert_ticks_never_go_back(gateway, mark)


def assert_ticks_never_go_back(gateway: Gateway, mark: int) -> None:
    passed = gateway.wire.passed[mark:]
    assert not gateway.wire.repeats
    ticks: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for one in passed:
        header = one.header
        ticks[header.handle, header.generation][header.frame_number] = header.tick
    for of_frames in ticks.values():
        in_order = [of_frames[number] for number in sorted(of_frames)]
        assert in_order == sorted(in_order)
    # A key for each frame, though the clock may stay in one tick for many.
    assert len({one.key_hash for one in passed}) == len({one.digest for one in passed})


def test_a_clock_that_nobody_vouches_for_is_not_followed(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock
) -> None:
    start(edge, shell)
    gateway.more_frames(STREAM, 40)
    before = gateway.stream(STREAM)
    for step_ns in (100 * SECOND_NS, -200 * SECOND_NS):
        clock.step_ns(step_ns)
        assert fate_of_frames(gateway) == "opened"
    after = gateway.stream(STREAM)
    assert after["generation"] == before["generation"]
    assert after["refusals"] == before["refusals"]


UNTRACEABLE = "[clock]\nptp_untraceable = true\n"
#: ptp4l vouches for the kernel's clock too, which would take over where PTP is lost.
PTP_ALONE = UNTRACEABLE + 'source = "ptp"\n'


def wait_for_clock(edge: Edge, state: str, source: str) -> None:
    eventually(
        lambda: (said := edge.ask("clock"))["state"] == state and said["source"] == source,
        what=lambda: f"the clock is {state} by {source!r}: {edge.ask('clock')}",
    )


def wait_for_holdover(gateway: Gateway, *, marked: bool) -> None:
    """Wait until what is stored now was sealed with the clock in holdover, or not."""
    eventually(
        lambda: bool(gateway.rows(STREAM)[-1].clock_in_holdover) is marked,
        what=f"frames are marked: {marked}",
    )


def test_a_ptp_master_is_followed_lost_held_over_and_found(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock, ptp: PTP
) -> None:
    mark = len(gateway.wire.passed)
    before = gateway.stream(STREAM).get("missing", 0)
    ptp.start_master()
    start(edge, shell, PTP_ALONE)
    wait_for_clock(edge, "synchronised", "ptp")
    gateway.more_frames(STREAM)
    wait_for_holdover(gateway, marked=False)
    generation = gateway.stream(STREAM)["generation"]
    ptp.stop_master()
    wait_for_clock(edge, "holdover", "")
    wait_for_holdover(gateway, marked=True)
    ptp.start_master()
    wait_for_clock(edge, "synchronised", "ptp")
    wait_for_holdover(gateway, marked=False)
    assert gateway.stream(STREAM)["generation"] == generation
    assert gateway.stream(STREAM)["missing"] == before
    assert_ticks_never_go_back(gateway, mark)


def test_pulses_are_followed_lost_held_over_and_found(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock, pps: PPS
) -> None:
    mark = len(gateway.wire.passed)
    # The clock names the second of each pulse, and is wrong itself by a part of one.
    clock.vouch(WRONG_NS, error_ns=WRONG_NS + ERROR_NS)
    before = gateway.stream(STREAM).get("missing", 0)
    start(edge, shell, '[clock]\nsource = "pps"\n')
    wait_for_clock(edge, "synchronised", "pps")
    gateway.more_frames(STREAM)
    wait_for_holdover(gateway, marked=False)
    generation = gateway.stream(STREAM)["generation"]
    # By pings, so that what is held up on its way widens the offset and does not shift it.
    eventually(
        lambda: abs(clock_at_gateway(gateway)["offset_ns"]) < WRONG_NS // 3,
        what=lambda: f"the device's time is that of the pulses: {clock_at_gateway(gateway)}",
    )
    assert clock_at_gateway(gateway)["discipline"] == "pps"
    pps.set_enabled(enabled=False)
    wait_for_clock(edge, "holdover", "")
    wait_for_holdover(gateway, marked=True)
    pps.set_enabled(enabled=True)
    wait_for_clock(edge, "synchronised", "pps")
    wait_for_holdover(gateway, marked=False)
    assert gateway.stream(STREAM)["generation"] == generation
    assert gateway.stream(STREAM)["missing"] == before
    assert_ticks_never_go_back(gateway, mark)


def clock_at_gateway(gateway: Gateway) -> dict[str, Any]:
    """Return what the gateway found of the device's clock by the last ping."""
    [device] = (one for one in gateway.status()["devices"] if one["is_connected"])
    return dict(device["session"]["clock"])


def test_a_ptp_master_that_lies_is_named_at_the_gateway(
    edge: Edge, shell: Shell, gateway: Gateway, clock: Clock, ptp: PTP
) -> None:
    clock.vouch(-clock.offset_ns(), error_ns=ERROR_NS)
    ptp.start_master(lie_ns=2 * SECOND_NS)
    start(edge, shell, UNTRACEABLE)
    # It is outvoted: the frames' time is right.
    wait_for_clock(edge, "synchronised", "kernel")
    eventually(
        lambda: "the others agree against ptp" in "".join(gateway.alarms("clock_sources")),
        what=lambda: f"an alarm that names PTP: {edge.ask('clock')}",
    )
    assert fate_of_frames(gateway) == "opened"

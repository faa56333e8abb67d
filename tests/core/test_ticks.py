"""Time as integers, and numbers rebuilt from low bits. CPython and MicroPython run this file."""

from golden import elements, raises

from tickseal.core import constants, ticks
from tickseal.core.errors import ClockError


def window(vector):
    return ticks.tick_window(
        vector["earliest"],
        vector["latest"],
        t0_ns=vector["t0"],
        interval_ns=vector["interval"],
        past_ns=vector["past"],
        skew_ns=vector["skew"],
        bits=constants.TICK_BITS[vector["profile"]],
    )


def test_an_instant_lies_in_the_golden_tick():
    for vector in elements("ticks.json", "tick_at"):
        place = (vector["instant"], vector["t0"], vector["interval"])
        if vector["tick"] is None:
            assert raises(ClockError, ticks.tick_at, *place)
            continue
        assert ticks.tick_at(*place) == vector["tick"]
        start = ticks.tick_start(vector["tick"], vector["t0"], vector["interval"])
        assert start <= vector["instant"] < start + vector["interval"]


def test_a_clock_reading_gives_the_golden_window():
    count = 0
    for vector in elements("ticks.json", "window"):
        assert window(vector) == tuple(vector["narrowed"] or (0, -1))
        count += 1
    assert count > 10


def test_low_bits_give_the_golden_tick():
    count = 0
    for vector in elements("ticks.json", "rebuild_tick"):
        low, lower, upper, bits = (vector[key] for key in ("low", "lower", "upper", "bits"))
        base = ticks.tick_base(lower, upper, bits)
        assert ticks.rebuild(low, base, bits) == vector["candidate"]
        count += 1
    for vector in elements("ticks.json", "rebuild_backfill"):
        found = ticks.rebuild(vector["low"], vector["from"], vector["bits"])
        assert (found if found < vector["until"] else None) == vector["tick"]
        count += 1
    assert count > 100


def test_low_bits_give_the_golden_frame_number():
    count = 0
    for vector in elements("ticks.json", "rebuild_frame"):
        low, highest, bits = vector["low"], vector["highest"], vector["bits"]
        base = ticks.frame_number_base(highest, bits)
        assert ticks.rebuild(low, base, bits) == vector["frame"]
        count += 1
    assert count > 50


def test_every_tick_of_the_widest_window_is_rebuilt():
    lower, upper = ticks.tick_window(
        1000, 3000, t0_ns=0, interval_ns=1, past_ns=500, skew_ns=500, bits=4
    )
    assert upper - lower == 14
    base = ticks.tick_base(lower, upper, 4)
    for tick in range(lower - 1, upper + 1):
        assert ticks.rebuild(tick & 15, base, 4) == tick


def test_the_window_opens_and_closes_to_the_nanosecond():
    def window(now):
        return ticks.tick_window(
            now, now, t0_ns=1000, interval_ns=100, past_ns=250, skew_ns=150, bits=24
        )

    # Tick 3 lasts until 1400: it is late from 1400 + 250 on, and early until 1300 - 150.
    assert [window(now)[0] for now in (1649, 1650)] == [3, 4]
    assert [window(now)[1] for now in (1149, 1150)] == [2, 3]

"""The board's LED, PPS input and watchdog, on a machine that tells what was done to it."""

import fake_machine
from device import pins
from fake_machine import with_machine

from tickseal.core.errors import ConfigError


class Platform:
    """Stands in for sys where a test wants another board."""

    def __init__(self, platform):
        self.platform = platform


class on:
    """While it lasts, the program finds itself on this platform, whatever runs the test."""

    def __init__(self, platform):
        self.platform = platform

    def __enter__(self):
        self.sys, pins.sys = pins.sys, Platform(self.platform)

    def __exit__(self, *_):
        pins.sys = self.sys


class Clock:
    """Stands in for time, of which CPython's has no ticks."""

    @staticmethod
    def ticks_us():
        return 1234


def test_the_led_is_lit_while_frames_are_taken():
    with with_machine():
        made = pins.Pins("LED", "", False)
        made.show(True)
        made.show(False)
        led = fake_machine.PINS["LED"]
    assert led.mode == fake_machine.Pin.OUT
    assert led.values == [True, False]


def test_needs_no_pins_at_all():
    made = pins.Pins("", "", False)
    made.show(True)
    made.feed()
    made.release()
    assert made.edge() == -1


def test_an_edge_of_the_pps_pin_is_told_once():
    with with_machine():
        made = pins.Pins("", 18, False)
        pin = fake_machine.PINS[18]
    assert pin.mode == fake_machine.Pin.IN
    assert made.edge() == -1
    time, pins.time = pins.time, Clock
    pin.handler(pin)
    pins.time = time
    assert made.edge() == 1234
    assert made.edge() == -1


def test_a_pin_that_is_not_there_is_an_error_of_the_configuration():
    with with_machine():
        try:
            pins.Pins("none such", "", False)
        except ConfigError as error:
            assert "none such" in str(error)
        else:
            raise AssertionError("it was taken")


def test_the_watchdog_is_fed_and_outlasts_a_handshake():
    with with_machine(), on("rp2"):
        made = pins.Pins("", "", True)
        made.feed()
        made.feed()
        (watchdog,) = fake_machine.WATCHDOGS
    assert watchdog.fed == 2
    assert 5000 < watchdog.timeout < 8388


def test_the_watchdog_can_be_left_out_and_is_where_it_could_not_be_stopped():
    with with_machine():
        with on("rp2"):
            pins.Pins("", "", False)
        with on("esp32"):
            pins.Pins("", "", True)
    assert fake_machine.WATCHDOGS == []

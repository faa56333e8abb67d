"""What hangs on the board's own pins: its LED, a PPS input; and its watchdog."""

import sys
import time

from tickseal.core.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The longest that an RP2040 can wait is 8.3 s; a handshake takes it 3.
_WATCHDOG_MS = 8000
# Registers: RP2040 datasheet section 4.7, RP2350 datasheet section 12.9; ENABLE is bit 30, and
# writing to an address + 0x3000 clears bits.
_WATCHDOG_RP2040 = 0x40058000
_WATCHDOG_RP2350 = 0x400D8000
_CLEAR = 0x3000
_ENABLE = 1 << 30


class Pins:
    """They are all optional.

    Args:
        led, pps: names or numbers of pins, "" for none.
        watchdog: whether the board starts anew when the program hangs. RP2040 and RP2350 only:
            elsewhere it could not be stopped again, and would reset a person at the REPL.
    """

    def __init__(self, led: "Any", pps: "Any", watchdog: bool) -> None:
        self._led: "Any" = None
        self._watchdog: "Any" = None
        self._edge = -1
        self._counted = -1
        try:
            if led != "" or pps != "":
                import machine

                if led != "":
                    self._led = machine.Pin(led, machine.Pin.OUT)
                if pps != "":
                    self._pps = machine.Pin(pps, machine.Pin.IN)
                    self._pps.irq(self._on_edge, machine.Pin.IRQ_RISING)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError("led %r or pps %r: %s" % (led, pps, error)) from None
        if watchdog and sys.platform == "rp2":
            import machine

            self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)

    def _on_edge(self, _pin: "Any") -> None:
        # By interrupt: nothing may be allocated here.
        self._edge = time.ticks_us()

    def edge(self) -> int:
        """Return time.ticks_us() of the last rising edge of the PPS pin, once; -1 for none new."""
        edge = self._edge
        if edge == self._counted:
            return -1
        self._counted = edge
        return edge

    def show(self, streaming: bool) -> None:
        """Light the LED while frames are taken by the gateway."""
        if self._led is not None:
            self._led.value(streaming)

    def feed(self) -> None:
        """Tell the watchdog that the program goes on."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def release(self) -> None:
        """Stop the watchdog, so that a person has all the time at the REPL."""
        if self._watchdog is not None:
            import os

            import machine

            base = _WATCHDOG_RP2350 if "RP2350" in os.uname().machine else _WATCHDOG_RP2040
            machine.mem32[base + _CLEAR] = _ENABLE

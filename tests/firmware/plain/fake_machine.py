"""A `machine` module for tests: pins, an ADC and a watchdog that tell what was done to them."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Pin:
    """Remembers its values, and whoever wants its edges."""

    IN, OUT, IRQ_RISING = 0, 1, 4

    def __init__(self, name: "Any", mode: int = IN) -> None:
        if name == "none such":
            raise ValueError("unknown named pin")
        self.mode = mode
        self.values: "list[bool]" = []
        self.handler: "Any" = None
        PINS[name] = self

    def value(self, value: bool) -> None:
        """Set it."""
        self.values.append(value)

    def irq(self, handler: "Any", trigger: int) -> None:
        """Call the handler at edges."""
        assert trigger == Pin.IRQ_RISING
        self.handler = handler


class ADC:
    """Reads what the test wants."""

    reading = 0

    def __init__(self, pin: "Any") -> None:
        self.pin = pin

    def read_u16(self) -> int:
        """Return it."""
        return ADC.reading


class WDT:
    """Counts how often it was fed."""

    def __init__(self, timeout: int) -> None:
        self.timeout, self.fed = timeout, 0
        WATCHDOGS.append(self)

    def feed(self) -> None:
        """Count."""
        self.fed += 1


#: What was made, pins by their name.
PINS: "dict[Any, Pin]" = {}
WATCHDOGS: "list[WDT]" = []
#: Registers that were written.
mem32: "dict[int, int]" = {}


class with_machine:
    """While it lasts, `import machine` gives this module."""

    def __enter__(self) -> None:
        """Take its place."""
        PINS.clear()
        WATCHDOGS.clear()
        mem32.clear()
        self._real = sys.modules.get("machine")
        sys.modules["machine"] = sys.modules[__name__]

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        del sys.modules["machine"]
        if self._real is not None:
            sys.modules["machine"] = self._real

"""Waits for what a device or a gateway does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Far beyond what anything here takes on an emulated device, so that only a fault reaches it.
PATIENCE_S = 90.0
_PAUSE_S = 0.05


def eventually(look: Callable[[], T], *, what: str, patience_s: float = PATIENCE_S) -> T:
    """Return what look() gives once it is true."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(_PAUSE_S)
    raise AssertionError(f"never happened within {patience_s:g} s: {what}")

"""Waits for what happens in its own time: no test says how fast, only that it comes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Far beyond what anything here takes on a busy machine, so that only a fault reaches it.
PATIENCE_S = 120.0
_PAUSE_S = 0.01


def eventually(look: Callable[[], T], what: str = "it") -> T:
    """Return what look() gives once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(_PAUSE_S)
    return found

"""Waits for what happens in its own time: no test says how fast, only that it comes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Far beyond what anything here takes on a busy machine, so that only a fault reaches it.
PATIENCE_S = 120.0
_PAUSE_S = 0.01


def eventually(look: Callable[[], T], what: str | Callable[[], str] = "it") -> T:
    """Return what look() gives once it is true.

    Args:
        what: is waited for; a function is asked when it did not happen.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what if isinstance(what, str) else what()}")
        time.sleep(_PAUSE_S)
    return found

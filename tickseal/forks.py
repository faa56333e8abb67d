"""Forks: a child process seals nothing with what its parent had, or both repeat (key, nonce)."""

import os
import weakref
from typing import Protocol


class Sealing(Protocol):
    """What holds a key and counts nonces."""

    def clear(self) -> None:
        """Erase the secrets."""


_parents: "weakref.WeakSet[Sealing]" = weakref.WeakSet()


def clear_in_child(sealing: Sealing) -> None:
    """Let a child process that is forked from now on have nothing of it."""
    _parents.add(sealing)


def _clear() -> None:
    for sealing in list(_parents):
        sealing.clear()
    _parents.clear()


os.register_at_fork(after_in_child=_clear)

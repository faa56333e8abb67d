"""Allotment: what several holders may have in memory together; the idlest gives way."""

from typing import Protocol


class Holder(Protocol):
    """What holds bytes, and can let go of them."""

    def give_up(self) -> None:
        """Let go of all that is held; called where others need the room."""


class Allotment:
    """Bytes that the holders of one peer share: so one that is hostile harms only itself.

    Args:
        most: bytes in all. What a single holder has beyond it is for that holder to bound.
    """

    __slots__ = ("_most", "_sizes", "_total")

    def __init__(self, most: int) -> None:
        self._most = most
        # The one that noted something last comes last.
        self._sizes: dict[Holder, int] = {}
        self._total = 0

    def note(self, holder: Holder, size: int) -> None:
        """Note how much a holder has now; others give up what they have where it is too much."""
        sizes = self._sizes
        self._total += size - sizes.pop(holder, 0)
        if size:
            sizes[holder] = size
        while self._total > self._most and len(sizes) > 1:
            idlest = next(iter(sizes))
            self._total -= sizes.pop(idlest)
            idlest.give_up()

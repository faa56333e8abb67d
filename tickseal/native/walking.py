"""The walker of a generation: `core.keytree.Walker`, natively where that can be."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tickseal.core import keytree
from tickseal.core.constants import PREFIX
from tickseal.core.keytree import Walker
from tickseal.native import IS_NATIVE

if TYPE_CHECKING:
    from tickseal.core.keytree import Node
    from tickseal.core.primitives import Primitives

__all__ = ["Walker"]

if not TYPE_CHECKING and IS_NATIVE:
    from tickseal.native import hotpath

    class Walker(hotpath.Walker):
        """Holder of the epochs ahead; see `core.keytree.Walker`, whose secrets are the same."""

        __slots__ = ()

        def __new__(
            cls, primitives: "Primitives", nodes: "Iterable[Node]", prefix: bytes = PREFIX
        ) -> "Walker | keytree.Walker":
            """Make one; another prefix than this protocol's is left to Python."""
            if prefix is not PREFIX:
                return keytree.Walker(primitives, nodes, prefix)
            return super().__new__(cls, list(nodes))

        from_root = classmethod(keytree.Walker.from_root.__func__)
        __repr__ = keytree.Walker.__repr__

        def take(self, epoch: int) -> bytes:
            """Return a secret and erase it; see `core.keytree.Walker.take`."""
            return super().take(epoch) if self.start <= epoch < self.end else self._refuse(epoch)

        def secret(self, epoch: int) -> bytes:
            """Return a secret; see `core.keytree.Walker.secret`."""
            return super().secret(epoch) if self.start <= epoch < self.end else self._refuse(epoch)

        def puncture(self, epoch: int) -> None:
            """Erase all before an epoch; see `core.keytree.Walker.puncture`."""
            super().puncture(min(max(epoch, 0), self.end))

        def cover(self, start: int, end: int) -> "list[Node]":
            """Return a grant; see `core.keytree.Walker.cover`."""
            from tickseal import primitives  # noqa: PLC0415  # which needs this package first

            walker = keytree.Walker(primitives, self.nodes())
            walker.end = self.end
            return walker.cover(start, end)

        def _refuse(self, epoch: int) -> bytes:
            empty = keytree.Walker(None, ())
            empty.end = self.end
            return empty.secret(epoch)

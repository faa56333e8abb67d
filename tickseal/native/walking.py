"""The walker of a generation: `core.keytree.Walker`, natively with both children in one call."""

from typing import TYPE_CHECKING

from tickseal.core.constants import PREFIX
from tickseal.core.keytree import Walker
from tickseal.native import IS_NATIVE

__all__ = ["Walker"]

if not TYPE_CHECKING and IS_NATIVE:
    from tickseal.native.hotpath import children

    class Walker(Walker):
        """Holder of the epochs ahead; see `core.keytree.Walker`, whose secrets are the same."""

        __slots__ = ()

        def _children(self, node: bytes) -> tuple[bytes, bytes]:
            return children(node) if self._prefix is PREFIX else super()._children(node)

"""The epoch tree: a walker holds the secrets still ahead and erases what is behind (section 3)."""

from tickseal.core import constants
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.keyschedule import expand_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickseal.core.primitives import Primitives

    Node = tuple[int, int, bytes]


def children(
    primitives: "Primitives", node: bytes, prefix: bytes = constants.PREFIX
) -> "tuple[bytes, bytes]":
    """Return the left and right child of a node, 32 bytes each (RFC 9420 section 9)."""
    mac = primitives.hmac(node)
    return (
        mac(expand_info(b"tree", b"left", 32, prefix) + b"\x01"),
        mac(expand_info(b"tree", b"right", 32, prefix) + b"\x01"),
    )


class Walker:
    """Holder of the epochs [start, end): a few nodes, in order, that cover exactly these.

    A node is (level above the leaves, index in its level, secret); it covers the epochs
    [index << level, (index + 1) << level). A whole tree is one node; a grant is any such list.

    Args:
        nodes: in ascending order, without gap or overlap.
    """

    __slots__ = ("_nodes", "_path", "_prefix", "_primitives", "end")

    def __init__(
        self,
        primitives: "Primitives",
        nodes: "Iterable[Node]",
        prefix: bytes = constants.PREFIX,
    ) -> None:
        self._primitives = primitives
        self._prefix = prefix
        # The nearest node last, so that the next leaf is taken from the end.
        self._nodes = list(nodes)
        # Nodes on the way to the last leaf that secret() gave: its neighbours then cost two HMACs.
        self._path: "list[Node]" = []
        #: The first epoch beyond what this walker ever covers.
        self.end = self._nodes[0][1] << self._nodes[0][0] if self._nodes else 0
        for level, index, _ in self._nodes:
            if index << level != self.end:
                raise LocalProtocolError("the nodes of a grant must follow each other without gap")
            self.end = (index + 1) << level
        self._nodes.reverse()

    @classmethod
    def from_root(
        cls,
        primitives: "Primitives",
        root: bytes,
        depth: int,
        prefix: bytes = constants.PREFIX,
    ) -> "Walker":
        """Return a walker over all 2^depth epochs below a 32-byte root."""
        if not 0 <= depth <= constants.DEPTH_MAX:
            raise LocalProtocolError("depth must be 0..%d, not %d" % (constants.DEPTH_MAX, depth))
        return cls(primitives, ((depth, 0, root),), prefix)

    @property
    def start(self) -> int:
        """The first epoch that can still be derived; equals end where none can."""
        if not self._nodes:
            return self.end
        level, index, _ = self._nodes[-1]
        return index << level

    def take(self, epoch: int) -> bytes:
        """Return the secret of an epoch and erase it with all before it.

        Raises:
            ExhaustedError: the epoch lies beyond the tree or grant.
            LocalProtocolError: the epoch was erased.
        """
        # First, so that an epoch which does not exist erases nothing.
        self._find(epoch)
        self.puncture(epoch)
        # What lies on the path may reach the epoch itself, which is taken now.
        self._path = []
        self._split_last()
        return self._nodes.pop()[2]

    def puncture(self, epoch: int) -> None:
        """Erase all before an epoch; what is already erased stays so."""
        nodes = self._nodes
        # An inner node on the path that reaches behind the epoch would undo the erasure.
        self._path = [node for node in self._path if node[1] << node[0] >= epoch]
        while nodes and (nodes[-1][1] + 1) << nodes[-1][0] <= epoch:
            nodes.pop()
        while nodes and nodes[-1][1] << nodes[-1][0] < epoch:
            level, index, secret = nodes.pop()
            left, right = self._children(secret)
            level -= 1
            nodes.append((level, 2 * index + 1, right))
            if (2 * index + 1) << level > epoch:
                nodes.append((level, 2 * index, left))

    def secret(self, epoch: int) -> bytes:
        """Return the secret of an epoch; nothing is erased.

        Raises: as take.
        """
        path = self._path
        while path and path[-1][1] != epoch >> path[-1][0]:
            path.pop()
        level, index, secret = path[-1] if path else self._find(epoch)
        while level:
            left, right = self._children(secret)
            level -= 1
            index = epoch >> level
            secret = right if index & 1 else left
            path.append((level, index, secret))
        return secret

    def cover(self, start: int, end: int) -> "list[Node]":
        """Return a grant: the fewest nodes whose leaves are the epochs [start, end), in order.

        Raises:
            LocalProtocolError: the span is empty or not wholly held.
        """
        if not self._nodes or not self.start <= start < end <= self.end:
            raise LocalProtocolError(
                "epochs %d to %d are not held (held: %d to %d)" % (start, end, self.start, self.end)
            )
        found: "list[Node]" = []
        stack = list(self._nodes)
        while stack:
            level, index, secret = stack.pop()
            first, last = index << level, (index + 1) << level
            if last <= start or first >= end:
                continue
            if start <= first and last <= end:
                found.append((level, index, secret))
                continue
            left, right = self._children(secret)
            stack.append((level - 1, 2 * index + 1, right))
            stack.append((level - 1, 2 * index, left))
        return found

    def nodes(self) -> "list[Node]":
        """Return all that is held, in ascending order. These are secrets."""
        held = list(self._nodes)
        held.reverse()
        return held

    def clear(self) -> None:
        """Erase everything."""
        self._nodes = []
        self._path = []

    def __repr__(self) -> str:
        return "<Walker of epochs %d to %d>" % (self.start, self.end)

    def _children(self, node: bytes) -> "tuple[bytes, bytes]":
        return children(self._primitives, node, self._prefix)

    def _find(self, epoch: int) -> "Node":
        for node in reversed(self._nodes):
            first = node[1] << node[0]
            if epoch < first:
                break
            if epoch < first + (1 << node[0]):
                return node
        if epoch >= self.end:
            raise ExhaustedError(
                "epoch %d lies beyond the end of this generation (%d); open the next one"
                % (epoch, self.end)
            )
        raise LocalProtocolError("epoch %d is erased" % epoch)

    def _split_last(self) -> None:
        """Split the nearest node down to the leaf of its first epoch."""
        nodes = self._nodes
        level, index, secret = nodes[-1]
        while level:
            nodes.pop()
            left, right = self._children(secret)
            level -= 1
            index *= 2
            nodes.append((level, index + 1, right))
            nodes.append((level, index, left))
            secret = left

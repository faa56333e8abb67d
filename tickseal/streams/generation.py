"""A generation: one initial secret's life, from which a sealer or an opener takes its keys."""

from collections.abc import Iterable

from tickseal import primitives
from tickseal.core import constants, keyschedule
from tickseal.core.errors import LocalProtocolError
from tickseal.native.walking import Walker
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters


class Generation:
    """What source and sink each hold of one generation of a stream.

    A sealer or an opener takes a generation for its own and moves its walker: make one for each.
    Header and keys always come from the same object, so they cannot be mixed.

    Attributes:
        metadata: what the stream is.
        parameters: all that was negotiated.
        handle: the stream's number on the wire, 1..2^32-1.
        context: C, 32 bytes.
        confirm: 16 bytes by which one side shows the other that it derived the same; not secret.
            Empty where the generation came from a grant.
        walker: the epoch secrets still held.
    """

    __slots__ = ("confirm", "context", "handle", "metadata", "parameters", "walker")

    def __init__(
        self,
        metadata: StreamMetadata,
        parameters: StreamParameters,
        *,
        handle: int,
        walker: Walker,
        confirm: bytes = b"",
    ) -> None:
        if not 1 <= handle < 1 << 32:
            raise LocalProtocolError(f"a handle is 1..2^32-1, not {handle}")
        self.metadata = metadata
        self.parameters = parameters
        self.handle = handle
        self.context = keyschedule.context(primitives, metadata.encode(), parameters.encode())
        self.walker = walker
        self.confirm = confirm

    @classmethod
    def derive(
        cls,
        metadata: StreamMetadata,
        parameters: StreamParameters,
        *,
        initial_secret: bytes,
        salt: bytes,
        handle: int,
    ) -> "Generation":
        """Return the generation of an initial secret; PRK and root are gone when it returns.

        Args:
            initial_secret: 32 bytes from the handshake's exporter, or random.
            salt: 32 bytes, random, of this generation.
            handle: given by the controller.
        Raises:
            LocalProtocolError: secret or salt is not of 32 bytes.
        Source: docs/protocol.md section 3.
        """
        if len(initial_secret) != constants.SECRET_BYTES or len(salt) != constants.SALT_BYTES:
            raise LocalProtocolError("initial secret and salt are 32 bytes each")
        context = keyschedule.context(primitives, metadata.encode(), parameters.encode())
        prk = keyschedule.extract(primitives, salt, initial_secret)
        root = keyschedule.root(primitives, prk, context)
        walker = Walker.from_root(primitives, root, parameters.depth)
        confirm = keyschedule.confirm(primitives, prk, context)
        return cls(metadata, parameters, handle=handle, walker=walker, confirm=confirm)

    @classmethod
    def from_grant(
        cls,
        metadata: StreamMetadata,
        parameters: StreamParameters,
        nodes: Iterable[tuple[int, int, bytes]],
        *,
        handle: int,
    ) -> "Generation":
        """Return a generation that holds just the epochs of a grant (docs/protocol.md section 3).

        Args:
            nodes: (level, index, 32-byte secret), ascending, without gap.
        Raises:
            LocalProtocolError: the nodes are not of such a tree, or the depth is 0.
        """
        return cls(metadata, parameters, handle=handle, walker=_granted(parameters, nodes))

    @property
    def stream_id(self) -> str:
        """The stream's unique name."""
        return self.metadata.id

    @property
    def number(self) -> int:
        """The random 64-bit number of this generation."""
        return self.parameters.generation

    def epoch(self, tick: int) -> int:
        """Return the epoch of a tick; with depth 0 there is only one."""
        return tick >> self.parameters.epoch_bits if self.parameters.depth else 0

    def grant(self, from_tick: int, until_tick: int) -> list[tuple[int, int, bytes]]:
        """Return the fewest nodes that derive just the epochs of the ticks [from, until). Secrets.

        Raises:
            LocalProtocolError: the span is empty or not held any more, or depth is 0, where nothing
                can be split off.
        """
        if not self.parameters.depth:
            raise LocalProtocolError(
                "a stream of depth 0 cannot grant a span: its one key opens all"
            )
        if from_tick >= until_tick:
            raise LocalProtocolError(f"a grant from tick {from_tick} until {until_tick} is empty")
        return self.walker.cover(self.epoch(from_tick), self.epoch(until_tick - 1) + 1)

    def renew(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold the epochs of another grant of this generation; what was erased stays so.

        Args, Raises: as of from_grant().
        """
        walker = _granted(self.parameters, nodes)
        walker.puncture(self.walker.start)
        self.walker = walker

    def clear(self) -> None:
        """Erase the secrets, as far as CPython allows (docs/security.md)."""
        self.walker.clear()

    def __repr__(self) -> str:
        return f"<Generation {self.number:016x} of {self.stream_id!r}>"


def _granted(parameters: StreamParameters, nodes: Iterable[tuple[int, int, bytes]]) -> Walker:
    nodes = list(nodes)
    if not nodes or not parameters.depth:
        raise LocalProtocolError("a grant has at least one node, and a depth above 0")
    for level, index, secret in nodes:
        if (
            not 0 <= level <= parameters.depth
            or not 0 <= index < 1 << (parameters.depth - level)
            or len(secret) != constants.SECRET_BYTES
        ):
            raise LocalProtocolError(f"no node {index} of level {level} in this tree")
    return Walker(primitives, nodes)


def derive_frame_key(
    initial_secret: bytes,
    salt: bytes,
    context: bytes,
    tick: int,
    frame: int | None = None,
    *,
    depth: int = constants.DEPTH_DEFAULT,
    epoch_bits: int = 0,
) -> bytes:
    """Return one frame key from the initial secret: the whole key schedule in one call.

    Args:
        initial_secret: the input keying material; 32 bytes in the protocol, any length here.
        salt: 32 bytes in the protocol, any length here.
        context: C, 32 bytes (docs/protocol.md section 2.3).
        tick: the time component, 0..2^64-1.
        frame: the frame number, 0..2^64-2; None where the key is renewed every interval.
        depth: levels of the epoch tree, 0..48; 0 is the plain HKDF.
        epoch_bits: 2^epoch_bits ticks share an epoch, 0..32.
    Returns:
        32 bytes.
    Raises:
        LocalProtocolError: an argument is out of its range.
        ExhaustedError: the tree has no such epoch.
    Source: docs/protocol.md section 3; RFC 5869.
    """
    if len(context) != constants.CONTEXT_BYTES:
        raise LocalProtocolError(f"context is 32 bytes, not {len(context)}")
    if not 0 <= tick < 1 << 64:
        raise LocalProtocolError("tick is 0..2^64-1")
    if frame is None:
        frame = constants.EVERY_FRAME_OF_INTERVAL
    elif not 0 <= frame < constants.EVERY_FRAME_OF_INTERVAL:
        raise LocalProtocolError("frame is 0..2^64-2, or None for one key an interval")
    if not 0 <= epoch_bits <= constants.EPOCH_BITS_MAX:
        raise LocalProtocolError(f"epoch_bits is 0..{constants.EPOCH_BITS_MAX}")
    prk = keyschedule.extract(primitives, salt, initial_secret)
    walker = Walker.from_root(primitives, keyschedule.root(primitives, prk, context), depth)
    secret = walker.secret(tick >> epoch_bits if depth else 0)
    return keyschedule.frame_key(primitives, secret, tick, frame)


def key_hash(key: bytes, length: int = constants.KEY_HASH_DEFAULT) -> bytes:
    """Return the first length (8..32) bytes of SHA-256 of a frame key.

    Raises:
        LocalProtocolError: the length is out of its range.
    """
    if not constants.KEY_HASH_MIN <= length <= constants.KEY_HASH_MAX:
        raise LocalProtocolError(f"a key hash is 8..32 bytes, not {length}")
    return keyschedule.key_hash(primitives, key, length)

"""What every link offers: segments in batches, or a stream of control bytes."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

#: An address as the socket gives it: (host, port) or, with IPv6, (host, port, flow, scope).
Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

_MAPPED = "::ffff:"


def plain_address(address: Address) -> tuple[str, int]:
    """Return (host, port), with an IPv4 peer of a dual-stack socket written as IPv4."""
    host = address[0]
    if host.startswith(_MAPPED) and "." in host:
        host = host[len(_MAPPED) :]
    return (host, address[1])


class SegmentLink(Protocol):
    """Carries segments, each whole or not at all, in any order; may lose and repeat them."""

    async def send(self, segments: Sequence[bytes]) -> None:
        """Hand segments over; return when the machine took them. Losses are counted, not raised."""
        ...

    async def receive(self) -> list[tuple[bytes, Address]]:
        """Wait for segments; return all that are there, at least one, up to the link's batch limit.

        Raises:
            LinkError: the link was closed.
        """
        ...

    def close(self) -> None:
        """Give the link up; a waiting receive() raises LinkError."""
        ...


class StreamLink(Protocol):
    """Carries control bytes, in order and without loss, until it breaks."""

    @property
    def peer(self) -> Address:
        """Who is at the other end."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether the write buffer is below its limit: data frames wait while it is not."""
        ...

    async def receive(self) -> bytes:
        """Wait for bytes; b"" at the peer's orderly end.

        Raises:
            LinkError: the link broke or was closed.
        """
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes; nothing is ever dropped.

        Raises:
            LinkError: the link is closed, or the caller went far beyond the limit without drain().
        """
        ...

    async def drain(self) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            LinkError: the link broke.
        """
        ...

    async def close(self) -> None:
        """Send what is queued (for a few seconds at most), then close."""
        ...

    def abort(self) -> None:
        """Close at once; what is queued is lost."""
        ...

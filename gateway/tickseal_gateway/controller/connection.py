"""One device's connection: the protocol's session over a link, and whose it is."""

from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.links.base import StreamLink, plain_address
from tickseal.sessions.control import Hello
from tickseal.sessions.controller_session import ControllerSession
from tickseal_gateway.registry.registered import Device


class Connection:
    """What is known of a connection, and the way to say something over it.

    Args:
        link: it is the conversation's to read from.
    Attributes:
        session: the protocol's side of it.
        device: whose it is, once the session has started.
        hello: what the device said of itself.
        address: the peer's host, for people.
        opened_ns, started_ns, heard_ns: when it was opened, when the session started, and when its
            peer was last heard; monotonic.
        hybrid: whether the handshake was the one with ML-KEM-768.
    """

    def __init__(self, session: ControllerSession, link: StreamLink) -> None:
        self._link = link
        self.session = session
        self.device: Device | None = None
        self.hello: Hello | None = None
        self.address = plain_address(link.peer)[0]
        self.opened_ns = self.started_ns = self.heard_ns = boottime_ns()
        self.hybrid = False

    @property
    def handshake(self) -> str:
        """Which handshake it was, for people."""
        return "hybrid" if self.hybrid else "classical"

    @property
    def named(self) -> str:
        """The device's name, or where nobody knows it yet its address."""
        return self.device.name if self.device else self.address

    @property
    def is_writable(self) -> bool:
        """Whether the link takes more."""
        return self._link.is_writable

    def flush(self) -> None:
        """Write what the session has to say, as far as the link takes it. Any task."""
        while self._link.is_writable and (data := self.session.data_to_send()):
            self._link.write(data)

    async def end(self) -> None:
        """Flush, then let the connection go: after session.close() or revoke(), by another task."""
        try:
            self.flush()
        except LinkError:
            self._link.abort()
            return
        await self._link.close()

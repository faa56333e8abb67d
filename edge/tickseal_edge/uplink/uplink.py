"""Uplink: stays connected to the gateway, tries its addresses in turn, and never gives up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tickseal.clock import Clock
from tickseal.core.errors import LinkError, LocalProtocolError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal.links.backoff import Backoff
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal_edge.uplink.connection import Connection

_logger = logging.getLogger("tickseal.edge")

#: A session that lasted so long has proved itself: the next attempts begin with short waits again.
_PROVED_NS = 30_000_000_000
_REFUSALS = {
    "unknown": "it is not enrolled there (any more); enrol it again with a new invite",
    "revoked": "it was revoked; enrol it again with a new invite",
    "incompatible": "it may not use this handshake; enrol it again with a new invite",
    "busy": "the gateway is busy; this device tries again",
}
_SAID = (ev.CloseReason.REFUSED, ev.CloseReason.REVOKED)
_BYES = {
    "displaced": "another device, or another process, uses this device's identity",
    "stopping": "the gateway stops",
}


@dataclass(slots=True)
class UplinkState:
    """How it stands, for people.

    Attributes:
        is_up: a session stands.
        since_ns: since when it is up, or down; monotonic.
        address: of the gateway, as last tried.
        gateway: the name that it gave.
        problem: why there is no session; empty where there is one.
        sessions: how many stood so far.
    """

    is_up: bool = False
    since_ns: int = 0
    address: str = ""
    gateway: str = ""
    problem: str = "not tried yet"
    sessions: int = 0


class Uplink:
    """The connection to the gateway, for ever.

    Args:
        clock: the device's own.
        on_event: is given every event of every session.
        serve: runs beside each session from its welcome on, and is cancelled at its end.
        on_down: is called after every attempt that failed and every session that ended.
    Attributes:
        connection: the present one, from its welcome to its end.
    """

    def __init__(
        self,
        *,
        identity: DeviceIdentity,
        software: str,
        policy: AcceptancePolicy,
        clock: Clock,
        backoff: Backoff,
        on_event: Callable[[ev.Event], None],
        serve: Callable[[Connection], Awaitable[None]],
        on_down: Callable[[], None],
    ) -> None:
        self._identity = identity
        self._software = software
        self._policy = policy
        self._clock = clock
        self._backoff = backoff
        self._on_event = on_event
        self._serve = serve
        self._on_down = on_down
        self._once = Once(_logger)
        self._attempt: Connection | None = None
        self._serving: asyncio.Task[None] | None = None
        self.connection: Connection | None = None
        self.state = UplinkState(since_ns=boottime_ns())

    async def run(self) -> None:
        """Connect and serve until cancelled."""
        while True:
            for address in self._identity.addresses:
                try:
                    await self._session(address)
                    break
                except LinkError as error:
                    self._fails(str(error))
                    self._on_down()
            await asyncio.sleep(self._backoff.next_ns() / 1e9)

    async def goodbye(self, reason: str) -> None:
        """Send what waits, then bye."""
        if self._attempt is not None:
            await self._attempt.goodbye(reason)

    async def _session(self, address: str) -> None:
        self.state.address = address
        connection = self._attempt = Connection(
            credentials=self._identity.credentials(),
            name=self._identity.name,
            software=self._software,
            policy=self._policy,
            clock=self._clock,
            on_event=self._on_session_event,
        )
        started_ns = boottime_ns()
        try:
            closed = await connection.run(address)
        finally:
            was_up = self.state.is_up
            self._attempt = self.connection = None
            self.state.is_up = False
            await self._stop_serving()
        if was_up:
            self.state.since_ns = boottime_ns()
            if boottime_ns() - started_ns > _PROVED_NS:
                self._backoff.reset()
        # The gateway's no was said with what to do; a second sentence would make each attempt news.
        if closed is not None and closed.reason not in _SAID:
            said = _BYES.get(closed.detail, closed.detail)
            self._fails(f"the session with {address} ended: {said}")
        self._on_down()

    def _on_session_event(self, event: ev.Event) -> None:
        if isinstance(event, ev.Welcomed) and self._attempt is not None:
            self.connection = self._attempt
            now_ns = boottime_ns()
            self.state = UplinkState(
                is_up=True,
                since_ns=now_ns,
                address=self.state.address,
                gateway=event.gateway,
                problem="",
                sessions=self.state.sessions + 1,
            )
            _logger.info("connected to %s at %s", event.gateway, self.state.address)
            self._once = Once(_logger)
            self._serving = asyncio.create_task(self._serve_safely(self.connection))
        elif isinstance(event, ev.HandshakeRefused):
            self._fails(
                "the gateway refused this device: " + _REFUSALS.get(event.reason, event.reason)
            )
        elif isinstance(event, ev.Revoked):
            self._fails("the gateway revoked this device; enrol it again to stream")
        self._on_event(event)

    async def _serve_safely(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except (LinkError, LocalProtocolError) as error:
            if connection.is_running:
                connection.fail(error)
            _logger.debug("%s", error)
        except Exception as error:
            connection.fail(error)

    async def _stop_serving(self) -> None:
        serving, self._serving = self._serving, None
        if serving is None:
            return
        serving.cancel()
        # Waiting for it, not awaiting it: the own cancellation must not be taken for its.
        await asyncio.wait([serving])

    def _fails(self, problem: str) -> None:
        self.state.problem = problem
        # By address, or two that fail in turn would each be news for ever.
        self._once.change(self.state.address, problem, logging.WARNING, "%s", problem)

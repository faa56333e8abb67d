"""The gateway: whether this device is enrolled, and whether the gateway can be reached."""

import asyncio
from collections.abc import Iterator
from typing import Any

from tickseal.clock import Clock
from tickseal.core.errors import LinkError, TicksealError
from tickseal.host.control_socket import NotRunningError, ask
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.state import StateDirectory
from tickseal.sessions import events as ev
from tickseal_edge.config import EdgeConfig
from tickseal_edge.doctor.findings import Finding, bad, from_error, note, well
from tickseal_edge.enrolment import ENROL, load_identity
from tickseal_edge.streams.suites import policy_of
from tickseal_edge.uplink.connection import Connection

_PATIENCE_S = 12.0


def ask_service(config: EdgeConfig) -> dict[str, Any] | None:
    """Return the status of the running service; None where none runs.

    Raises:
        LinkError: it does not answer, or is another user's.
    """
    try:
        state: dict[str, Any] = ask(config.state_path, {"do": "status"}, service="edge")
    except NotRunningError:
        return None
    return state


def check_running(state: dict[str, Any]) -> Iterator[Finding]:
    """Look at what a running service says of its gateway."""
    yield well("service", f"runs, as {state['device']}")
    link = state["gateway"]
    if not link["is_up"]:
        yield bad("gateway", f"not connected: {link['problem']}")
    else:
        yield well("gateway", f"connected to {link['name']} at {link['address']}")
        if not link["udp"]:
            yield note("gateway", "takes no UDP; frames go over the connection")
    if state["clock"]["disagrees"]:
        yield bad("gateway", "its clock and this one disagree", "see `tickseal edge clock`")
    for stream in state["streams"]:
        if stream["refused"]:
            yield bad("gateway", f"it refuses {stream['id']}: {stream['refused']}")
    dropped = state["spool"]["dropped_frames"]
    if dropped:
        yield note("spool", f"{dropped} frames made room", "set a larger spool.most")


def check_gateway(config: EdgeConfig, software: str, clock: Clock) -> Iterator[Finding]:
    """Connect once as the service would; for where none runs."""
    if not config.state_path.exists():
        yield bad(
            "identity",
            "this device is not enrolled",
            ENROL,
        )
        return
    try:
        with StateDirectory.open(config.state_path) as directory:
            identity = load_identity(directory)
            # The directory is owned meanwhile: a service that starts now cannot be displaced.
            yield well("identity", f"enrolled as {identity.name}")
            for address in identity.addresses:
                yield asyncio.run(_greet(identity, address, config, software, clock))
    except TicksealError as error:
        yield from_error("identity", error)


async def _greet(
    identity: DeviceIdentity, address: str, config: EdgeConfig, software: str, clock: Clock
) -> Finding:
    """Shake hands with the gateway at an address, and leave again."""
    problem = "it does not answer the handshake"
    found: Finding | None = None

    def on_event(event: ev.Event) -> None:
        nonlocal problem, found
        match event:
            case ev.Welcomed():
                way = f", and UDP port {event.udp_port}" if event.udp_port else ", without UDP"
                found = well("gateway", f"{event.gateway} answers at {address}{way}")
                connection.session.close("doctor")
                connection.flush()
            case ev.HandshakeRefused():
                problem = f"it refuses this device: {event.reason}"
            case ev.SessionClosed():
                problem = event.detail or problem
            case _:
                pass

    connection = Connection(
        credentials=identity.credentials(),
        name=identity.name,
        software=software,
        policy=policy_of(config.suite),
        clock=clock,
        on_event=on_event,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await connection.run(address)
    except TimeoutError:
        pass
    except LinkError as error:
        return from_error("gateway", error)
    return found or bad("gateway", f"{address}: {problem}")

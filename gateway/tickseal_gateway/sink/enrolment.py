"""A sink's sessions, and its enrolment by one."""

import os
from functools import partial
from importlib.metadata import version

from tickseal.clock import Clock
from tickseal.host import enrolment
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.sessions.control import Role
from tickseal.sessions.device_session import Credentials
from tickseal.sessions.sink_session import SinkSession
from tickseal.streams.parameters import Suite


def begin_session(credentials: Credentials, *, name: str) -> SinkSession:
    """Return a session of this sink that begins now.

    Args:
        name: what the sink calls itself.
    """
    return SinkSession(
        credentials=credentials,
        name=name,
        software=f"tickseal {version('tickseal')}",
        suites=tuple(int(suite) for suite in Suite),
        random_bytes=os.urandom,
        monotonic_ns=boottime_ns(),
    )


async def enrol_sink(
    invite: InviteToken, *, name: str, state: StateDirectory, clock: Clock
) -> DeviceIdentity:
    """Enrol by an invite and return the identity, which is on disk then.

    Raises:
        EnrolmentError: the gateway refused, or no gateway answered.
        StoreError: the identity cannot be written.
    """
    session = partial(begin_session, name=name)
    return await enrolment.enrol(invite, role=Role.SINK, session=session, state=state, clock=clock)

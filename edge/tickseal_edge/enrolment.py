"""Enrolment of this device as a source, and the identity that it leaves."""

import os

from tickseal.clock import Clock
from tickseal.host import enrolment
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.sessions.control import Role
from tickseal.sessions.device_session import Credentials
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.sessions.source_session import SourceSession

#: How a device is enrolled, for messages.
ENROL = "on the gateway run `tickseal gateway invite`, then here `tickseal edge enrol TOKEN`"


def load_identity(state: StateDirectory) -> DeviceIdentity:
    """Return the identity of this device.

    Raises:
        EnrolmentError: it is not enrolled.
        StoreError: the file is damaged.
    """
    return DeviceIdentity.load(state, enrol=ENROL)


async def enrol_device(
    invite: InviteToken,
    private_key: bytes,
    *,
    name: str,
    software: str,
    state: StateDirectory,
    clock: Clock,
) -> DeviceIdentity:
    """Enrol by an invite and return the identity, which is on disk then.

    Args:
        private_key: the device's new static key, 32 bytes.
        name: what the device would like to be called.
        software: name and version, told to the gateway.
    Raises:
        EnrolmentRefusedError: the gateway refused.
        EnrolmentError: no gateway answered.
        StoreError: the identity cannot be written.
    """

    def begin_session(credentials: Credentials) -> SourceSession:
        return SourceSession(
            credentials=credentials,
            name=name,
            software=software,
            policy=AcceptancePolicy(),
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )

    return await enrolment.enrol(
        invite,
        role=Role.SOURCE,
        session=begin_session,
        state=state,
        clock=clock,
        private_key=private_key,
    )

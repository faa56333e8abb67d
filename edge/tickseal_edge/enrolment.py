"""Enrolment: one session by an invite, at the end of which the device has an identity on disk."""

from tickseal import events as ev
from tickseal.clock import Clock
from tickseal.core.errors import EnrolmentError, LinkError
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.negotiation import AcceptancePolicy
from tickseal.source_session import Credentials
from tickseal_edge.connection import Connection
from tickseal_edge.identity import Identity

_REFUSALS = {
    "unknown": "the gateway does not know this invite; ask for a new one",
    "expired": "this invite has expired; ask for a new one",
    "used": "this invite was used already; ask for a new one",
    "busy": "the gateway is busy; try again in a minute",
    "incompatible": "the gateway does not allow this device's handshake; ask for another invite",
    "revoked": "this device was revoked; ask for a new invite",
}


async def enrol_device(
    invite: InviteToken,
    private_key: bytes,
    *,
    name: str,
    software: str,
    state: StateDirectory,
    clock: Clock,
) -> Identity:
    """Enrol by an invite and return the identity, which is on disk then.

    Args:
        private_key: the device's new static key, 32 bytes.
        name: what the device would like to be called.
        software: name and version, told to the gateway.
    Raises:
        EnrolmentError: the gateway refused, or no gateway answered.
        StoreError: the identity cannot be written.
    """
    faults = []
    for address in invite.addresses:
        enrolment = _Enrolment(invite, private_key, state)
        connection = Connection(
            credentials=Credentials.from_invite(invite, private_key=private_key),
            name=name,
            software=software,
            policy=AcceptancePolicy(),
            clock=clock,
            on_event=enrolment.on_event,
        )
        enrolment.connection = connection
        try:
            closed = await connection.run(address)
        except LinkError as error:
            faults.append(str(error))
            continue
        if enrolment.identity:
            return enrolment.identity
        if enrolment.refusal:
            raise EnrolmentError(_REFUSALS.get(enrolment.refusal, enrolment.refusal))
        faults.append(f"{address}: {closed.detail if closed else 'no answer'}")
    raise EnrolmentError("no gateway of this invite could be reached: " + "; ".join(faults))


class _Enrolment:
    connection: Connection

    def __init__(self, invite: InviteToken, private_key: bytes, state: StateDirectory) -> None:
        self._invite = invite
        self._private_key = private_key
        self._state = state
        self.identity: Identity | None = None
        self.refusal = ""

    def on_event(self, event: ev.Event) -> None:
        match event:
            case ev.Enrolled():
                identity = Identity(
                    device=event.device,
                    private_key=self._private_key,
                    gateway_key=self._invite.gateway_public,
                    psk=event.device_psk,
                    hybrid=self._invite.hybrid,
                    addresses=self._invite.addresses,
                )
                identity.save(self._state)
                self.identity = identity
                self.connection.session.confirm_stored()
                self.connection.session.close("enrolled")
                self.connection.flush()
            case ev.HandshakeRefused():
                self.refusal = event.reason
            case _:
                pass

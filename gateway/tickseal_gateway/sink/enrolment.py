"""Enrolment of a separate sink: one session by an invite, then its identity is on disk."""

import os

from tickseal import events as ev
from tickseal.clock import Clock
from tickseal.core.errors import EnrolmentError, LinkError
from tickseal.device_session import Credentials
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.sink_session import SinkSession
from tickseal_gateway.sink.conversation import Conversation

_REFUSALS = {
    "unknown": "the gateway does not know this invite (any more)",
    "expired": "this invite has expired",
    "used": "this invite was used already",
    "busy": "the gateway is busy: try again in a minute",
    "incompatible": "the gateway does not allow this invite's handshake (any more)",
    "revoked": "this sink was revoked",
    "role": "this invite is for a source",
}
_ANEW = "; on the gateway: tickseal gateway invite --sink"


async def enrol_sink(
    invite: InviteToken, *, name: str, state: StateDirectory, clock: Clock
) -> DeviceIdentity:
    """Enrol by an invite and return the identity, which is on disk then.

    Raises:
        EnrolmentError: the gateway refused, or no gateway answered.
        StoreError: the identity cannot be written.
    """
    private_key = os.urandom(32)
    faults = []
    for address in invite.addresses:
        attempt = _Attempt(invite, private_key, state)
        credentials = Credentials.from_invite(invite, private_key=private_key)
        try:
            closed = await Conversation(
                credentials, name=name, clock=clock, on_event=attempt.on_event
            ).run(address)
        except LinkError as error:
            faults.append(str(error))
            continue
        if attempt.identity is not None:
            return attempt.identity
        reason = attempt.refusal or (closed.detail if closed else "")
        if reason in _REFUSALS:
            raise EnrolmentError(_REFUSALS[reason] + ("" if reason == "busy" else _ANEW))
        faults.append(f"{address}: {reason or 'no answer'}")
    raise EnrolmentError("no gateway of this invite could be reached: " + "; ".join(faults))


class _Attempt:
    def __init__(self, invite: InviteToken, private_key: bytes, state: StateDirectory) -> None:
        self._invite = invite
        self._private_key = private_key
        self._state = state
        self.identity: DeviceIdentity | None = None
        self.refusal = ""

    def on_event(self, session: SinkSession, event: ev.Event) -> None:
        match event:
            case ev.Enrolled():
                identity = DeviceIdentity(
                    name=event.device,
                    private_key=self._private_key,
                    gateway_key=self._invite.gateway_public,
                    psk=event.device_psk,
                    hybrid=self._invite.hybrid,
                    addresses=self._invite.addresses,
                )
                identity.save(self._state)
                self.identity = identity
                session.confirm_stored()
                session.close("enrolled")
            case ev.HandshakeRefused():
                self.refusal = event.reason
            case _:
                pass

"""Enrolment of a device: one session by an invite, at the end of which its identity is on disk."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tickseal.clock import Clock
from tickseal.core.errors import ConfigError, EnrolmentError, LinkError
from tickseal.host.conversation import Conversation
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.device_session import Credentials, DeviceSession

_REFUSALS = {
    "unknown": "the gateway does not know this invite (any more)",
    "expired": "this invite has expired",
    "used": "this invite was used already",
    "busy": "the gateway is busy; try again in a minute",
    "incompatible": "the gateway does not allow this invite's handshake (any more)",
    "revoked": "this device was revoked",
    "role": "this invite is for a {other}",
}
_ANEW = {
    Role.SOURCE: "on the gateway: tickseal gateway invite",
    Role.SINK: "on the gateway: tickseal gateway invite --sink",
}
_OTHER = {Role.SOURCE: "sink", Role.SINK: "source"}
#: These pass by themselves.
_PASSING = ("busy",)


class EnrolmentRefusedError(EnrolmentError):
    """The gateway itself refused, by an answer that authenticates.

    Attributes:
        reason: one of the protocol's words (docs/protocol.md sections 6.2 and 9).
    """

    def __init__(self, reason: str, role: Role) -> None:
        why = _REFUSALS[reason].format(other=_OTHER[role])
        super().__init__(why if reason in _PASSING else f"{why}; {_ANEW[role]}")
        self.reason = reason


def read_invite(given: str) -> str:
    """Return an invite token as a command was given it.

    Args:
        given: the token; @FILE, or - for standard input, so that it stands in no shell's history
            and in no list of processes.
    Raises:
        ConfigError: the file cannot be read.
    """
    if given == "-":
        return sys.stdin.readline().strip()
    if not given.startswith("@"):
        return given.strip()
    try:
        return Path(given[1:]).expanduser().read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given}: cannot be read: {error}") from None


async def enrol(
    invite: InviteToken,
    *,
    session: Callable[[Credentials], DeviceSession],
    state: StateDirectory,
    clock: Clock,
    role: Role,
    private_key: bytes | None = None,
) -> DeviceIdentity:
    """Enrol by an invite and return the identity, which is on disk then.

    Args:
        role: the device's, for what is advised.
        session: begins a session in that role.
        clock: the device's own.
        private_key: the device's static key, 32 bytes; by default a new one.
    Raises:
        EnrolmentRefusedError: the gateway refused.
        EnrolmentError: no gateway answered.
        StoreError: the identity cannot be written.
    """
    private_key = os.urandom(32) if private_key is None else private_key
    credentials = Credentials.from_invite(invite, private_key=private_key)
    faults = []
    for address in invite.addresses:
        attempt = _Attempt(invite, private_key, state)
        conversation = Conversation(session(credentials), clock=clock, on_event=attempt.on_event)
        try:
            closed = await conversation.run(address)
        except LinkError as error:
            faults.append(str(error))
            continue
        if attempt.identity is not None:
            return attempt.identity
        reason = attempt.refusal or (closed.detail if closed else "")
        if reason in _REFUSALS:
            raise EnrolmentRefusedError(reason, role)
        faults.append(f"{address}: {reason or 'no answer'}")
    raise EnrolmentError("no gateway of this invite could be reached: " + "; ".join(faults))


class _Attempt:
    def __init__(self, invite: InviteToken, private_key: bytes, state: StateDirectory) -> None:
        self._invite = invite
        self._private_key = private_key
        self._state = state
        self.identity: DeviceIdentity | None = None
        self.refusal = ""

    def on_event(self, session: DeviceSession, event: ev.Event) -> None:
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

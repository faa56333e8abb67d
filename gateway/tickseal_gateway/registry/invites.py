"""Invites: who may enrol with which, and until when (docs/protocol.md section 6.5)."""

import hmac
import os
import time

from tickseal.core import constants
from tickseal.invite import InviteToken
from tickseal.sessions.control import Role
from tickseal.sessions.events import HandshakeRequested
from tickseal_gateway.registry.identity import Identity
from tickseal_gateway.registry.registered import Invite, RegistryError
from tickseal_gateway.registry.registry import Registry

#: Invites that may be open at once: each costs a comparison at every enrolment.
OPEN_MOST = 1000


def make_invite(
    registry: Registry,
    identity: Identity,
    *,
    addresses: tuple[str, ...],
    lifetime_ns: int,
    name: str | None = None,
    hybrid: bool = True,
    role: Role = Role.SOURCE,
) -> tuple[Invite, InviteToken]:
    """Register a new invite and return it with its token. Blocks for a sync of the disk.

    Args:
        addresses: "host:port" where devices reach the gateway, 1..8.
        lifetime_ns: until it expires, ns.
        name: what the device will be called; None for a name that is made up.
        hybrid: whether the device uses ML-KEM-768 too, from now on.
        role: whether it is for a source or a sink.
    Raises:
        RegistryError: the name is taken or not allowed, or too many invites are open.
        EnrolmentError: an address has another form.
    """
    if name is not None:
        registry.check_name(name)
    now = time.time_ns()
    if len(open_invites(registry, now)) >= OPEN_MOST:
        raise RegistryError(f"{OPEN_MOST} invites are open; wait until some expire")
    token = InviteToken(
        addresses=addresses,
        gateway_public=identity.public,
        hybrid=hybrid,
        invite_id=os.urandom(constants.INVITE_ID_BYTES),
        secret=os.urandom(constants.SECRET_BYTES),
    )
    invite = Invite(
        id=token.invite_id,
        secret=token.secret,
        name=name,
        hybrid=hybrid,
        created_ns=now,
        expires_ns=now + lifetime_ns,
        role=role,
    )
    registry.add_invite(invite)
    return invite, token


def open_invites(registry: Registry, now_ns: int) -> list[Invite]:
    """Return the invites with which somebody may still enrol."""
    return [i for i in registry.invites() if i.used_ns is None and i.expires_ns > now_ns]


def judge(registry: Registry, request: HandshakeRequested, now_ns: int) -> Invite | str:
    """Return the invite that a request shows, or the reason to refuse it. Changes nothing.

    All ids are compared, each in constant time, so that timing tells nothing about other invites.
    """
    found: Invite | None = None
    for invite in registry.invites():
        if hmac.compare_digest(invite.id, request.invite_id or b""):
            found = invite
    if found is None:
        return "unknown"
    if found.used_ns is not None:
        return "used"
    if found.bound_key is not None and not hmac.compare_digest(
        found.bound_key, request.static_public
    ):
        return "used"
    if found.expires_ns <= now_ns:
        return "expired"
    if found.hybrid is not request.hybrid:
        return "incompatible"
    return found


def now_ns() -> int:
    """Return the time by which invites expire, ns since 1970 UTC."""
    return time.time_ns()

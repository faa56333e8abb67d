"""Who the board is, in flash: a key of its own, made once; and its gateway, written once.

Nothing here is a key of a stream: those live in memory only, and every start begins new ones.
"""

from binascii import a2b_base64
from hashlib import sha256

from device import cborlite, files, primitives
from tickseal.core.errors import EnrolmentError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEY = "tickseal.key"
IDENTITY = "tickseal.identity"
INVITE = "tickseal.invite"
_PREFIX = "tks1_"


class Identity:
    """The keys of the handshake.

    Attributes:
        private, public: the board's static key.
        gateway: the gateway's static public key.
        psk: of the device, or the invite's secret while invite_id is not empty.
        shared: X25519 of the static keys, b"" where it was never computed.
        device: the name that the gateway gave; empty before it did.
    """

    __slots__ = ("device", "gateway", "invite_id", "private", "psk", "public", "shared")

    def __init__(self, private: bytes, public: bytes) -> None:
        self.private, self.public = private, public
        self.gateway = self.psk = self.invite_id = self.shared = b""
        self.device = ""

    def __repr__(self) -> str:
        return "<Identity %s>" % (self.device or "not enrolled")


def load_key() -> bytes:
    """Return the board's private key, b"" before there is one."""
    return bytes(cborlite.decode(files.read(KEY))["private"]) if files.exists(KEY) else b""


def load(random_bytes: "Any") -> Identity:
    """Return the identity, with a key made now where there was none.

    Raises:
        EnrolmentError: neither enrolled nor with an invite that can be used.
        StoreError: a file is damaged.
    """
    if not files.exists(KEY):
        # Before the enrolment: an invite belongs to the first key that uses it.
        private = random_bytes(32)
        made = {"private": private, "public": primitives.x25519_public(private)}
        files.write(KEY, cborlite.encode(made))
    key = cborlite.decode(files.read(KEY))
    identity = Identity(key["private"], key["public"])
    if files.exists(IDENTITY):
        known = cborlite.decode(files.read(IDENTITY))
        identity.gateway, identity.psk = known["gateway"], known["psk"]
        identity.shared, identity.device = known["shared"], known["device"]
        return identity
    if not files.exists(INVITE):
        raise EnrolmentError("not enrolled: run `tickseal mcu flash` with an invite")
    with open(INVITE) as file:
        invite = parse_invite(file.read().strip())
    identity.gateway, identity.psk, identity.invite_id = invite["g"], invite["s"], invite["i"]
    return identity


def save(identity: Identity, device: str, psk: bytes, shared: bytes) -> None:
    """Write down what the enrolment gave, once.

    Raises:
        StoreError: there is an identity already, or the flash takes no more.
    """
    if files.exists(IDENTITY):
        raise StoreError("there is an identity already; remove it to enrol anew")
    content = {"device": device, "gateway": identity.gateway, "psk": psk, "shared": shared}
    files.write(IDENTITY, cborlite.encode(content))
    identity.device, identity.psk, identity.shared = device, psk, shared
    identity.invite_id = b""


def parse_invite(token: str) -> "dict[str, Any]":
    """Return the fields of an invite (docs/protocol.md section 6.5).

    Raises:
        EnrolmentError: it cannot be read, or asks for a handshake that a board does not have.
    """
    letters = token[len(_PREFIX) :].replace("-", "+").replace("_", "/")
    try:
        data = a2b_base64(letters + "=" * (-len(letters) % 4))
        body = data[:-4]
        if not token.startswith(_PREFIX) or sha256(body).digest()[:4] != data[-4:]:
            raise ValueError
        invite = cborlite.decode(body)
        if len(invite["g"]) != 32 or len(invite["s"]) != 32 or len(invite["i"]) != 8:
            raise ValueError
    except Exception:
        raise EnrolmentError("the invite cannot be read: ask for a new one") from None
    if invite["h"]:
        raise EnrolmentError("not for a board: use tickseal gateway invite --classical")
    return invite


#: Needed at the start only.
ONCE = (load, load_key, parse_invite)

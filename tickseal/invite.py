"""The invite: the one line of text that enrols one device (docs/protocol.md section 6.5)."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from tickseal import cbor, primitives
from tickseal.core import constants
from tickseal.core.errors import EnrolmentError, RemoteProtocolError

_PREFIX = "tks1_"
_CHECKSUM_BYTES = 4
_ADDRESSES_MAX = 8
_PORT_MAX = 65535
#: Far above any token with eight addresses; bounds the work that a wrong file causes.
_TEXT_MAX = 4096
_KEYS = {"a", "g", "h", "i", "s"}
_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")
# A name, an IPv4 address, or an IPv6 address in brackets, with a zone where it is link-local.
_ADDRESS = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,32})?\]):([0-9]{1,5})"
)
_AGAIN = "copy the whole token again"
_NEW = "ask for a new invite"


def split_address(address: str) -> tuple[str, int]:
    """Return host (an IPv6 address without its brackets) and port of "host:port".

    Raises:
        EnrolmentError: the address has another form.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[2]) <= _PORT_MAX:
        raise EnrolmentError(
            f"{address[:80]!r} is not an address; write host:port, or [IPv6]:port, port 1..65535"
        )
    return match[1].strip("[]"), int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteToken:
    """What a device needs to enrol.

    Attributes:
        addresses: where the gateway listens, 1..8 times "host:port".
        gateway_public: the gateway's static public key, 32 bytes.
        hybrid: whether the device uses the hybrid handshake, from now on.
        invite_id: 8 bytes.
        secret: the PSK of the enrolment, 32 bytes.
    Raises:
        EnrolmentError: a field is not as said.
    """

    addresses: tuple[str, ...]
    gateway_public: bytes
    hybrid: bool
    invite_id: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        if not 1 <= len(self.addresses) <= _ADDRESSES_MAX:
            raise EnrolmentError(
                f"an invite with {len(self.addresses)} addresses; 1..8 are allowed: {_NEW}"
            )
        for address in self.addresses:
            split_address(address)
        for name, value, size in (
            ("gateway key", self.gateway_public, 32),
            ("id", self.invite_id, constants.INVITE_ID_BYTES),
            ("secret", self.secret, constants.SECRET_BYTES),
        ):
            if len(value) != size:
                raise EnrolmentError(
                    f"an invite whose {name} has {len(value)} bytes; it must have {size}: {_NEW}"
                )

    def encode(self) -> str:
        """Return the token as text. It holds the secret: show it only to who may enrol."""
        body = cbor.encode(
            {
                "a": list(self.addresses),
                "g": self.gateway_public,
                "h": self.hybrid,
                "i": self.invite_id,
                "s": self.secret,
            }
        )
        return _PREFIX + _to_text(body + _checksum(body))

    @classmethod
    def parse(cls, text: str) -> "InviteToken":
        """Return the invite that a token stands for; white space around it does not matter.

        Raises:
            EnrolmentError: one line that says what is wrong with the token, and what to do.
        """
        body = _checked_body(text.strip())
        try:
            value = cbor.decode(body)
        except RemoteProtocolError as fault:
            raise EnrolmentError(f"the invite token cannot be read ({fault}): {_NEW}") from None
        if not isinstance(value, dict) or set(value) != _KEYS:
            raise EnrolmentError(f"the invite token has other fields than its five: {_NEW}")
        addresses, gateway_public, hybrid, invite_id, secret = (value[key] for key in sorted(_KEYS))
        if (
            not isinstance(addresses, list)
            or not isinstance(gateway_public, bytes)
            or not isinstance(hybrid, bool)
            or not isinstance(invite_id, bytes)
            or not isinstance(secret, bytes)
        ):
            raise EnrolmentError(f"the invite token has a field of the wrong type: {_NEW}")
        listed = tuple(address for address in addresses if isinstance(address, str))
        if len(listed) != len(addresses):
            raise EnrolmentError(f"the invite token has an address that is not text: {_NEW}")
        return cls(
            addresses=listed,
            gateway_public=gateway_public,
            hybrid=hybrid,
            invite_id=invite_id,
            secret=secret,
        )


def _checked_body(text: str) -> bytes:
    """Return the CBOR of a token whose prefix, letters and checksum are right."""
    if not text:
        raise EnrolmentError("the invite token is empty; paste the line that starts with tks1_")
    if not text.startswith(_PREFIX):
        if re.match(r"tks[0-9]+_", text):
            raise EnrolmentError("the invite token is of another version: update tickseal")
        raise EnrolmentError(f"this is no invite token: one starts with {_PREFIX}; {_AGAIN}")
    if len(text) > _TEXT_MAX:
        raise EnrolmentError(
            f"the invite token is {len(text)} characters long; {_AGAIN}, and no more"
        )
    letters = text[len(_PREFIX) :]
    fine = _ALPHABET.match(letters)
    if fine is None or fine.end() < len(letters):
        place = len(_PREFIX) + (fine.end() if fine else 0) + 1
        raise EnrolmentError(f"the invite token has a wrong character at place {place}; {_AGAIN}")
    try:
        data = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    except binascii.Error:
        raise EnrolmentError(f"the invite token is cut off; {_AGAIN}") from None
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    # The last letter has bits to spare: encoding again refuses a second spelling of one token.
    if checksum != _checksum(body) or _to_text(data) != letters:
        raise EnrolmentError(
            f"the invite token has a typo or is cut off (its checksum is wrong); {_AGAIN}"
        )
    return body


def _checksum(body: bytes) -> bytes:
    return primitives.sha256(body)[:_CHECKSUM_BYTES]


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

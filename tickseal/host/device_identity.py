"""Who a device is and which gateway it trusts: what enrolment leaves in its state directory."""

import json
from dataclasses import dataclass, field

from tickseal.core.errors import EnrolmentError, StoreError
from tickseal.host.state import StateDirectory
from tickseal.sessions.device_session import Credentials

_FILE = "identity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """The identity of a device, a source or a sink.

    Args:
        name: that the gateway gave.
        private_key: X25519, 32 bytes, made on this device.
        gateway_key: the gateway's public key, 32 bytes, pinned.
        psk: the device PSK, 32 bytes.
        hybrid: the handshake that was pinned.
        addresses: where the gateway is, "host:port", tried in order.
    """

    name: str
    private_key: bytes = field(repr=False)
    gateway_key: bytes
    psk: bytes = field(repr=False)
    hybrid: bool
    addresses: tuple[str, ...]

    def credentials(self) -> Credentials:
        """Return what a session needs."""
        return Credentials(
            private_key=self.private_key,
            gateway_key=self.gateway_key,
            psk=self.psk,
            hybrid=self.hybrid,
        )

    def save(self, state: StateDirectory) -> None:
        """Write it, atomically and readable by this user only."""
        content = {
            "device": self.name,
            "private_key": self.private_key.hex(),
            "gateway_key": self.gateway_key.hex(),
            "psk": self.psk.hex(),
            "hybrid": self.hybrid,
            "addresses": list(self.addresses),
        }
        state.write(_FILE, json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, state: StateDirectory, *, enrol: str) -> "DeviceIdentity":
        """Return the identity that a state directory holds.

        Args:
            enrol: the command that enrols, for the error.
        Raises:
            EnrolmentError: there is none.
            StoreError: the file is damaged.
        """
        data = state.read(_FILE)
        if data is None:
            raise EnrolmentError(f"not enrolled with a gateway yet: {enrol}")
        try:
            content = json.loads(data)
            return cls(
                name=str(content["device"]),
                private_key=bytes.fromhex(content["private_key"]),
                gateway_key=bytes.fromhex(content["gateway_key"]),
                psk=bytes.fromhex(content["psk"]),
                hybrid=content["hybrid"] is True,
                addresses=tuple(map(str, content["addresses"])),
            )
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{state.path / _FILE} is damaged; remove it, and enrol again: {enrol}"
            ) from None

    @staticmethod
    def exists(state: StateDirectory) -> bool:
        """Tell whether a state directory holds one."""
        return state.read(_FILE) is not None

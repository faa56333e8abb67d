"""What people ask of a gateway, running or not: invites, devices, and what they may do."""

import ipaddress
from collections.abc import Sequence

from tickseal.core.errors import ConfigError
from tickseal.invite import split_address
from tickseal.sessions.control import Role
from tickseal_gateway.addresses import reachable_addresses
from tickseal_gateway.config import ANY_HOST, Config
from tickseal_gateway.registry.identity import Identity
from tickseal_gateway.registry.invites import make_invite, now_ns, open_invites
from tickseal_gateway.registry.registered import Device, DeviceState, RegistryError
from tickseal_gateway.registry.registry import Registry
from tickseal_gateway.registry.tags import changed_tags

_YEAR_NS = 366 * 86_400 * 1_000_000_000


class Administration:
    """Commands over a registry; what is live follows by Controller.apply().

    Args:
        port: where the gateway listens; that of the configuration where it does not run.
    """

    def __init__(
        self,
        config: Config,
        identity: Identity,
        registry: Registry,
        *,
        port: int,
    ) -> None:
        self._config = config
        self._identity = identity
        self._registry = registry
        self._port = port

    def addresses(self) -> tuple[str, ...]:
        """Return "host:port" as devices may reach the gateway."""
        if self._config.gateway.addresses:
            return self._config.gateway.addresses
        host = self._config.gateway.host
        return reachable_addresses(None if host == ANY_HOST else host, self._port)

    def invite(
        self,
        *,
        lifetime_ns: int,
        name: str | None = None,
        hybrid: bool = True,
        addresses: Sequence[str] = (),
        role: Role = Role.SOURCE,
    ) -> dict[str, object]:
        """Make an invite; return its token and what it says. Blocks for the disk.

        Raises:
            RegistryError, EnrolmentError, ConfigError: as the text says.
        """
        if not 0 < lifetime_ns <= _YEAR_NS:
            raise RegistryError("an invite expires after more than nothing and at most 366 days")
        if not hybrid and not self._config.policy.allow_classical:
            raise RegistryError(
                "classical invites are not allowed here: set allow_classical = true in [policy]"
            )
        where = tuple(self._with_port(address) for address in addresses) or self.addresses()
        invite, token = make_invite(
            self._registry,
            self._identity,
            addresses=where,
            lifetime_ns=lifetime_ns,
            name=name,
            hybrid=hybrid,
            role=role,
        )
        return {
            "token": token.encode(),
            "id": invite.id.hex(),
            "name": invite.name,
            "hybrid": invite.hybrid,
            "addresses": list(where),
            "expires_ns": invite.expires_ns,
            "role": invite.role.value,
            "fingerprint": self._identity.fingerprint,
        }

    def invites(self) -> list[dict[str, object]]:
        """Return the invites with which somebody may still enrol; without their secrets."""
        return [
            {
                "id": invite.id.hex(),
                "name": invite.name,
                "hybrid": invite.hybrid,
                "expires_ns": invite.expires_ns,
                "role": invite.role.value,
                "is_bound": invite.bound_key is not None,
            }
            for invite in open_invites(self._registry, now_ns())
        ]

    def devices(self) -> list[dict[str, object]]:
        """Return what is registered of the devices."""
        return [
            {
                "name": device.name,
                "state": device.state.value,
                "role": device.role.value,
                "handshake": "hybrid" if device.hybrid else "classical",
                "enrolled_ns": device.enrolled_ns,
                "streams": [stream.id for stream in self._registry.streams_of(device.id)],
                "tags": list(device.tags),
                "limits": device.limits.to_json(),
            }
            for device in self._registry.devices()
        ]

    def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless. Blocks for the disk.

        Args:
            invite_id: as of invites(): 16 hexadecimal digits.
        """
        for invite in open_invites(self._registry, now_ns()):
            if invite.id.hex() == invite_id:
                self._registry.withdraw_invite(invite)
                return
        raise RegistryError(
            f"no open invite has the id {invite_id!r}; tickseal gateway invites lists them"
        )

    def approve(self, name: str) -> Device:
        """Let a device that waits open streams. Blocks for the disk."""
        device = self._registry.device_named(name)
        if device.state is DeviceState.REVOKED:
            raise RegistryError(
                f"{name!r} is revoked for good; invite it anew under a new identity"
            )
        if device.state is DeviceState.ENROLLING:
            raise RegistryError(f"{name!r} has not finished its enrolment yet")
        return self._registry.set_state(device, DeviceState.APPROVED)

    def rename(self, name: str, new_name: str) -> Device:
        """Give a device another name. Blocks for the disk."""
        return self._registry.rename(self._registry.device_named(name), new_name)

    def tag(self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Device:
        """Give a device tags, and take some away. Blocks for the disk."""
        device = self._registry.device_named(name)
        return self._registry.set_tags(device, changed_tags(device.tags, add=add, remove=remove))

    def limit(self, name: str, changes: dict[str, int | None]) -> Device:
        """Set some of a device's limits; None takes one away. Blocks for the disk."""
        device = self._registry.device_named(name)
        return self._registry.set_limits(device, device.limits.changed(changes))

    def revoke(self, name: str) -> Device:
        """Refuse a device for good. Blocks for the disk."""
        device = self._registry.device_named(name)
        if device.state is DeviceState.REVOKED:
            raise RegistryError(f"{name!r} is revoked already")
        return self._registry.set_state(device, DeviceState.REVOKED)

    def allow(
        self,
        name: str,
        pattern: str,
        until_ns: int | None = None,
        since_ns: int | None = None,
    ) -> Device:
        """Let a sink read streams. Blocks for the disk.

        Args:
            pattern: a stream's id; or, ending in "*", the beginning of ids.
            until_ns, since_ns: as of Allowance.
        """
        if until_ns is not None and until_ns <= now_ns():
            raise RegistryError("an allowance ends in the future")
        sink = self._sink(name)
        self._registry.allowances.allow(sink, pattern, until_ns, since_ns)
        return sink

    def disallow(self, name: str, pattern: str) -> Device:
        """Take an allowance back, as it was given. Blocks for the disk."""
        sink = self._sink(name)
        self._registry.allowances.disallow(sink, pattern)
        return sink

    def allowances(self) -> list[dict[str, object]]:
        """Return which sink may read what."""
        return [
            {
                "sink": sink.name,
                "stream": allowance.pattern,
                "until_ns": allowance.until_ns,
                "since_ns": allowance.since_ns,
            }
            for sink in self._registry.devices()
            if sink.state is not DeviceState.REVOKED
            for allowance in self._registry.allowances.of(sink.id)
        ]

    def _sink(self, name: str) -> Device:
        device = self._registry.device_named(name)
        if device.role is not Role.SINK:
            raise RegistryError(f"{name!r} is a source; only a sink reads streams")
        if device.state is DeviceState.REVOKED:
            raise RegistryError(f"{name!r} is revoked for good; invite it anew")
        return device

    def _with_port(self, address: str) -> str:
        """Return an address that a person gave, with this gateway's port where it has none."""
        host = address
        try:
            if ipaddress.ip_address(address).version == 6:
                host = f"[{address}]"
        except ValueError:
            if ":" in address:
                split_address(address)
                return address
        if not self._port:
            raise ConfigError(f"{address}: say the port too, as in {host}:4710")
        split_address(f"{host}:{self._port}")
        return f"{host}:{self._port}"

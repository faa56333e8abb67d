"""What is registered: devices, streams, invites, as frozen values."""

import enum
from dataclasses import dataclass, field

from tickseal.core.errors import TicksealError
from tickseal.sessions.control import Role
from tickseal.streams.metadata import StreamMetadata
from tickseal_gateway.registry.limits import NO_LIMITS, Limits


class RegistryError(TicksealError):
    """What was asked for does not fit what is registered: no such device, a name taken."""


class OpeningRefusedError(RegistryError):
    """A stream or an offline generation is not taken; reason is the word for the device."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class DeviceState(enum.StrEnum):
    """What a device may do."""

    #: The invite was used, but the device has not confirmed that it has its identity on disk.
    ENROLLING = "enrolling"
    #: Enrolled; it may open streams once it is approved.
    PENDING = "pending"
    #: It may open streams.
    APPROVED = "approved"
    #: Refused for good.
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device.

    Attributes:
        id: the registry's number.
        name: unique among devices that are not revoked.
        static_public: its identity, 32 bytes.
        psk: 32 bytes, from its enrolment.
        hybrid: which handshake is pinned.
        state: what it may do.
        enrolled_ns: when, ns since 1970 UTC.
        role: whether it is a source or a sink.
        tags: words by which people group devices, in the order of the alphabet.
        limits: what it may have.
    """

    id: int
    name: str
    static_public: bytes
    psk: bytes = field(repr=False)
    hybrid: bool
    state: DeviceState
    enrolled_ns: int
    role: Role = Role.SOURCE
    tags: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of a device.

    Attributes:
        handle: its number on the wire, for life.
        id: unique among streams that are not retired.
        device_id: whose it is.
        metadata: as last opened.
        is_retired: its device was revoked, and the name is another's.
    """

    handle: int
    id: str
    device_id: int
    metadata: StreamMetadata
    is_retired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineGeneration:
    """What is known of a generation that a source began while the gateway was away.

    Attributes:
        stored_until: frames below are on disk; from there on it may be opened.
        is_finished: nothing more follows: it may not be opened again.
    """

    handle: int
    number: int
    stored_until: int = 0
    is_finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """One invite; what may be done with it is for invites.py.

    Attributes:
        id: 8 bytes.
        secret: 32 bytes; empty once it was used up.
        name: for the device; None for one that is made up.
        hybrid: which handshake it pins.
        created_ns, expires_ns: ns since 1970 UTC.
        bound_key: the static key that owns it.
        used_ns: when it was used up.
        role: what enrols with it.
    """

    id: bytes
    secret: bytes = field(repr=False)
    name: str | None
    hybrid: bool
    created_ns: int
    expires_ns: int
    bound_key: bytes | None = None
    used_ns: int | None = None
    role: Role = Role.SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a sink may read.

    Attributes:
        sink_id: the registry's number of the sink.
        pattern: a stream's id; or, ending in "*", the beginning of ids.
        until_ns: from when on not any more, ns since 1970 UTC; None for ever.
        since_ns: from when on it may read what was recorded; None for nothing of the past.
    """

    sink_id: int
    pattern: str
    until_ns: int | None = None
    since_ns: int | None = None

    def covers(self, stream_id: str) -> bool:
        """Tell whether a stream is meant."""
        if self.pattern.endswith("*"):
            return stream_id.startswith(self.pattern[:-1])
        return stream_id == self.pattern

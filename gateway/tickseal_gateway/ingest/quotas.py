"""Quotas: how much of single devices is kept, by their limits; and the alarm where more comes."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tickseal.configuration.quantities import format_size
from tickseal_gateway.alarms import Alarms

if TYPE_CHECKING:  # it brings sqlalchemy, which commands that read recordings need not load
    from tickseal_gateway.registry.registry import Registry

_OVER_QUOTA = "limit_storage"
#: How long an alarm of a quota stands, s: each removal is one.
_TOLD_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of one device is kept.

    Attributes:
        device: its name.
        handles, streams: of its streams, and their ids.
        size_most: bytes; the oldest go.
    """

    device: str
    handles: frozenset[int]
    streams: frozenset[str] = frozenset()
    size_most: int


class Quotas:
    """Those of a gateway; made on the event loop, asked on any thread."""

    def __init__(self, registry: "Registry", alarms: Alarms) -> None:
        self._registry = registry
        self._alarms = alarms
        self._loop = asyncio.get_running_loop()

    def all(self) -> list[Quota]:
        """Return the quotas there are now."""
        streams = self._registry.streams()
        return [
            Quota(
                device=device.name,
                handles=frozenset(each.handle for each in streams if each.device_id == device.id),
                streams=frozenset(each.id for each in streams if each.device_id == device.id),
                size_most=device.limits.storage_bytes,
            )
            for device in self._registry.devices()
            if device.limits.storage_bytes is not None
        ]

    def over(self, quota: Quota) -> None:
        """Raise the alarm: something of a device was removed."""
        # From a thread that may outlive the loop by a moment.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, quota)

    def _tell(self, quota: Quota) -> None:
        words = f"its oldest readings and recordings go: it may keep {format_size(quota.size_most)}"
        self._alarms.set(_OVER_QUOTA, quota.device, f"{words} of each")
        self._loop.call_later(_TOLD_S, self._alarms.clear, _OVER_QUOTA, quota.device)

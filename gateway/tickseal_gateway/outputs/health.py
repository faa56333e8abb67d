"""Outputs that show the health of devices too, beside what their frames hold."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tickseal_gateway.health.status import GatewayView, Json

_logger = logging.getLogger(__name__)
_EVERY_S, _COST_TIMES = 5.0, 50


@runtime_checkable
class HealthReader(Protocol):
    """Something that wants to know how everything is, every few seconds."""

    def note(self, snapshot: Json) -> None:
        """Take a snapshot in, on the event loop: it must not block, and must not change it."""


async def tell(view: GatewayView, readers: Sequence[HealthReader]) -> None:
    """Give snapshots to readers until cancelled: every 5 s, or more rarely where one costs much."""
    while readers:
        started = time.monotonic()
        snapshot = view.snapshot()
        cost_s = time.monotonic() - started
        for reader in readers:
            try:
                reader.note(snapshot)
            except Exception:
                _logger.exception("an output could not take the health of devices in")
        await asyncio.sleep(max(_EVERY_S, _COST_TIMES * cost_s))

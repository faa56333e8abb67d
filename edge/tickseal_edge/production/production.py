"""Production: reads one device at its rate for ever; one that is gone is opened again."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tickseal.core.errors import TicksealError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal.links.backoff import Backoff
from tickseal_edge.lanes import Lane
from tickseal_edge.production.producers import Payload, Producer, open_producer
from tickseal_edge.production.stream_config import AnyStream

_logger = logging.getLogger("tickseal.edge")
T = TypeVar("T")

_MOST_NS = 30_000_000_000
#: A reading that takes longer is told of: what is gone says so itself, what hangs does not.
_HANGS_NS = 15_000_000_000


class Production:
    """One stream's device.

    Args:
        stream: which, and how often.
        lane: the thread of its bus.
        utc_ns: now, ns since 1970 UTC, by the clock that ticks are given by.
        emit: is given every payload.
    Attributes:
        stream: as above.
        rate_hz: may be changed at any time.
        readings, failures: so far.
    """

    def __init__(
        self,
        stream: AnyStream,
        lane: Lane,
        *,
        utc_ns: Callable[[], int],
        emit: Callable[[Payload], None],
    ) -> None:
        self.stream = stream
        self._lane = lane
        self._utc_ns = utc_ns
        self._emit = emit
        self._once = Once(_logger)
        self.rate_hz = stream.rate_hz
        self._state = "starts"
        self._asked_ns = 0
        self.readings = 0
        self.failures = 0

    @property
    def state(self) -> str:
        """For people: "starts", "answers", or why it does not."""
        waited_ns = boottime_ns() - self._asked_ns if self._asked_ns else 0
        if waited_ns > _HANGS_NS:
            return (
                f"no answer for {waited_ns // 1_000_000_000} s; see its wires, and whether another "
                "device of its bus hangs"
            )
        return self._state

    async def run(self) -> None:
        """Produce until cancelled."""
        backoff = Backoff(most_ns=_MOST_NS)
        while True:
            producer: Producer | None = None
            try:
                producer = await self._ask(lambda: open_producer(self.stream))
                await self._read(producer, backoff)
            except TicksealError as error:
                self._is_gone(str(error))
            except Exception as error:  # a driver's own fault must not end the other streams
                if self._is_gone(f"{type(error).__name__}: {error}"):
                    _logger.debug("%s", self.stream.id, exc_info=True)
            finally:
                if producer is not None:
                    self._lane.submit(producer.close)
            self.failures += 1
            await asyncio.sleep(backoff.next_ns() / 1e9)

    async def _read(self, producer: Producer, backoff: Backoff) -> None:
        due = time.monotonic()
        while True:
            # The thread may be busy with another device of the bus: it takes the time itself.
            ahead_ns = self._utc_ns() - boottime_ns()
            payload = await self._ask(partial(_produce, producer, ahead_ns))
            self.readings += 1
            self._state = "answers"
            self._once.change(
                "device", "there", logging.INFO, "%s: the device answers", self.stream.id
            )
            backoff.reset()
            self._emit(payload)
            if producer.is_paced:
                continue
            # A late frame does not make the next ones hurry.
            interval = 1 / self.rate_hz
            due = max(due + interval, time.monotonic() - interval)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self, work: Callable[[], T]) -> T:
        self._asked_ns = boottime_ns()
        try:
            return await self._lane.run(work)
        finally:
            self._asked_ns = 0

    def _is_gone(self, why: str) -> bool:
        self._state = why
        return self._once.change("device", why, logging.WARNING, "%s: %s", self.stream.id, why)


def _produce(producer: Producer, ahead_ns: int) -> Payload:
    return producer.produce(ahead_ns + boottime_ns())

"""A device on loopback sockets: the test moves its clock and starts and stops its services."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_gateway import FakeGateway, Registry
from tickseal_edge.config import EdgeConfig
from tickseal_edge.enrolment import enrol_device
from tickseal_edge.production.producers import Payload
from tickseal_edge.production.stream_config import HostStream
from tickseal_edge.service import EdgeService
from waiting import PATIENCE_S

from tickseal.clock import Clock
from tickseal.host.clock_fake import FakeClock
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.state import StateDirectory
from tickseal.links.backoff import Backoff

STREAM = "pi/host"


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it never did: {what or condition}"
        await asyncio.sleep(0.005)


_STARTED_NS = boottime_ns()


class TrueClock(FakeClock):
    """A fake clock whose true time runs by itself, alike for all; the faults are the test's."""

    def __init__(self) -> None:
        super().__init__()
        self._base_ns = self.true_ns

    def now(self):  # type: ignore[no-untyped-def]
        """Return what the clock says."""
        self.true_ns = self._base_ns + boottime_ns() - _STARTED_NS
        return super().now()


class Counting:
    """A device that gives numbered payloads."""

    is_paced = False

    def __init__(self) -> None:
        self.count = 0

    def produce(self, time_ns: int) -> Payload:
        """Return the next number."""
        self.count += 1
        return Payload(b"%d" % self.count)

    def close(self) -> None:
        """Nothing is held."""


class Device:
    """One device on disk, of which services are started and stopped.

    Attributes:
        clock: its own; shared by all its lives.
        source: what its one stream reads; numbers go on over restarts.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.clock = TrueClock()
        self.source = Counting()
        self.config = EdgeConfig(
            name="pi", state=str(path), streams=(HostStream(id=STREAM, rate_hz=100),)
        )
        monkeypatch.setattr(
            "tickseal_edge.production.production.open_producer", lambda _stream: self.source
        )
        # It may say goodbye as late as a busy machine lets it.
        monkeypatch.setattr("tickseal_edge.service._GOODBYE_S", PATIENCE_S)

    def set(self, **changes: object) -> None:
        """Change the configuration of the stream, or with a name of a table, that."""
        for name, value in changes.items():
            if name in ("clock", "spool", "streams", "suite"):
                self.config = replace(self.config, **{name: value})  # type: ignore[arg-type]
            else:
                (stream,) = self.config.streams
                self.config = replace(self.config, streams=(replace(stream, **{name: value}),))

    @contextlib.asynccontextmanager
    async def enrolled(
        self, registry: Registry, *, clock: Clock | None = None
    ) -> AsyncIterator[FakeGateway]:
        """Give a gateway that runs, and that this device is enrolled with; stop it in the end.

        Args:
            clock: the gateway's; by default this device's.
        """
        gateway = await FakeGateway(registry, clock=clock or self.clock).start()
        try:
            await self.enrol(gateway)
            yield gateway
        finally:
            await gateway.stop()

    async def enrol(self, gateway: FakeGateway) -> None:
        """Enrol with a gateway."""
        with StateDirectory.open(self.path) as state:
            await enrol_device(
                gateway.invite,
                b"d" * 32,
                name="pi",
                software="test",
                state=state,
                clock=self.clock,
            )

    @contextlib.asynccontextmanager
    async def running(self, clock: Clock | None = None) -> AsyncIterator[EdgeService]:
        """Run the service for the length of the block, then stop it in order."""
        stop = asyncio.Event()
        with StateDirectory.open(self.path) as state:
            service = EdgeService(
                self.config,
                state,
                clock=clock or self.clock,
                backoff=Backoff(first_ns=20_000_000, most_ns=200_000_000),
            )
            running = asyncio.create_task(service.run(stop))
            try:
                yield service
                stop.set()
                await running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

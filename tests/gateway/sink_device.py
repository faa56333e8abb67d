"""A separate sink for these tests: the library's sink session, and all that it ever held."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from running_gateway import GatewayFactory
from source_device import Device
from tickseal_gateway.health.view import View

from tickseal import primitives
from tickseal.core import keyschedule
from tickseal.core.errors import LocalProtocolError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.payloads.samples import decode_samples
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.grants import GrantHolder
from tickseal.sessions.sink_session import SinkSession
from tickseal.streams.generation import Generation
from tickseal.streams.receiving import Frame

E = TypeVar("E", bound=ev.Event)


class Sink(Device):
    """One sink. Its holder outlives its sessions, as a process's memory does.

    Attributes:
        frames: what it opened.
        kept: every generation as it was granted, nodes and all: nothing of it is ever erased.
    """

    def __init__(self, token: str, *, suites: tuple[int, ...] = (1, 2, 3)) -> None:
        super().__init__(token)
        self.suites = suites
        self.holder = GrantHolder()
        self.frames: list[Frame] = []
        self.segments: list[bytes] = []
        self.kept: list[Generation] = []

    def make_session(self) -> Any:
        return SinkSession(
            credentials=self.credentials,
            name="test",
            software="tests/1",
            suites=self.suites,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )

    def note(self, event: ev.Event) -> None:
        match event:
            case ev.GrantReceived():
                self.holder.take(event)
                again = event.generation
                self.kept.append(
                    Generation.from_grant(
                        again.metadata,
                        again.parameters,
                        again.walker.nodes(),
                        handle=again.handle,
                    )
                )
            case ev.GrantWithdrawn():
                self.holder.erase(event.handle, event.generation)
            case ev.SegmentsReceived():
                self.segments += map(bytes, event.segments)
                self.frames += self.holder.receive(event.segments, self.clock.now(), event.handle)

    def subscribe(self, *streams: str) -> None:
        """Ask for streams, or for all."""
        self.session.subscribe(streams)
        self.flush()

    @property
    def values(self) -> list[Any]:
        """The values that it read."""
        return [s.value for frame in self.frames for s in decode_samples(frame.payload)]

    def all_of(self, kind: type[E]) -> list[E]:
        """Return the events of a kind in this session."""
        return [event for event in self.events if isinstance(event, kind)]


async def enrolled(view: View, name: str = "garden") -> Device:
    device = Device(str((await view.invite(name=name))["token"]))
    async with device.connected():
        pass
    return device


async def enrolled_sink(view: View, name: str = "office", **values: Any) -> Sink:
    sink = Sink(str((await view.invite(name=name, role=Role.SINK))["token"]), **values)
    async with sink.connected():
        pass
    return sink


def opens(held: Iterable[Generation], segment: bytes, *, tick: int, frame: int) -> bool:
    """Tell whether any key that these generations hold fits a segment: no clock, no replay."""
    for generation in held:
        parameters = generation.parameters
        try:
            secret = generation.walker.secret(generation.epoch(tick))
        except LocalProtocolError:
            continue
        key = keyschedule.frame_key(primitives, secret, tick, frame)
        size = parameters.hash_length
        if sha256(key).digest()[:size] == segment[16 : 16 + size]:
            return True
    return False


class Scenario(NamedTuple):
    """A gateway, and with it a source "garden" and a sink "office", both enrolled."""

    view: View
    device: Device
    sink: Sink

    @property
    def frames(self) -> int:
        """How many frames the gateway opened."""
        return int(self.view.snapshot()["totals"]["frames"])  # type: ignore[index]


@contextlib.asynccontextmanager
async def scenario(
    gateways: GatewayFactory, *may_read: str, config: str = "", connects: bool = True
) -> AsyncIterator[Scenario]:
    """Run a gateway whose sink may read streams by these patterns.

    Args:
        connects: whether both are connected, and the sink subscribed to all.
    """
    async with gateways.inside(config) as view:
        made = Scenario(view, await enrolled(view), await enrolled_sink(view))
        for pattern in may_read:
            await view.allow("office", pattern)
        if not connects:
            yield made
            return
        async with made.device.connected(), made.sink.connected():
            made.sink.subscribe()
            yield made

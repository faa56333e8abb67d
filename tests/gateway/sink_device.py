"""A separate sink for these tests: the library's sink session, and all that it ever held."""

import os
from typing import Any

from source_device import Device

from tickseal import events as ev
from tickseal.generation import Generation
from tickseal.grants import GrantHolder
from tickseal.host.kernel_clock import boottime_ns
from tickseal.receiving import Frame
from tickseal.sink_session import SinkSession


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
                self.frames += self.holder.receiver.receive(event.segments, self.clock.now())

    def subscribe(self, *streams: str) -> None:
        """Ask for streams, or for all."""
        self.session.subscribe(streams)
        self.flush()

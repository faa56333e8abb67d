"""What is sealed waits for the link in the order of its worth, and not for longer than that."""

import asyncio
from collections.abc import Sequence

import pytest
from tickseal_edge import pipeline as module
from tickseal_edge.pipeline import Pipeline
from tickseal_edge.production.stream_config import CameraStream, HostStream
from tickseal_edge.streams.streams import OutgoingStream, SealedFrame

from tickseal.clock import ClockPolicy
from tickseal.core.errors import LinkError
from tickseal.host.clock_fake import FakeClock
from tickseal.sessions.negotiation import Wish
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters

SECOND = 10**9
HEAT, CAMERA = "pi/heat", "pi/camera"


class Link:
    """A connection that takes what it is given, and is its own session."""

    is_running = True
    has_udp = False
    clock_disagrees = False

    def __init__(self) -> None:
        self.session = self
        self.sent: list[bytes] = []
        self.fault: Exception | None = None
        self.is_full = False

    def send_now(self, segments: Sequence[bytes]) -> bool:
        if self.is_full:
            return False
        self.sent += segments
        return True

    async def send_datagrams(self, segments: Sequence[bytes]) -> bool:
        self.sent += segments
        return True

    async def send(self, segments: Sequence[bytes]) -> None:
        if self.fault:
            raise self.fault
        self.sent += segments


class Bench:
    """A pipeline of two streams; nothing is delivered before it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = SECOND
        monkeypatch.setattr(module, "boottime_ns", lambda: self.now_ns)
        self.clock = FakeClock()
        self.link = Link()
        streams = {HEAT: HostStream(id=HEAT), CAMERA: CameraStream(id=CAMERA)}
        outgoing = {name: OutgoingStream(StreamMetadata(name, "x"), Wish()) for name in streams}
        self.pipeline = Pipeline(
            clock=self.clock,
            policy=ClockPolicy(),
            streams=streams,
            outgoing=outgoing,
            spool=None,  # type: ignore[arg-type]
            connection=lambda: self.link,  # type: ignore[arg-type, return-value]
        )
        self.pipeline.generations = self  # type: ignore[assignment]
        self.segments: dict[bytes, tuple[str, int]] = {}
        for handle, stream in enumerate(outgoing.values()):
            stream.start(
                Generation.derive(
                    stream.metadata,
                    StreamParameters(t0_ns=self.clock.true_ns // SECOND * SECOND),
                    initial_secret=bytes(32),
                    salt=bytes(32),
                    handle=handle + 1,
                )
            )

    def sent(self, stream_id: str, frame: SealedFrame, _now_ns: int) -> None:
        """Note, in the place of the generations, what is on its way."""
        for segment in frame.segments:
            self.segments[segment] = (stream_id, frame.number)

    def delivered(self, way: str = "tcp") -> list[tuple[str, int]]:
        """Return what goes out now, in its order."""

        async def deliver() -> None:
            task = asyncio.create_task(self.pipeline.deliver(way))
            await self.pipeline.drained()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.link.sent.clear()
        asyncio.run(deliver())
        return [self.segments[segment] for segment in self.link.sent]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_samples_go_before_pictures_that_were_there_first(bench: Bench) -> None:
    bench.pipeline.emit(CAMERA, b"picture")
    bench.pipeline.emit(HEAT, b"20")
    bench.pipeline.emit(HEAT, b"21")
    assert bench.delivered() == [(HEAT, 0), (HEAT, 1), (CAMERA, 0)]


def test_of_single_pictures_the_newest_go(bench: Bench) -> None:
    for _ in range(9):
        bench.pipeline.emit(CAMERA, b"picture")
    assert bench.delivered()[-1] == (CAMERA, 8)
    assert bench.pipeline.dropped["link_slow"] == 9 - len(bench.link.sent) > 5


def test_pictures_that_need_each_other_stay_together(bench: Bench) -> None:
    for number in range(9):
        bench.pipeline.emit(CAMERA, b"video", is_key=number == 0)
    assert bench.delivered() == [(CAMERA, number) for number in range(9)]


def test_what_the_sink_would_refuse_as_late_is_not_sent_but_counted(bench: Bench) -> None:
    bench.pipeline.emit(HEAT, b"20")
    bench.now_ns += 3 * SECOND
    bench.pipeline.emit(HEAT, b"21")
    assert bench.delivered() == [(HEAT, 1)]
    assert bench.pipeline.dropped == {"link_slow": 1}


def test_a_link_that_breaks_in_the_middle_costs_what_was_on_it(bench: Bench) -> None:
    bench.link.fault = LinkError("gone")
    bench.pipeline.emit(HEAT, b"20")
    assert bench.delivered() == []
    assert bench.pipeline.dropped == {"not_connected": 1}
    bench.link.fault = None
    bench.pipeline.emit(HEAT, b"21")
    assert bench.delivered() == [(HEAT, 1)]


def test_a_datagram_goes_at_once_but_overtakes_none_that_waits(bench: Bench) -> None:
    bench.link.has_udp = True
    bench.pipeline.emit(HEAT, b"20")
    assert [bench.segments[segment] for segment in bench.link.sent] == [(HEAT, 0)]
    bench.link.is_full = True
    bench.pipeline.emit(HEAT, b"21")
    bench.link.is_full = False
    bench.pipeline.emit(HEAT, b"22")
    assert len(bench.link.sent) == 1
    assert bench.delivered("udp") == [(HEAT, 1), (HEAT, 2)]
    bench.pipeline.emit(HEAT, b"23")
    assert bench.segments[bench.link.sent[-1]] == (HEAT, 3)

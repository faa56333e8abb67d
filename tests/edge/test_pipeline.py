"""What is sealed is sent or kept, whatever becomes of the connection meanwhile."""

from types import SimpleNamespace
from typing import Any

from tickseal_edge.pipeline import Pipeline
from tickseal_edge.stream_config import ReplayStream
from tickseal_edge.streams import OutgoingStream, SealedFrame

from tickseal.clock import ClockDiscipline, ClockInterval, ClockPolicy
from tickseal.generation import Generation
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import Wish
from tickseal.parameters import StreamParameters

NOW = ClockInterval.around(2_000 * 10**9, 10**6, ClockDiscipline.NTP)


class Noting:
    """Stands for Generations: notes what is handed to the link."""

    def __init__(self) -> None:
        self.noted: list[SealedFrame] = []

    def sent(self, _stream_id: str, frame: SealedFrame, _monotonic_ns: int) -> None:
        self.noted.append(frame)


def pipeline(*, keep: bool) -> tuple[Pipeline, Noting]:
    stream = ReplayStream(id="heat", file="none.csv", keep=keep)
    outgoing = OutgoingStream(StreamMetadata("heat", "telemetry"), Wish())
    parameters = StreamParameters(generation=7, t0_ns=1_999 * 10**9)
    secrets = {"initial_secret": bytes(32), "salt": bytes(32)}
    outgoing.start(Generation.derive(outgoing.metadata, parameters, handle=1, **secrets))
    spool: Any = SimpleNamespace()
    made = Pipeline(
        clock=SimpleNamespace(now=lambda: NOW),
        policy=ClockPolicy(),
        streams={"heat": stream},
        outgoing={"heat": outgoing},
        spool=spool,
        connection=lambda: None,  # it is gone, and its end is not yet told
    )
    noting: Any = Noting()
    made.generations = noting
    return made, noting


def test_a_frame_that_is_sealed_while_the_connection_ends_is_noted_for_the_spool() -> None:
    made, noting = pipeline(keep=True)
    made.emit("heat", b"21.5")
    assert [frame.number for frame in noting.noted] == [0]
    assert not made.dropped


def test_a_frame_that_is_not_kept_is_counted_as_dropped() -> None:
    made, _ = pipeline(keep=False)
    made.emit("heat", b"21.5")
    assert made.dropped == {"not_connected": 1}

"""What was kept is sent a piece at a time, and deleted only when the gateway has it on its disk."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
from edge_device import until
from power_cut_disk import PowerCutDisk
from tickseal_edge.lanes import Lane
from tickseal_edge.spool.backfill import Backfill
from tickseal_edge.spool.spool import Spool
from tickseal_edge.streams.streams import SealedFrame

from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import PENDING_MAX
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters

HANDLE = 5


class Talk:
    """A connection and its session: what is said is noted in its order."""

    def __init__(self) -> None:
        self.is_running = True
        self.said: list[tuple[object, ...]] = []
        self.session = self

    def offer(self, blob: bytes) -> None:
        self.said.append(("offer", blob))

    def announce_backfill(
        self, handle: int, generation: int, *, ticks: tuple[int, int], frames: tuple[int, int]
    ) -> None:
        self.said.append(("announce", generation, *frames))

    def finish_backfill(self, handle: int, generation: int) -> None:
        self.said.append(("finish", generation))

    def flush(self) -> None:
        pass

    async def send(self, segments: Sequence[bytes], *, backfill: bool) -> None:
        assert backfill, "behind live frames"
        await asyncio.sleep(0)
        self.said.append(("send", len(segments)))

    def count(self, what: str) -> int:
        return sum(one[0] == what for one in self.said)


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("disk")
    yield lane
    lane.close()


def spool_of(lane: Lane, *generations: int, frames: int = 600) -> Spool:
    spool = Spool(PowerCutDisk(), 64 << 20, lane)
    for number in generations:
        spool.begin(generation(number), b"blob %d" % number)
        for frame in range(frames):
            spool.append(SealedFrame(number, frame, frame, [bytes(20)]))
        spool.complete(number)
    return spool


def keep_end(spool: Spool, number: int, frames: int) -> None:
    """Keep the last frames of a live generation, whose connection is gone."""
    kept = [SealedFrame(number, frame, frame, [bytes(20)]) for frame in range(frames)]
    spool.keep_end(generation(number), kept)


def generation(number: int) -> Generation:
    return Generation.derive(
        StreamMetadata("pi/host", "telemetry"),
        StreamParameters(t0_ns=0, generation=number),
        initial_secret=bytes(32),
        salt=bytes(32),
        handle=HANDLE,
    )


def run(spool: Spool, scenario: Callable[[Backfill, Talk], Awaitable[None]]) -> None:
    async def main() -> None:
        talk = Talk()
        backfill = Backfill(talk, spool)  # type: ignore[arg-type]
        await backfill.offer_all()
        running = asyncio.create_task(backfill.run())
        try:
            await scenario(backfill, talk)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def answer(number: int, reason: str = "") -> ev.OfferAnswered:
    return ev.OfferAnswered(handle=HANDLE, generation=number, accepted=not reason, reason=reason)


def stored(number: int, until: int) -> ev.StoredUntil:
    return ev.StoredUntil(handle=HANDLE, generation=number, frame_until=until)


def test_one_piece_is_under_way_and_nothing_is_deleted_before_it_is_stored(lane: Lane) -> None:
    spool = spool_of(lane, 1)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        assert talk.said == [("offer", b"blob 1")]
        await asyncio.sleep(0)
        assert talk.count("announce") == 0, "nothing before it is accepted"
        backfill.on_event(answer(1))
        for until_frame in (256, 512, 600):
            await until(lambda: talk.count("send") and talk.said[-1][0] == "send")
            for _ in range(20):
                await asyncio.sleep(0)
            assert talk.said[-2][0] == "announce", "and no other piece"
            assert talk.said[-2][3] == until_frame
            waiting = spool.get(1)
            assert waiting is not None
            assert waiting.frames == 600, "whole files are deleted"
            talk.said.append(("stored",))
            backfill.on_event(stored(1, until_frame))
        await until(lambda: talk.said[-1] == ("finish", 1))
        assert spool.get(1) is None
        assert spool.dropped_frames == 0

    run(spool, scenario)


def test_the_end_of_a_live_generation_is_announced_before_its_turn_comes(lane: Lane) -> None:
    """Or the gateway erases it, soon after the next is live, while much is sent before it."""
    spool = spool_of(lane, 1)
    keep_end(spool, 2, 40)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        assert talk.said == [("offer", b"blob 1"), ("announce", 2, 0, 40)]
        backfill.on_event(answer(1))
        await until(lambda: talk.count("send"))
        assert talk.said[2] == ("announce", 1, 0, 256)

    run(spool, scenario)


def test_the_end_of_a_live_generation_is_announced_once(lane: Lane) -> None:
    spool = spool_of(lane)
    keep_end(spool, 2, 40)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        await until(lambda: talk.count("send"))
        backfill.on_event(stored(2, 40))
        await until(lambda: talk.count("finish"))
        assert talk.said == [("announce", 2, 0, 40), ("send", 40), ("finish", 2)]

    run(spool, scenario)


def test_a_part_that_was_stored_is_not_sent_again(lane: Lane) -> None:
    spool = spool_of(lane, 1)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        backfill.on_event(stored(1, 590))
        backfill.on_event(answer(1))
        await until(lambda: talk.count("announce"))
        assert [one for one in talk.said if one[0] == "announce"] == [("announce", 1, 590, 600)]

    run(spool, scenario)


@pytest.mark.parametrize(
    ("reason", "is_kept", "lost"),
    [("busy", True, 0), ("finished", False, 0), ("unreadable", False, 600), ("policy", False, 600)],
)
def test_what_is_refused_for_good_is_given_up_and_counted(
    lane: Lane, reason: str, is_kept: bool, lost: int
) -> None:
    spool = spool_of(lane, 1)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        backfill.on_event(answer(1, reason))
        await asyncio.sleep(0)
        assert (spool.get(1) is not None) is is_kept
        assert spool.dropped_frames == lost
        assert talk.count("announce") == 0

    run(spool, scenario)


def test_answers_are_taken_in_the_order_of_the_offers(lane: Lane) -> None:
    """A refused one whose blob cannot be opened names neither handle nor generation."""
    spool = spool_of(lane, 1, 2, frames=3)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        backfill.on_event(
            ev.OfferAnswered(handle=0, generation=0, accepted=False, reason="unreadable")
        )
        backfill.on_event(answer(2))
        await until(lambda: talk.count("announce"))
        assert spool.get(1) is None
        assert talk.said[2] == ("announce", 2, 0, 3)

    run(spool, scenario)


def test_offers_that_wait_for_an_answer_are_fewer_than_a_gateway_takes(lane: Lane) -> None:
    spool = spool_of(lane, *range(1, 21), frames=1)

    async def main() -> None:
        talk = Talk()
        backfill = Backfill(talk, spool)  # type: ignore[arg-type]
        offering = asyncio.create_task(backfill.offer_all())
        for offered in (16, 17):
            await until(lambda: talk.count("offer") >= offered)  # noqa: B023
            for _ in range(20):
                await asyncio.sleep(0)
            assert talk.count("offer") == offered <= PENDING_MAX
            backfill.on_event(answer(1))
        offering.cancel()
        await asyncio.gather(offering, return_exceptions=True)

    asyncio.run(main())


def test_live_frames_wait_behind_no_more_than_a_small_piece(lane: Lane) -> None:
    spool = Spool(PowerCutDisk(), 64 << 20, lane)
    spool.begin(generation(1), b"blob")
    for frame in range(10):
        spool.append(SealedFrame(1, frame, frame, [bytes(3000)]))
    spool.complete(1)

    async def scenario(backfill: Backfill, talk: Talk) -> None:
        backfill.on_event(answer(1))
        await until(lambda: talk.count("send"))
        assert {one for one in talk.said if one[0] == "send"} == {("send", 2)}

    run(spool, scenario)

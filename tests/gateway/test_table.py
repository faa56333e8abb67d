"""The table of streams: what is held and what makes way, and what is too much for an output."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.ingest.budgets import Budget
from tickseal_gateway.ingest.ingest import Ingest
from tickseal_gateway.ingest.streams import Held
from tickseal_gateway.ingest.table import BACKFILLED_MOST, LIVE_MOST, StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.registry.limits import Limits
from tickseal_gateway.registry.registered import Device, DeviceState, Stream

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import LocalProtocolError

METADATA = StreamMetadata(id="garden/air", type="temperature")
NOW = ClockInterval.around(10**9, 1000, ClockDiscipline.NTP)
DEVICE = Device(
    id=1, name="garden", static_public=b"", psk=b"", hybrid=True,
    state=DeviceState.APPROVED, enrolled_ns=0,
)  # fmt: skip
STREAM = Stream(handle=1, id=METADATA.id, device_id=1, metadata=METADATA)


def generation(number: int) -> Generation:
    parameters = replace(StreamParameters(t0_ns=0), generation=number)
    return Generation.derive(
        METADATA, parameters, initial_secret=bytes(32), salt=bytes(32), handle=STREAM.handle
    )


def hold(table: StreamTable, number: int, *, offline: bool = False) -> Held:
    offline_from = 0 if offline else None
    return table.install(
        STREAM, DEVICE, generation(number), monotonic_ns=0, offline_from=offline_from
    )


def held(table: StreamTable) -> list[int]:
    (stream,) = table
    return list(stream.held)


def announced(table: StreamTable, number: int, frames: int) -> tuple[Held, list[bytes]]:
    """Return an offline generation whose first ticks may come, and a frame of each."""
    found = hold(table, number, offline=True)
    table.announce(STREAM.handle, number, (0, frames))
    sealer = FrameSealer(generation(number))
    return found, [segment for tick in range(frames) for segment in sealer.seal(b"21.5", tick)]


def test_of_too_many_live_generations_the_oldest_makes_way() -> None:
    table = StreamTable()
    hold(table, 200, offline=True)
    for number in range(1, LIVE_MOST + 2):
        hold(table, number)
    assert held(table) == [200, *range(2, LIVE_MOST + 2)]


def test_offline_generations_too_many_are_refused_and_cost_no_live_one() -> None:
    table = StreamTable()
    for number in range(1, BACKFILLED_MOST + 1):
        hold(table, number, offline=True)
    with pytest.raises(LocalProtocolError, match="wait to be backfilled"):
        hold(table, 100, offline=True)
    hold(table, 101)
    assert held(table) == [*range(1, BACKFILLED_MOST + 1), 101]


def test_an_offer_takes_the_place_of_itself_and_of_a_live_generation_with_its_low_bits() -> None:
    table = StreamTable()
    hold(table, 5)
    hold(table, 6)
    table.make_way(STREAM.handle, 5 + 256)
    hold(table, 5 + 256, offline=True)
    assert held(table) == [6, 5 + 256]
    table.make_way(STREAM.handle, 5 + 256)
    hold(table, 5 + 256, offline=True)
    table.make_way(STREAM.handle, 5 + 512)  # what another offer holds stays
    assert held(table) == [6, 5 + 256]


def test_what_is_backfilled_passes_whatever_the_clock_says_now_and_however_much_it_is() -> None:
    table = StreamTable()
    table.set_budget(DEVICE.id, Budget(Limits(frames_per_s=1)))
    found, segments = announced(table, 5, 50)
    found.stream.is_withheld = True
    batch = table.take(segments, NOW, backfilled=[found])
    assert (
        [mark.frame for mark in batch.marks]
        == list(range(50))
        == [each.frame for each in batch.others]
    )


def test_a_store_that_is_slow_slows_a_backfill_down_and_misses_nothing() -> None:
    table, goes_on, written = StreamTable(), threading.Event(), []

    class SlowStore:
        name, gather_s, keeps_newest = "store", 0.0, False

        def write(self, batches: Sequence[Batch]) -> None:
            goes_on.wait()
            written.extend(each.frame for batch in batches for each in batch.others)

        def close(self) -> None: ...

    class Clock:
        def now(self) -> ClockInterval:
            return NOW

    store = OutputRunner(SlowStore(), queue_most=10)
    ingest = Ingest(table, Clock(), [store], store)
    found, segments = announced(table, 5, 50)

    async def main() -> None:
        store.start()

        async def backfill() -> None:
            for start in range(0, 50, 10):
                await ingest.backfill(segments[start : start + 10], [found])

        task = asyncio.create_task(backfill())
        await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        await task

    asyncio.run(main())
    store.end()
    assert store.join(60)
    assert (written, store.counters.missed) == (list(range(50)), 0)

"""A lane does one thing at a time, hands over what comes of it, and hinders nobody's end."""

import asyncio
import threading

import pytest
from tickseal_edge.lanes import Lane


def test_work_is_done_in_turn_in_one_thread() -> None:
    async def scenario() -> None:
        lane = Lane("test")
        names = await asyncio.gather(
            *(lane.run(lambda: threading.current_thread().name) for _ in range(5))
        )
        assert set(names) == {"lane test"}
        lane.close()

    asyncio.run(scenario())


def test_what_work_raises_is_raised_where_it_is_awaited() -> None:
    async def scenario() -> None:
        lane = Lane("test")

        def fail() -> None:
            raise OSError("remote I/O error")

        with pytest.raises(OSError, match="remote"):
            await lane.run(fail)
        assert await lane.run(lambda: 1) == 1
        lane.close()

    asyncio.run(scenario())


def test_a_driver_that_hangs_holds_up_neither_other_lanes_nor_the_end() -> None:
    release = threading.Event()

    async def scenario() -> None:
        hung, well = Lane("hung"), Lane("well")
        task = asyncio.create_task(hung.run(release.wait))
        assert await well.run(lambda: 1) == 1
        task.cancel()
        skipped = asyncio.create_task(hung.run(lambda: pytest.fail("it was given up")))
        await asyncio.sleep(0)
        skipped.cancel()

    asyncio.run(scenario())
    release.set()

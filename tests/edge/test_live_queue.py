"""On a slow link sensors go before pictures, and the newest picture before the older."""

import asyncio

from tickseal_edge.streams.streams import SealedFrame
from tickseal_edge.uplink.live_queue import LiveQueue, Waiting


def _put(queue: LiveQueue, name: str, number: int, *, key: bool = True) -> None:
    queue.put(
        Waiting(
            stream_id=name,
            frame=SealedFrame(1, 0, number, [b""]),
            is_picture=name.startswith("camera"),
            is_key=key,
            until_ns=0,
        )
    )


def _take_all(queue: LiveQueue) -> list[tuple[str, int]]:
    async def take() -> list[tuple[str, int]]:
        taken = [await queue.take() for _ in range(len(queue))]
        return [(one.stream_id, one.frame.number) for one in taken]

    return asyncio.run(take())


def test_samples_go_first_and_in_their_order() -> None:
    queue = LiveQueue()
    _put(queue, "camera", 1)
    _put(queue, "heat", 1)
    _put(queue, "heat", 2)
    assert _take_all(queue) == [("heat", 1), ("heat", 2), ("camera", 1)]


def test_of_pictures_the_newest_go_and_the_older_are_counted() -> None:
    queue = LiveQueue()
    for number in range(10):
        _put(queue, "camera", number)
    taken = _take_all(queue)
    assert taken[-1] == ("camera", 9)
    assert len(taken) <= 2
    assert queue.dropped["link_slow"] == 10 - len(taken)


def test_cameras_take_turns() -> None:
    queue = LiveQueue()
    for number in range(2):
        _put(queue, "camera-1", number)
        _put(queue, "camera-2", number)
    assert [name for name, _ in _take_all(queue)] == [
        "camera-1", "camera-2", "camera-1", "camera-2",
    ]  # fmt: skip


def test_of_a_video_nothing_goes_that_could_not_be_shown() -> None:
    """Once a picture is given up, those that depend on it are too, until the next key."""
    queue = LiveQueue()
    _put(queue, "camera", 0)
    for number in range(1, 100):
        _put(queue, "camera", number, key=False)
    assert _take_all(queue) == []
    _put(queue, "camera", 100)
    _put(queue, "camera", 101, key=False)
    assert _take_all(queue) == [("camera", 100), ("camera", 101)]
    assert queue.dropped["link_slow"] == 100


def test_a_late_picture_takes_those_that_depend_on_it_along() -> None:
    queue = LiveQueue()

    async def scenario() -> None:
        _put(queue, "camera", 0)
        _put(queue, "camera", 1, key=False)
        queue.count_late(await queue.take())
        assert not len(queue)
        _put(queue, "camera", 2, key=False)
        assert not len(queue)

    asyncio.run(scenario())


def test_samples_that_wait_are_bounded_and_the_oldest_make_room() -> None:
    queue = LiveQueue()
    for number in range(1030):
        _put(queue, "heat", number)
    assert len(queue) == 1024
    assert queue.dropped["link_full"] == 6
    assert _take_all(queue)[0] == ("heat", 6)


def test_what_waits_for_a_lost_connection_is_counted() -> None:
    queue = LiveQueue()
    _put(queue, "heat", 1)
    _put(queue, "camera", 1)
    queue.clear()
    assert not len(queue)
    assert queue.dropped["not_connected"] == 2

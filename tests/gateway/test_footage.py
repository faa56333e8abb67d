"""What somebody who begins to watch a video gets: from a key picture on, and bounded."""

import pytest
from tickseal_gateway.frames import footage as module
from tickseal_gateway.frames.footage import Footage
from tickseal_gateway.frames.readings import Picture

from tickseal.core.constants import FLAG_BACKFILL
from tickseal.payloads import pictures


def picture(number: int, *, is_key: bool = False, flags: int = 0, size: int = 10) -> Picture:
    content = pictures.Picture(
        codec="h264",
        width=8,
        height=8,
        time_ns=number,
        sequence=number,
        is_key=is_key,
        data=bytes(size),
    )
    return Picture("device", "camera", content, 0, number, 1, flags, 0)


def numbers(shown: list[Picture]) -> list[int]:
    return [each.picture.sequence for each in shown]


def test_who_comes_late_begins_with_the_last_key_picture() -> None:
    footage = Footage()
    taken = [picture(number, is_key=number % 5 == 0) for number in range(13)]
    footage.add(taken)
    assert numbers(footage.after(None)) == [10, 11, 12]
    assert numbers(footage.after(taken[11])) == [12]
    assert numbers(footage.after(taken[12])) == []
    assert numbers(footage.after(taken[3])) == [10, 11, 12], "what is skipped ends at a key"
    assert footage.newest is taken[12]


def test_nothing_is_shown_before_the_first_key_picture() -> None:
    footage = Footage()
    footage.add([picture(1), picture(2)])
    assert footage.after(None) == []


def test_late_pictures_of_an_outage_are_no_news() -> None:
    footage = Footage()
    footage.add([picture(10, is_key=True), picture(11)])
    footage.add([picture(3, is_key=True, flags=FLAG_BACKFILL), picture(4, flags=FLAG_BACKFILL)])
    assert numbers(footage.after(None)) == [10, 11]


def test_a_video_without_key_pictures_takes_no_more_than_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_BYTES_MOST", 1000)
    footage = Footage()
    footage.add([picture(0, is_key=True), *(picture(n, size=100) for n in range(1, 50))])
    assert sum(len(each.picture.data) for each in footage.after(None)) <= 1110
    assert footage.after(None) == [], "and what follows cannot be decoded"
    footage.add([picture(50, is_key=True)])
    assert numbers(footage.after(None)) == [50]

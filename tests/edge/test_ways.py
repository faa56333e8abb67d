"""Frames go by UDP unless the reports show that it loses them."""

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.uplink.ways import Ways

from tickseal.sessions.control import ReportRow

SECOND = 10**9
RATE_HZ = 10


class Gateway:
    """Ten frames a second; some come, and it says so each second, after a while."""

    def __init__(self, comes: Callable[[int], bool] = lambda _: True) -> None:
        self.ways = Ways()
        self.comes = comes
        self._number = 0
        self._until = self._opened = 0
        self._ordered: list[tuple[int, ReportRow | int]] = []

    def run(self, seconds: int, delay_ns: Callable[[], int] = lambda: 0) -> None:
        """Let so many seconds pass.

        Args:
            delay_ns: of each message on the connection, which keeps their order.
        """
        for tenth in range(seconds * RATE_HZ):
            now_ns = self._number * SECOND // RATE_HZ
            self.ways.sent("heat", 7, self._number, now_ns)
            if self.comes(self._number):
                self._until, self._opened = self._number + 1, self._opened + 1
            self._number += 1
            said: list[ReportRow | int] = []
            if tenth % RATE_HZ == 7 and self._opened:
                said.append(ReportRow(1, 7, self._until, self._opened, 0))
            if tenth % (2 * RATE_HZ) == 9:
                said.append(now_ns)  # answers a ping of this moment
            for one in said:
                earliest_ns = self._ordered[-1][0] if self._ordered else 0
                self._ordered.append((max(earliest_ns, now_ns + delay_ns()), one))
            while self._ordered and self._ordered[0][0] <= now_ns:
                _, one = self._ordered.pop(0)
                if isinstance(one, ReportRow):
                    self.ways.reported([one])
                else:
                    self.ways.answered(one)


def test_a_few_losses_are_what_udp_is() -> None:
    gateway = Gateway(lambda number: number % 10 != 3)
    gateway.run(60)
    assert not gateway.ways.lossy


def test_many_losses_are_not() -> None:
    gateway = Gateway(lambda number: number % 10 > 2)
    gateway.run(8)
    assert gateway.ways.lossy == {"heat"}
    gateway.ways.clear()
    assert not gateway.ways.lossy


@given(st.integers(0, 2**32))
def test_reports_that_come_late_are_no_losses(seed: int) -> None:
    chance = random.Random(seed)
    gateway = Gateway()
    # A connection that loses segments itself: most come at once, and some after seconds.
    gateway.run(60, lambda: chance.choice((0, 0, 0, chance.randrange(9 * SECOND))))
    assert not gateway.ways.lossy


def test_losses_are_seen_in_reports_that_come_late() -> None:
    gateway = Gateway(lambda number: number % 10 > 2)
    gateway.run(12, lambda: 3 * SECOND)
    assert gateway.ways.lossy == {"heat"}


def test_a_network_that_lets_none_through_is_noticed_without_a_report() -> None:
    gateway = Gateway(lambda _: False)
    gateway.run(6)
    assert gateway.ways.lossy == {"heat"}


def test_a_network_that_lets_none_through_any_more_is_noticed() -> None:
    gateway = Gateway(lambda number: number < 30 * RATE_HZ)
    gateway.run(30)
    assert not gateway.ways.lossy
    gateway.run(8)
    assert gateway.ways.lossy == {"heat"}


def test_few_frames_tell_nothing() -> None:
    ways = Ways()
    for number in range(9):
        ways.sent("heat", 7, number, number * SECOND)
        ways.answered(number * SECOND)
    assert not ways.lossy


def test_a_new_generation_is_counted_anew() -> None:
    gateway = Gateway()
    gateway.run(10)
    ways = gateway.ways
    for number in range(5):
        ways.sent("heat", 8, number, 10 * SECOND)
    ways.reported([ReportRow(1, 8, 5, 5, 0)])
    ways.answered(20 * SECOND)
    assert not ways.lossy

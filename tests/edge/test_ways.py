"""Frames go by UDP unless the reports show that it loses them."""

from tickseal_edge.ways import Ways

from tickseal.control import ReportRow

SECOND = 10**9


def run(ways: Ways, opened_of_ten: int, *, seconds: int = 10, reports: bool = True) -> None:
    opened = 0
    for second in range(seconds):
        for _ in range(10):
            ways.sent("heat", 7, second * SECOND)
        opened += opened_of_ten
        if reports:
            ways.reported([ReportRow(1, 7, 1000, opened, 0)], (second + 1) * SECOND)
        else:
            ways.judge((second + 1) * SECOND)


def test_a_few_losses_are_what_udp_is() -> None:
    ways = Ways()
    run(ways, 9)
    assert not ways.lossy


def test_many_losses_are_not() -> None:
    ways = Ways()
    run(ways, 7, seconds=7)
    assert ways.lossy == {"heat"}
    ways.clear()
    assert not ways.lossy


def test_what_is_not_reported_yet_is_not_lost() -> None:
    ways = Ways()
    opened = 0
    for tenth in range(200):
        now_ns = tenth * SECOND // 10
        ways.sent("heat", 7, now_ns)
        # Nothing is lost; but it is reported after up to 1 s and 0.4 s of a slow way.
        if tenth % 10 == 9:
            opened = tenth + 1 - 4
            ways.reported([ReportRow(1, 7, opened, opened, 0)], now_ns)
        if tenth % 50 == 38:  # the judgement without a report comes at the worst of moments
            ways.judge(now_ns)
    assert not ways.lossy


def test_a_network_that_lets_none_through_is_noticed_without_a_report() -> None:
    ways = Ways()
    run(ways, 0, seconds=5, reports=False)
    assert ways.lossy == {"heat"}


def test_few_frames_tell_nothing() -> None:
    ways = Ways()
    for second in range(9):
        ways.sent("heat", 7, second * SECOND)
        ways.judge(second * SECOND)
    assert not ways.lossy


def test_a_new_generation_is_counted_anew() -> None:
    ways = Ways()
    run(ways, 10)
    for _ in range(5):
        ways.sent("heat", 8, 10 * SECOND)
    ways.reported([ReportRow(1, 8, 5, 5, 0)], 20 * SECOND)
    assert not ways.lossy

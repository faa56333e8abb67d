"""The power goes in the midst of anything: what was kept is kept, and no key is used twice."""

import random
import time
from itertools import groupby

import pytest
from waiting import eventually

from hil_tests.bench import counting
from hil_tests.bench.capabilities import Power
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway, Row
from hil_tests.bench.shell import Shell

STREAM = counting.STREAM
CONFIG = counting.config() + '[spool]\nsync = "250ms"\n'
KEPT_FRAMES = 20


def test_nothing_that_was_kept_is_lost_by_power_cuts(
    edge: Edge, shell: Shell, gateway: Gateway, power: Power, pytestconfig: pytest.Config
) -> None:
    cuts: int = pytestconfig.getoption("--power-cuts")
    counting.prepare(shell)
    edge.start(CONFIG)
    shell.run("sync")
    chance = random.Random(20)
    mark, started_ns = len(gateway.wire.passed), time.time_ns()
    on_disk: set[tuple[str, int]] = set()
    for number in range(cuts):
        gateway.more_frames(STREAM, 5)
        gateway.stop()
        on_disk |= wait_for_kept(edge, on_disk)
        edge.wait_for_write()
        if number % 2:  # in the midst of being sent
            before = len(gateway.wire.passed)
            gateway.start()
            wait_for_more(gateway, before)
            time.sleep(chance.uniform(0, 0.5))
            power.cut()
        else:  # in the midst of being written
            time.sleep(chance.uniform(0, 0.5))
            power.cut()
            gateway.start()
        power.give()
    gateway.more_frames(STREAM, 5)
    eventually(lambda: edge.ask()["spool"]["generations"] == 0, what="the spool is empty")

    assert len(on_disk) >= cuts * KEPT_FRAMES
    # The device's clock may start a second from the bench's.
    rows = [row for row in gateway.rows(STREAM, since_ns=started_ns - 2 * 10**9) if row.backfilled]
    assert on_disk <= {(row.generation, row.frame) for row in rows}
    for kept in by_generation(rows):
        assert not counting.gaps(kept)
    passed = gateway.wire.passed[mark:]
    assert not gateway.wire.repeats
    # Each frame has a key of its own, sealed one segment, and that one only.
    assert len({one.key_hash for one in passed}) == len({one.digest for one in passed})


def wait_for_kept(edge: Edge, before: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Wait until the device has kept enough more; return all that it has."""
    return eventually(
        lambda: found if len((found := edge.kept()) - before) >= KEPT_FRAMES else set(),
        what="the device keeps what it seals",
    )


def wait_for_more(gateway: Gateway, before: int) -> None:
    eventually(lambda: len(gateway.wire.passed) > before, what="the device sends what it kept")


def by_generation(rows: list[Row]) -> list[list[Row]]:
    """Return the readings of each generation, in the order of frames."""
    ordered = sorted(rows, key=lambda row: (row.generation, row.frame))
    return [list(group) for _, group in groupby(ordered, key=lambda row: row.generation)]

"""Whatever the network does, the gateway knows what is missing, and what is kept comes later."""

from hil_tests.bench import counting
from hil_tests.bench.capabilities import Network
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway
from hil_tests.bench.shell import Shell
from hil_tests.bench.waiting import eventually
from hil_tests.bench.wiretap import Passed

STREAM = counting.STREAM


def start(edge: Edge, shell: Shell, gateway: Gateway, *more: str) -> int:
    """Let the device count; return where what passes from now on begins in the wire's list."""
    counting.prepare(shell)
    mark = len(gateway.wire.passed)
    edge.start(counting.config(*more))
    gateway.more_frames(STREAM, 5)
    return mark


def of_this_generation(gateway: Gateway, mark: int) -> list[Passed]:
    """Return the segments of the stream's one live generation; each is a whole frame."""
    status = gateway.stream(STREAM)
    generation = int(status["generation"], 16) & 0xFF
    return [
        one
        for one in gateway.wire.passed[mark:]
        if (one.header.handle, one.header.generation) == (status["handle"], generation)
    ]


def lost_numbers(passed: list[Passed]) -> set[int]:
    came = {one.header.frame_number for one in passed}
    return set(range(max(came) + 1)) - came


def test_the_gateway_counts_what_the_network_lost(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    mark = start(edge, shell, gateway)
    before = gateway.stream(STREAM)["missing"]
    network.impair("loss 8%")
    gateway.more_frames(STREAM, 150)
    network.impair("loss 0%")
    # What is missing is known with the next summary, which comes within 5 s.
    lost = eventually(
        lambda: (
            found
            if (found := lost_numbers(of_this_generation(gateway, mark)))
            and len(found) == gateway.stream(STREAM)["missing"] - before
            else set()
        ),
        what="the gateway reports as many as the wire lost: "
        f"{lost_numbers(of_this_generation(gateway, mark))}",
    )
    assert len(lost) >= 3
    assert {one.way for one in of_this_generation(gateway, mark)} >= {"udp"}
    assert not gateway.stream(STREAM)["refusals"]


def test_nothing_is_missing_of_what_comes_late_and_in_disorder(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    mark = start(edge, shell, gateway)
    before = gateway.stream(STREAM)
    network.impair("delay 200ms 150ms")
    gateway.more_frames(STREAM, 150)
    network.impair("delay 0ms")
    gateway.more_frames(STREAM, 20)
    numbers = [one.header.frame_number for one in of_this_generation(gateway, mark)]
    assert numbers != sorted(numbers)
    after = gateway.stream(STREAM)
    assert after["missing"] == before["missing"]
    assert after["refusals"] == before["refusals"]
    generation = after["generation"]
    rows = [row for row in gateway.rows(STREAM) if row.generation == generation]
    assert len(rows) > 150
    assert not counting.gaps(rows)


def test_what_was_sealed_while_the_cable_was_out_comes_when_it_is_in(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    start(edge, shell, gateway)
    before = gateway.stream(STREAM)
    network.set_plugged(plugged=False)
    eventually(
        lambda: edge.ask()["spool"]["frames"] >= 3 * counting.RATE_HZ,
        what="what is sealed waits in the spool",
    )
    gone = counting.since_start(gateway.rows(STREAM))
    network.set_plugged(plugged=True)
    eventually(lambda: edge.ask()["spool"]["generations"] == 0, what="the spool is empty again")
    gateway.more_frames(STREAM, 20)
    assert gateway.stream(STREAM)["missing"] == before["missing"]
    rows = counting.since_start(gateway.rows(STREAM))
    assert len(rows) >= len(gone) + 3 * counting.RATE_HZ
    assert any(row.backfilled for row in rows)
    assert not counting.gaps(rows)

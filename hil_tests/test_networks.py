"""Whatever the network does, the gateway knows what is missing, and what is kept comes later."""

from waiting import eventually

from hil_tests.bench import counting
from hil_tests.bench.capabilities import Network
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway, Row
from hil_tests.bench.shell import Shell

STREAM = counting.STREAM
LOSSES = 5
#: Longer than a datagram counts as live (2 s, and 1 s that the gateway's clock may be off): the
#: last ones wait in the device's network stack for the cable, come before all else when it is in,
#: and one that was opened as live ends what lies more than a window before it.
OUT_S = 8


def start(edge: Edge, shell: Shell, gateway: Gateway, *more: str) -> int:
    """Let the device count; return where what passes from now on begins in the wire's list."""
    counting.prepare(shell)
    mark = len(gateway.wire.passed)
    edge.start(counting.config(*more))
    gateway.more_frames(STREAM, 5)
    return mark


def came(gateway: Gateway, mark: int) -> list[list[int]]:
    """Return the frames of each generation that came, in the order of coming.

    A segment is a whole frame here. There is more than one generation where the connection broke.
    """
    generations: dict[int, list[int]] = {}
    for one in gateway.wire.passed[mark:]:
        generations.setdefault(one.header.generation, []).append(one.header.frame_number)
    return list(generations.values())


def missing_and_refused(gateway: Gateway) -> tuple[int, dict[str, int]]:
    status = gateway.stream(STREAM)
    return status.get("missing", 0), status.get("refusals", {})


def without_gaps(gateway: Gateway, generation: str, *, last: int) -> list[Row]:
    """Return what is stored of a generation, once it goes up to a frame and lacks none before."""
    rows = [row for row in gateway.rows(STREAM) if row.generation == generation]
    is_whole = any(row.frame > last for row in rows) and not counting.gaps(rows)
    return rows if is_whole else []


def lost(gateway: Gateway, mark: int) -> int:
    """Return how many frames did not come, before others of their generation that did."""
    return sum(max(numbers) + 1 - len(set(numbers)) for numbers in came(gateway, mark))


def test_the_gateway_counts_what_the_network_lost(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    before, _ = missing_and_refused(gateway)
    mark = start(edge, shell, gateway)
    network.impair("loss 8%")
    eventually(lambda: lost(gateway, mark) >= LOSSES, what=f"{LOSSES} datagrams are lost")
    network.impair("loss 0%")
    # What is missing is known with the next frame that comes.
    gateway.more_frames(STREAM)
    missing, _ = missing_and_refused(gateway)
    assert missing - before == lost(gateway, mark)


def test_nothing_is_missing_of_what_comes_late_and_in_disorder(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    before = missing_and_refused(gateway)
    mark = start(edge, shell, gateway)
    network.impair("delay 200ms 150ms")
    gateway.more_frames(STREAM, 150)
    network.impair("delay 0ms")
    [numbers] = came(gateway, mark)
    assert numbers != sorted(numbers)
    generation = gateway.stream(STREAM)["generation"]
    rows = eventually(
        lambda: without_gaps(gateway, generation, last=max(numbers)), what="all that was sent comes"
    )
    assert len(rows) > 150
    assert missing_and_refused(gateway) == before


def test_what_was_sealed_while_the_cable_was_out_comes_when_it_is_in(
    edge: Edge, shell: Shell, gateway: Gateway, network: Network
) -> None:
    before, _ = missing_and_refused(gateway)
    start(edge, shell, gateway)
    network.set_plugged(plugged=False)
    eventually(
        lambda: not (uplink := edge.ask()["gateway"])["is_up"] and uplink["for_s"] >= OUT_S,
        what="the device has been alone for long enough",
    )
    kept = edge.ask()["spool"]["frames"]
    assert kept >= OUT_S
    network.set_plugged(plugged=True)
    eventually(lambda: edge.ask()["spool"]["generations"] == 0, what="the spool is empty again")
    gateway.more_frames(STREAM, 20)
    rows = counting.since_start(gateway.rows(STREAM))
    assert len(rows) >= kept
    assert any(row.backfilled for row in rows)
    assert not counting.gaps(rows)
    missing, _ = missing_and_refused(gateway)
    assert missing == before

"""A connection over a serial cable that damages what it carries; time moves as the test moves it.

Each end is what a board or a host runs: packets, a reader for them, and a channel of records.
"""

import random
from collections.abc import Callable

import pytest

from tickseal.core import cable
from tickseal.core.cobs import PacketReader, encode

LINK = 0x1234
#: What is said until a board is enrolled and streams: by whom, of which type, how many bytes.
ENROLMENT = [
    ("board", 1, 112), ("host", 3, 48), ("board", 5, 150), ("host", 5, 90), ("host", 5, 50),
    ("board", 5, 30), ("board", 5, 80), ("host", 5, 80), ("board", 5, 240), ("host", 5, 330),
]  # fmt: skip

Damage = Callable[[random.Random, int], bytes]


def any_fault(chance: random.Random, byte: int) -> bytes:
    return chance.choice(list(FAULTS.values())[:-1])(chance, byte)


FAULTS: dict[str, Damage] = {
    "dropped": lambda _chance, _byte: b"",
    "duplicated": lambda _chance, byte: bytes((byte, byte)),
    "flipped": lambda chance, byte: bytes((byte ^ 1 << chance.randrange(8),)),
    "inserted": lambda chance, byte: bytes((byte, chance.randrange(256))),
    "any": any_fault,
}


class Wire:
    """One direction: so many bytes a second, each damaged with a chance."""

    def __init__(self, chance: random.Random, noise: float, damage: Damage, rate: int) -> None:
        self.chance, self.noise, self.damage, self.rate = chance, noise, damage, rate
        self.free_ms = 0.0
        self.under_way: list[tuple[float, bytes]] = []

    def put(self, now: int, data: bytes) -> None:
        self.free_ms = max(self.free_ms, now) + len(data) * 1000 / self.rate
        damaged = b"".join(
            self.damage(self.chance, byte) if self.chance.random() < self.noise else bytes((byte,))
            for byte in data
        )
        self.under_way.append((self.free_ms, damaged))

    def take(self, now: int) -> bytes:
        data = b""
        while self.under_way and self.under_way[0][0] < now:
            data += self.under_way.pop(0)[1]
        return data


class End:
    """One end of the connection."""

    def __init__(self, *, waits: bool) -> None:
        self.channel = cable.Channel(LINK, 0, waits=waits)
        self.reader = PacketReader(cable.BODY_MAX_BYTES)
        self.got: list[tuple[int, bytes]] = []

    def hear(self, data: bytes, now: int) -> None:
        damaged = self.reader.damaged
        for body in self.reader.receive(data):
            assert cable.link_of(body) == LINK, "noise passed for a packet"
            if body[0] == cable.ACK:
                self.channel.acknowledged(body, now)
            else:
                self.got += self.channel.received(body)
        if self.reader.damaged > damaged:
            self.channel.disturbed(now)


def converse(seed: int, noise: float, damage: Damage, rate: int) -> int:
    """Say all of ENROLMENT, each after what is before it has come; return how long it took, ms."""
    chance = random.Random(seed)
    ends = {"board": End(waits=True), "host": End(waits=False)}
    wires = {name: Wire(chance, noise, damage, rate) for name in ends}
    now = 0
    for speaker, kind, size in ENROLMENT:
        listener = "host" if speaker == "board" else "board"
        said = (kind, chance.randbytes(size))
        assert ends[speaker].channel.queue(*said)
        while not ends[listener].got:
            now += 1
            for name, end in ends.items():
                end.hear(wires["host" if name == "board" else "board"].take(now), now)
                for body in end.channel.due(now):
                    wires[name].put(now, encode(body))
                assert not (end.channel.was_answered and end.channel.is_dead(now)), f"seed {seed}"
        assert ends[listener].got == [said], f"seed {seed}"
        ends[listener].got.clear()
    return now


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("noise", "rate", "most_ms"),
    [(0.01, 1_000_000, 600), (0.05, 1_000_000, 4000), (0.05, 11_520, 8000)],
)
def test_all_that_enrolling_says_arrives_once_and_in_order_over_a_noisy_cable(
    fault: str, noise: float, rate: int, most_ms: int
) -> None:
    took = [converse(seed, noise, FAULTS[fault], rate) for seed in range(10)]
    # Half the bound is usual; without any noise 15 ms over USB and 170 ms at 115200 baud.
    assert max(took) < most_ms, took
    assert sorted(took)[5] < most_ms / 2, took


def test_over_a_clean_cable_it_takes_no_longer_than_its_bytes() -> None:
    assert converse(0, 0, FAULTS["any"], 1_000_000) < 30
    assert converse(0, 0, FAULTS["any"], 11_520) < 200

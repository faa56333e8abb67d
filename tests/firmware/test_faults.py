"""What a cable and a host can do to a board, in simulated time: the stream is back within 2 s.

simulate() checks at the end of each scenario that no frame was opened twice, none otherwise than it
was sealed, and that the board sealed nothing twice under one key and nonce.
"""

import asyncio
import random
from pathlib import Path

import pytest
from cable import FAULTS
from simulated import Bench, simulate
from simulated_gateway import FLAG_BACKFILL
from timeline import BAUD_9600, BAUD_115200, USB

#: The promise: after a disturbance, and in spite of a lasting one, frames come within this time, s.
BACK_S = 2.0
NOISE = 0.05


@pytest.mark.parametrize("rate", [USB, BAUD_115200], ids=["USB", "115200 baud"])
@pytest.mark.parametrize("faults", [*([one] for one in FAULTS), list(FAULTS)], ids="-".join)
def test_though_every_twentieth_byte_is_damaged_a_board_enrols_and_streams_within_two_seconds(
    tmp_path: Path, rate: int, faults: list[str]
) -> None:
    took = []

    async def scenario(bench: Bench) -> None:
        bench.cable.set(faults=faults)
        took.append(await bench.frames())

    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        simulate(folder, scenario, seed=seed, rate=rate, noise=NOISE)
    assert max(took) < BACK_S, took


def test_a_slow_noisy_cable_takes_as_long_as_its_bytes_and_no_attempt_is_given_up(
    tmp_path: Path,
) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.frames(within_s=40) < 40
        assert bench.gateway.sessions == 1

    for seed in (1, 3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        simulate(folder, scenario, seed=seed, rate=BAUD_9600, noise=NOISE, period_ms=1000)


@pytest.mark.parametrize("rate", [USB, BAUD_115200], ids=["USB", "115200 baud"])
def test_frames_go_on_coming_through_noise_and_at_once_after_it(tmp_path: Path, rate: int) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.frames()
        for _ in range(5):
            bench.cable.set(noise=NOISE)
            for _ in range(5):
                assert await bench.frames() < BACK_S
            bench.cable.set(noise=0)
            assert await bench.frames() < BACK_S
        # None of it was worth a new connection.
        assert bench.gateway.sessions == 1

    simulate(tmp_path, scenario, rate=rate, period_ms=100)


@pytest.mark.parametrize("longest_s", [0.08, 4], ids=["in the middle of a frame", "for long"])
def test_a_cable_that_is_pulled_fifty_times(tmp_path: Path, longest_s: float) -> None:
    chance = random.Random(1)

    async def scenario(bench: Bench) -> None:
        await bench.frames()
        for _ in range(50):
            bench.cable.set(is_cut=True)
            await asyncio.sleep(chance.random() * longest_s)
            bench.cable.set(is_cut=False)
            assert await bench.frames() < BACK_S

    simulate(tmp_path, scenario)


@pytest.mark.parametrize("is_killed", [False, True], ids=["in order", "killed"])
def test_a_host_that_restarts(tmp_path: Path, is_killed: bool) -> None:
    chance = random.Random(2)

    async def scenario(bench: Bench) -> None:
        await bench.frames()
        for away_s in (0.01, 0.1, 1, 3, 10):
            await asyncio.sleep(chance.random() * 0.05)
            await bench.end_host(killed=is_killed)
            await asyncio.sleep(away_s)
            bench.start_host()
            assert await bench.frames(3) < BACK_S
            if away_s > 2:
                # What was sealed for the gateway meanwhile, which the board cannot open itself.
                past = [one for one in bench.ledger.frames if one.flags & FLAG_BACKFILL]
                assert past[-1].source.number not in told
                told.add(past[-1].source.number)

    told: set[int] = set()
    simulate(tmp_path, scenario)


def test_a_board_reset_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    chance = random.Random(3)

    async def scenario(bench: Bench) -> None:
        await bench.frames()
        for _ in range(20):
            await asyncio.sleep(chance.random() * 0.05)
            await bench.start_board()
            assert await bench.new_generation() < BACK_S

    simulate(tmp_path, scenario, rate=BAUD_115200)


def test_all_faults_at_once(tmp_path: Path) -> None:
    chance = random.Random(4)

    async def scenario(bench: Bench) -> None:
        bench.cable.set(noise=0.01)
        await bench.frames()
        for _ in range(10):
            await asyncio.sleep(chance.random())
            match chance.randrange(3):
                case 0:
                    bench.cable.set(is_cut=True)
                    await asyncio.sleep(chance.random() * 3)
                    bench.cable.set(is_cut=False)
                case 1:
                    await bench.end_host(killed=chance.random() < 0.5)
                    await asyncio.sleep(chance.random() * 3)
                    bench.start_host()
                case 2:
                    await bench.start_board()
                    await bench.new_generation()
            assert await bench.frames() < BACK_S

    simulate(tmp_path, scenario, rate=BAUD_115200)


def test_a_host_that_does_nothing_though_its_port_is_open_is_noticed_within_two_seconds(
    tmp_path: Path,
) -> None:
    chance = random.Random(5)

    async def scenario(bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        await bench.frames()
        for _ in range(20):
            await asyncio.sleep(3 * chance.random())
            bench.stop_host()
            stopped = loop.time()
            while bench.is_connected:
                await asyncio.sleep(0.005)
            assert loop.time() - stopped < BACK_S
            bench.stop_host(is_stopped=False)
            assert await bench.new_generation() < BACK_S
            while not bench.is_connected:
                await asyncio.sleep(0.005)

    simulate(tmp_path, scenario)


@pytest.mark.parametrize("rate", [USB, BAUD_9600], ids=["USB", "9600 baud"])
def test_a_host_that_is_slow_is_not_taken_for_dead_and_asking_it_costs_little(
    tmp_path: Path, rate: int
) -> None:
    chance = random.Random(6)

    async def scenario(bench: Bench) -> None:
        await bench.frames()
        for _ in range(20):
            bench.stop_host()
            await asyncio.sleep(0.5 + chance.random() / 2)
            bench.stop_host(is_stopped=False)
            await asyncio.sleep(chance.random() / 2)
        assert bench.gateway.sessions == 1
        await asyncio.sleep(5)
        before = bench.cable.to_board.carried
        await asyncio.sleep(20)
        # Acknowledgements twice a second, and the pings of both sides every two.
        assert (bench.cable.to_board.carried - before) / 20 < 300

    simulate(tmp_path, scenario, rate=rate, period_ms=200)

"""What a cable can do to a board: noise, being pulled, hosts that come and go."""

import asyncio
import random
from pathlib import Path

import pytest
from cable import TestCable
from running_gateway import GatewayFactory, run

from bench import Ledger, gateway_on, invite, make_board, settled

#: The promise: after a disturbance the stream is back within this time, s.
BACK_S = 2.0


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_after_noise_the_stream_is_back_and_nothing_was_opened_twice_or_wrongly(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger, noise: float
) -> None:
    async def scenario() -> None:
        async with TestCable(seed=7) as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more()
            for _ in range(2):
                cable.noise = noise
                await asyncio.sleep(3)
                cable.noise = 0
                assert await ledger.more() < BACK_S
            board.kill()
            assert board.log() == ""
            refused = view.snapshot()["streams"][0]["refusals"]
        # The CRC of each packet keeps noise away from what opens: nothing forged ever got there.
        assert not refused.keys() & {"forged", "key_hash", "malformed"}
        counts = ledger.counts()
        assert counts == sorted(counts)
        assert ledger.opened_twice() == []

    run(scenario())


def test_a_board_enrols_over_a_cable_that_damages_every_fiftieth_byte(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable(seed=3) as cable, gateway_on(gateways, cable) as view:
            cable.noise = 0.02
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more(1, within_s=25)
            board.kill()

    run(scenario())


def test_the_cable_is_pulled_fifty_times(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        chance = random.Random(1)
        async with TestCable() as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more()
            for _ in range(50):
                cable.is_pulled = True
                # At any moment of a frame, and for any time.
                await asyncio.sleep(chance.random() * 0.2)
                cable.is_pulled = False
                assert await ledger.more(1) < BACK_S
            board.kill()
            assert board.log() == ""
        assert ledger.opened_twice() == []

    run(scenario())


def test_a_board_reset_in_the_middle_of_a_frame_comes_back(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        chance = random.Random(2)
        async with TestCable() as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more()
            for _ in range(10):
                await asyncio.sleep(chance.random() * 0.1)
                board.kill()
                board.start()
                assert await ledger.new_generation() < BACK_S
            board.kill()
            # No two starts sealed under one generation: no (key, nonce) can have come again.
            generations = [one.generation for one in ledger.readings]
            assert len(set(generations)) == 11
        assert ledger.opened_twice() == []

    run(scenario())


def test_a_host_that_restarts_is_streamed_to_again(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable:
            board = make_board(code, tmp_path, cable)
            async with gateway_on(gateways, cable) as view:
                board.invite(await invite(view))
                board.start()
                await ledger.more()
            for _ in range(3):
                ledger.readings.clear()
                async with gateway_on(gateways, cable) as view:
                    assert await ledger.more() < BACK_S
                    await settled(view)
                # What was sealed offline and not yet on the disk comes to the next one again.
                assert ledger.opened_twice() == []
            board.kill()
            assert board.log() == ""

    run(scenario())

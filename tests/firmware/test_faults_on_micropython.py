"""What a cable can do to a board: noise, being pulled, hosts that come and go."""

import asyncio
import random
from pathlib import Path

import pytest
from cable import FAULTS, TestCable
from running_gateway import GatewayFactory, run

from bench import Ledger, gateway_on, invite, make_board, settled

#: The promise: after a disturbance the stream is back within this time, s.
BACK_S = 2.0


def test_over_a_cable_that_damages_every_twentieth_byte_a_board_enrols_and_streams(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable(seed=7) as cable, gateway_on(gateways, cable) as view:
            cable.noise = 0.05
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more(10, within_s=20)
            for fault in FAULTS:
                cable.faults = [fault]
                cable.noise = 0.05
                await ledger.more(5, within_s=20)
                cable.noise = 0
                assert await ledger.more(1) < BACK_S
            board.kill()
            assert board.log() == ""
            # The CRC of each packet keeps noise away from what opens: nothing forged got there.
            refused = view.snapshot()["streams"][0]["refusals"]
            assert not refused.keys() & {"forged", "key_hash", "malformed"}
        assert len(ledger.counts()) == len(set(ledger.counts()))
        ledger.check()

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
                await asyncio.sleep(chance.random() * 0.08)
                cable.is_pulled = False
                assert await ledger.more(1) < BACK_S
            board.kill()
            assert board.log() == ""
        ledger.check()

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
                await asyncio.sleep(chance.random() * 0.05)
                board.kill()
                board.start()
                assert await ledger.new_generation() < BACK_S
            board.kill()
            # No two starts sealed under one generation: no (key, nonce) can have come again.
            generations = [one.generation for one in ledger.readings]
            assert len(set(generations)) == 11
        ledger.check()

    run(scenario())


@pytest.mark.parametrize("is_killed", [False, True], ids=["in order", "killed"])
def test_a_host_that_restarts_is_streamed_to_again(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger, is_killed: bool
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable:
            board = make_board(code, tmp_path, cable)
            async with gateway_on(gateways, cable) as view:
                board.invite(await invite(view))
                board.start()
                await ledger.more()
                # One that is killed says nothing to its board.
                cable.is_pulled = is_killed
            for _ in range(2):
                ledger.readings.clear()
                cable.is_pulled = False
                async with gateway_on(gateways, cable) as view:
                    assert await ledger.more() < BACK_S
                    await settled(view)
                    cable.is_pulled = is_killed
                # What was sealed offline and not yet on the disk comes to the next one again.
                ledger.check()
            board.kill()
            assert board.log() == ""

    run(scenario())

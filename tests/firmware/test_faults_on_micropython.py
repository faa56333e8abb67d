"""The faults of test_faults.py on MicroPython itself, at a real gateway, in real time.

How soon the stream is back is measured there; here, that it comes back, and what is opened.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from board import Board
from cable import FAULTS, TestCable
from running_gateway import GatewayFactory, run
from tickseal_gateway.health.view import View

from bench import Ledger, gateway_on, invite, make_board, settled

Fault = Callable[[TestCable, Board, Ledger], Awaitable[None]]


@contextlib.asynccontextmanager
async def power(board: Board, ledger: Ledger) -> AsyncIterator[None]:
    """Give a board its power; at the end nothing went wrong with it, and nothing was opened so."""
    board.start()
    try:
        yield
    finally:
        board.kill()
    assert board.log() == ""
    ledger.check()


def check_refusals(view: View) -> None:
    """The CRC of each packet keeps noise away from what opens: nothing forged got there."""
    refused = view.snapshot()["streams"][0]["refusals"]
    assert not refused.keys() & {"forged", "key_hash", "malformed"}


async def is_noisy(cable: TestCable, board: Board, ledger: Ledger) -> None:
    for fault in FAULTS:
        cable.faults, cable.noise = [fault], 0.05
        await ledger.more(5)
        cable.noise = 0
        await ledger.more(1)


async def is_pulled(cable: TestCable, board: Board, ledger: Ledger) -> None:
    chance = random.Random(1)
    for _ in range(50):
        cable.is_pulled = True
        # At any moment of a frame, and for any time.
        await asyncio.sleep(chance.random() * 0.08)
        cable.is_pulled = False
        await ledger.more(1)


async def is_reset(cable: TestCable, board: Board, ledger: Ledger) -> None:
    chance = random.Random(2)
    for _ in range(5):
        await asyncio.sleep(chance.random() * 0.05)
        board.kill()
        board.start()
        # No two starts seal under one generation: no (key, nonce) can come again.
        await ledger.new_generation()


@pytest.mark.parametrize("fault", [is_noisy, is_pulled, is_reset], ids=lambda one: one.__name__)
def test_a_board_streams_again_after_its_cable_or_itself(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger, fault: Fault
) -> None:
    async def scenario() -> None:
        async with TestCable(seed=7) as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            cable.noise = 0.05 if fault is is_noisy else 0
            async with power(board, ledger):
                await ledger.more()
                await fault(cable, board, ledger)
            check_refusals(view)

    run(scenario())


@pytest.mark.parametrize("is_killed", [False, True], ids=["in order", "killed"])
def test_a_host_that_restarts_is_streamed_to_again(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger, is_killed: bool
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable, contextlib.AsyncExitStack() as powered:
            board = make_board(code, tmp_path, cable)
            for restart in range(3):
                # What was sealed offline and not yet on the disk comes to the next one again.
                ledger.readings.clear()
                cable.is_pulled = False
                async with gateway_on(gateways, cable) as view:
                    if not restart:
                        board.invite(await invite(view))
                        await powered.enter_async_context(power(board, ledger))
                    await ledger.more()
                    await settled(view)
                    # One that is killed says nothing to its board.
                    cable.is_pulled = is_killed
                ledger.check()

    run(scenario())

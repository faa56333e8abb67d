"""A board on a cable, MicroPython on one side and a real gateway on the other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cable import TestCable
from running_gateway import GatewayFactory, run

from bench import Ledger, gateway_on, invite, make_board, settled
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.events import Event


def test_enrols_once_and_streams_again_after_each_cut_of_its_power(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.invite(await invite(view))
            board.start()
            await ledger.more(5)
            assert not (board.flash / "tickseal.invite").exists()
            identity = (board.flash / "tickseal.identity").read_bytes()
            for _ in range(3):
                board.kill()
                board.start()
                # Frames of the board before may still be in the cable.
                await ledger.new_generation()
                await ledger.more(5)
            board.kill()
            assert (board.flash / "tickseal.identity").read_bytes() == identity
            assert len({one.generation for one in ledger.readings}) == 4
            assert [one["name"] for one in view.snapshot()["devices"]] == ["device-1"]
            assert board.log() == ""
        ledger.check()

    run(scenario())


def test_a_gateway_that_restarts_gets_what_was_sealed_meanwhile(
    code: Path,
    tmp_path: Path,
    gateways: GatewayFactory,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    receive = ControllerSession.receive

    def noting(session: ControllerSession, *arguments: Any) -> list[Event]:
        events = receive(session, *arguments)
        asked.extend(type(event).__name__ for event in events)
        return events

    monkeypatch.setattr(ControllerSession, "receive", noting)

    async def scenario() -> None:
        async with TestCable() as cable:
            board = make_board(code, tmp_path, cable)
            async with gateway_on(gateways, cable) as view:
                board.invite(await invite(view))
                board.start()
                await ledger.more(10)
            before = ledger.counts()[-1]
            asked.clear()
            await asyncio.sleep(1)
            async with gateway_on(gateways, cable) as view:
                await ledger.more(60)
                await settled(view)
                board.kill()
            counts = sorted(ledger.counts())
            # It was told of the end: what was under way just then is lost, and nothing more.
            missing = sorted(set(range(before + 1, counts[-1])) - set(counts))
            assert missing == list(range(before + 1, before + 1 + len(missing)))
            assert len(missing) < 100, "what the cable and its buffers hold"
            # Known to the gateway before it chose a number: 4 bits must tell the two apart.
            assert asked.index("OfflineGenerationOffered") < asked.index("OpenRequested")
            assert any(one.flags & 4 for one in ledger.readings)
            assert len(counts) == len(set(counts))
            assert board.log() == ""
        ledger.check()

    run(scenario())

"""A board on a cable, MicroPython on one side and a real gateway on the other."""

import asyncio
from pathlib import Path

import pytest
from cable import TestCable
from running_gateway import GatewayFactory, run
from tickseal_edge.relay import Relay
from tickseal_gateway.connection import Connection

from bench import Ledger, gateway_on, invite, make_board, settled
from tickseal.events import Event
from tickseal.links.serial import SerialServer
from tickseal.links.serial_port import SerialSettings


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
                assert await ledger.more(5) < 4
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
    handle = Connection._handle

    async def noting(connection: Connection, event: Event) -> None:
        asked.append(type(event).__name__)
        await handle(connection, event)

    monkeypatch.setattr(Connection, "_handle", noting)

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
            assert len(missing) < 30, "less than a second, on a machine that is slow"
            # Known to the gateway before it chose a number: 4 bits must tell the two apart.
            assert asked.index("OfflineGenerationOffered") < asked.index("OpenRequested")
            assert any(one.flags & 4 for one in ledger.readings)
            assert len(counts) == len(set(counts))
            assert board.log() == ""
        ledger.check()

    run(scenario())


def test_a_relay_passes_on_what_neither_it_nor_an_eavesdropper_can_read(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable, gateways.inside() as view:
            cable.heard = []
            relay = Relay([view.snapshot()["gateway"]["addresses"][0]])
            server = SerialServer(SerialSettings(port=cable.host), relay.serve)
            serving = asyncio.create_task(server.run())
            board = make_board(code, tmp_path, cable)
            token = await invite(view)
            board.invite(token)
            board.start()
            await ledger.more(10)
            board.kill()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            heard = b"".join(cable.heard)
            stream = view.snapshot()["streams"][0]
            assert stream["frames"] >= 10
            assert stream["refusals"] == {}
            # Names, units and values travel in no frame; nor do the stream's id and the secrets.
            identity = (board.flash / "tickseal.identity").read_bytes()
            secrets = [identity[at : at + 8] for at in range(0, len(identity) - 8, 8)]
            told = [line for line in heard.split(b"\0") if b"board/counter" in line]
            assert all(b"streaming board/counter" in line for line in told)
            for word in (b"count\x01", b"memory", b"telemetry", token[-40:].encode(), *secrets):
                assert word not in heard
        ledger.check()

    run(scenario())

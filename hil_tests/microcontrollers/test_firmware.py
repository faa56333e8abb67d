"""The whole program on a board: flashed by our own commands, streaming to a gateway."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from running_gateway import GatewayFactory
from tickseal_flash import build, flashing, ports

from hil_tests.bench.microcontroller import Microcontroller, mpremote
from tickseal import events as ev
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.controller_session import ControllerSession
from tickseal.invite import InviteToken
from tickseal.links.serial import SerialServer
from tickseal.links.serial_link import SerialLink
from tickseal.links.serial_port import SerialSettings
from tickseal.negotiation import NegotiationPolicy, clamp
from tickseal.parameters import Profile
from tickseal.primitives import x25519_public
from tickseal.receiving import Frame, SegmentReceiver
from tickseal.samples import decode_samples

Boards = Callable[[Path | None], AbstractContextManager[Microcontroller]]

#: The promise: a board's heap, beyond what MicroPython itself holds, in steady state.
HEAP_BYTES = 60 * 1024
PROGRAM_BYTES = 48 * 1024
STREAM = {
    "id": "board/t",
    "period_ms": 200,
    "sensors": [{"kind": "counter"}, {"kind": "memory"}],
}


def config_for(kind: str) -> dict[str, Any]:
    cable = (
        {"kind": "uart", "id": 1, "baudrate": 115200} if kind == "cortex-m3" else {"kind": "usb"}
    )
    return {"name": kind, "cable": cable, "streams": [STREAM]}


def test_the_program_fits_its_budget_in_flash() -> None:
    assert len(build.program()) <= PROGRAM_BYTES


@pytest.mark.parametrize("kind", ["unix", "cortex-m3"], indirect=True, scope="session")
def test_a_flashed_board_enrols_and_streams_and_ctrl_c_gives_its_repl(
    kind: str, boards: Boards, tmp_path: Path
) -> None:
    gateways = GatewayFactory(tmp_path)

    async def scenario(board: Microcontroller) -> None:
        async with gateways.inside(f'[[serial]]\nport = "{board.data}"\n') as view:
            made: Any = await view.commands()["invite"]({"do": "invite", "hybrid": False})
            # One at a time on a terminal that is cable and REPL in one.
            pico = ports.kind_of("pico")
            said: list[str] = []
            await asyncio.to_thread(
                flashing.flash,
                ports.Mpremote(board.repl, pico),
                config_for(kind),
                invite=made["token"],
                new_identity=False,
                say=said.append,
            )
            assert any("the board runs now" in line for line in said)
            async with asyncio.timeout(60):
                while not (streams := view.snapshot()["streams"]) or streams[0]["frames"] < 60:
                    await asyncio.sleep(0.2)
            assert streams[0]["refusals"] == {}
            if kind != "unix":  # its words are twice as wide
                latest = {one["name"]: one["value"] for one in streams[0]["latest"]}
                assert latest["memory"] < HEAP_BYTES

    with boards(None) as board:
        if board.data == board.repl:
            pytest.skip("the gateway would hold the port that mpremote needs")
        asyncio.run(scenario(board))
        assert mpremote(board, "exec", "print(6 * 7)").strip() == "42"


class SlowServer(SerialServer):
    """A port whose clock goes as slowly as an emulator's."""

    slowdown = 30

    def now_ms(self) -> int:
        """Return the clock of the cable, ms."""
        return super().now_ms() // self.slowdown


class SlowGateway:
    """A controller and sink whose clock goes as slowly as an emulator's."""

    def __init__(self) -> None:
        self.private, self.secret = os.urandom(32), os.urandom(32)
        self.frames: list[Frame] = []
        self.sessions = 0
        self._start = time.monotonic_ns()

    @property
    def invite(self) -> str:
        """An invite for one board."""
        return InviteToken(
            addresses=("gateway:4710",),
            gateway_public=x25519_public(self.private),
            hybrid=False,
            invite_id=bytes(8),
            secret=self.secret,
        ).encode()

    def _now(self) -> tuple[ClockInterval, int]:
        elapsed = (time.monotonic_ns() - self._start) // SlowServer.slowdown
        return ClockInterval.around(10**18 + elapsed, 10**6, ClockDiscipline.NTP), elapsed

    async def serve(self, link: SerialLink) -> None:
        """Serve one connection."""
        now, elapsed = self._now()
        session = ControllerSession(
            private_key=self.private,
            name="slow gateway",
            udp_port=0,
            random_bytes=os.urandom,
            monotonic_ns=elapsed,
        )
        receiver = SegmentReceiver(Profile.COMPACT)
        self.sessions += 1
        while not session.is_closed:
            try:
                async with asyncio.timeout(1):
                    data = await link.receive()
            except TimeoutError:
                session.on_deadline(*self._now())
            else:
                now, elapsed = self._now()
                for event in session.receive(data, now, elapsed):
                    self._handle(session, receiver, event)
            while said := session.data_to_send():
                link.write(said)

    def _handle(
        self, session: ControllerSession, receiver: SegmentReceiver, event: ev.Event
    ) -> None:
        match event:
            case ev.HandshakeRequested():
                session.accept(self.secret, enrolling="board")
            case ev.OpenRequested():
                now, _ = self._now()
                policy = NegotiationPolicy(profiles=(Profile.COMPACT,))
                parameters = clamp(event.wish, policy, now=now, generation=7)
                receiver.install(
                    session.grant_stream(
                        event.metadata.id, parameters, handle=5, salt=os.urandom(32)
                    )
                )
            case ev.SegmentsReceived():
                self.frames += receiver.receive(list(event.segments), self._now()[0])
            case _:
                pass


# No packet came within 320 s of wall time, and why is not known: the emulator, or the firmware.
@pytest.mark.skip(reason="the firmware does not stream on the virtual Pico yet")
@pytest.mark.parametrize("kind", ["pico"], indirect=True, scope="session")
def test_a_virtual_pico_enrols_and_streams_over_its_usb(boards: Boards, tmp_path: Path) -> None:
    gateway = SlowGateway()
    files = build.files()
    files["config.json"] = json.dumps(config_for("pico")).encode()
    files["tickseal.invite"] = gateway.invite.encode()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    async def scenario(board: Microcontroller) -> None:
        server = SlowServer(SerialSettings(port=board.data), gateway.serve)
        serving = asyncio.create_task(server.run())
        async with asyncio.timeout(580):
            while len(gateway.frames) < 3:
                await asyncio.sleep(0.5)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    with boards(tmp_path) as board:
        asyncio.run(scenario(board))
    samples = {one.name: one.value for one in decode_samples(gateway.frames[-1].payload)}
    assert gateway.sessions == 1
    print(f"heap in use on the Pico: {samples['memory']} bytes")
    assert int(samples["memory"] or 0) < HEAP_BYTES + 4096  # MicroPython's own beside ours

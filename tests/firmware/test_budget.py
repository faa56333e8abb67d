"""What a frame may cost a board: calls of AES and SHA, and memory that does not grow."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cryptolib_shim
import device.hmac
import pytest
from cable import TestCable
from device import ccm, primitives
from running_gateway import GatewayFactory, run

from bench import Ledger, gateway_on, invite, make_board
from tickseal.core.keytree import Walker
from tickseal.core.sealer import Sealer

#: The promise, and what the payload of 64 bytes needs itself: to be encrypted, and its MAC.
CALLS_MOST, PAYLOAD_CALLS = 12, 2
PARAMETERS = {
    "depth": 20, "epoch_bits": 0, "frame_bytes": 1024, "generation": 1, "hash": 8, "profile": 1,
    "renewal": 1, "segment_bytes": 64, "suite": 3,
}  # fmt: skip


#: A board of the unix port, whose words are twice as wide, streams with 73,500 bytes in use; a Pico
#: then with 55,936 of 61,440. With the code of handshakes left in memory these were 80,900.
STREAMING_BYTES = 75 * 1024


def test_a_frame_of_64_bytes_takes_at_most_12_calls_of_aes_and_sha_beyond_its_payloads_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def sha256(*data: bytes) -> Any:
        calls.append("sha")
        return hashlib.sha256(*data)

    class Aes(cryptolib_shim.Aes):
        def encrypt(self, blocks: bytes) -> bytes:
            calls.append("aes")
            return super().encrypt(blocks)

    def aes(*arguments: Any) -> Aes:
        return Aes(cryptolib_shim.aes(*arguments)._encryptor)

    monkeypatch.setattr(device.hmac, "sha256", sha256)
    monkeypatch.setattr(primitives, "hashlib", SimpleNamespace(sha256=sha256))
    monkeypatch.setattr(ccm, "aes", aes)
    sealer = Sealer(
        primitives, bytes(32), Walker.from_root(primitives, bytes(32), 20), PARAMETERS, 5
    )
    frames = 1024
    sealer.seal(bytes(64), 0)
    calls.clear()
    for tick in range(1, frames + 1):
        sealer.seal(bytes(64), tick)
    # On average: a step of the key tree costs more at one tick and nothing at the next.
    assert calls.count("aes") >= 2 * frames
    assert calls.count("sha") >= 2 * frames
    assert len(calls) / frames <= CALLS_MOST + PAYLOAD_CALLS


def test_what_a_board_has_in_use_leaves_a_margin_and_does_not_grow_while_it_streams(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    async def scenario() -> None:
        async with TestCable() as cable, gateway_on(gateways, cable) as view:
            board = make_board(code, tmp_path, cable)
            board.configure(cable.board, streams=[{
                "id": "board/fast", "period_ms": 5, "interval_ms": 50,
                "sensors": [{"kind": "counter"}, {"kind": "memory"}],
            }])  # fmt: skip
            board.invite(await invite(view))
            board.start()
            await ledger.more(800)
            board.kill()
            assert board.log() == ""

    run(scenario())
    used = [int(one.value or 0) for one in ledger.readings if one.name == "memory"]
    # One block of the unix port is 32 bytes; a frame that left one behind would add 12,800.
    assert min(used[-200:]) <= min(used[200:400]) + 1024
    assert min(used[-200:]) < STREAMING_BYTES

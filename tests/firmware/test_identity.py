"""Who the board is, in flash: whole whenever the power goes, written once, no key of streams."""

import asyncio
import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from device import cborlite, files, identity
from simulated import Bench, simulate

from tickseal.core.errors import EnrolmentError, StoreError
from tickseal.invite import InviteToken

SECRETS = {"gateway": bytes(range(32)), "psk": bytes(range(32, 64)), "shared": bytes(32)}


class PowerCut(Exception):
    """The board has no power any more."""


class Flash:
    """Files whose power goes at the n-th operation, half way through where that is a write."""

    def __init__(self, patch: pytest.MonkeyPatch, power_for: int) -> None:
        self.left = power_for
        for module, name in ((builtins, "open"), (os, "rename"), (os, "sync")):
            patch.setattr(module, name, self._cutting(getattr(module, name)))

    def _cutting(self, real: Any) -> Any:
        def operation(*arguments: Any, **named: Any) -> Any:
            self.use()
            made = real(*arguments, **named)
            return _Writing(self, made) if "wb" in arguments else made

        return operation

    def use(self) -> None:
        """Have power for one operation more."""
        if not self.left:
            raise PowerCut
        self.left -= 1


class _Writing:
    def __init__(self, flash: Flash, file: Any) -> None:
        self._flash, self._file = flash, file

    def __enter__(self) -> "_Writing":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._flash.use()
        self._file.write(data[half:])


@pytest.fixture(autouse=True)
def flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def give_invite() -> None:
    token = InviteToken(
        addresses=("localhost:1",), gateway_public=SECRETS["gateway"], hybrid=False,
        invite_id=bytes(8), secret=bytes(32),
    )  # fmt: skip
    Path(identity.INVITE).write_text(token.encode())


def test_a_file_has_its_old_content_or_its_new_one_whenever_the_power_goes() -> None:
    files.write("file", b"old content")
    outcomes = []
    for power_for in range(20):
        with pytest.MonkeyPatch.context() as patch:
            Flash(patch, power_for)
            try:
                files.write("file", b"new content, which is longer")
                was_cut = False
            except PowerCut:
                was_cut = True
        outcomes.append(files.read("file"))
        assert outcomes[-1] in (b"old content", b"new content, which is longer")
        if not was_cut:
            break
        files.write("file", b"old content")
    # It was cut before, amid and after the change.
    assert len(outcomes) >= 4
    assert outcomes[0] == b"old content"
    assert outcomes[-1] == b"new content, which is longer"


def test_a_damaged_file_is_told_and_not_used() -> None:
    files.write("file", b"content")
    data = bytearray(Path("file").read_bytes())
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        Path("file").write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            files.read("file")


def test_a_cut_of_the_power_while_it_enrols_leaves_a_board_that_can_enrol_or_is_enrolled() -> None:
    give_invite()
    key = identity.load(os.urandom).private
    for power_for in range(20):
        with pytest.MonkeyPatch.context() as patch:
            known = identity.load(os.urandom)
            Flash(patch, power_for)
            try:
                identity.save(known, "device-1", SECRETS["psk"], SECRETS["shared"])
                was_cut = False
            except PowerCut:
                was_cut = True
        found = identity.load(os.urandom)
        assert found.private == key
        assert (
            (found.psk == SECRETS["psk"]) == (found.device == "device-1") == (not found.invite_id)
        )
        if not was_cut:
            break
        Path(identity.IDENTITY).unlink(missing_ok=True)
    assert found.device == "device-1"


def test_an_identity_is_written_once() -> None:
    give_invite()
    known = identity.load(os.urandom)
    identity.save(known, "device-1", SECRETS["psk"], SECRETS["shared"])
    written = Path(identity.IDENTITY).read_bytes()
    with pytest.raises(StoreError, match="already"):
        identity.save(known, "device-2", bytes(32), bytes(32))
    assert Path(identity.IDENTITY).read_bytes() == written


def test_a_board_without_identity_and_invite_says_what_to_do() -> None:
    with pytest.raises(EnrolmentError, match="tickseal mcu flash"):
        identity.load(os.urandom)


def test_no_key_of_a_stream_is_ever_on_flash(flash: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.frames(3)
        await bench.end_host()
        board = bench.board
        assert board is not None
        while not board._spool.outages:
            await asyncio.sleep(0.1)
        bench.start_host()
        await bench.frames(3)

    simulate(flash, scenario)
    assert {path.name for path in flash.iterdir()} == {
        "config.json", "tickseal.identity", "tickseal.key", "tickseal.seed",
    }  # fmt: skip
    kept = [files.read(name) for name in (identity.KEY, identity.IDENTITY, "tickseal.seed")]
    assert [sorted(cborlite.decode(one)) for one in kept] == [
        ["private", "public"],
        ["device", "gateway", "psk", "shared"],
        ["boots", "seed"],
    ]

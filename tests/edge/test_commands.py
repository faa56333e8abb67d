"""The commands as a person and a service manager use them."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from edge_device import until
from fake_gateway import FakeGateway, Registry

from tickseal.host.kernel_clock import KernelClock


async def tickseal(*arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it printed on both channels."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tickseal.cli", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge.toml"
    path.write_text(f'name = "pi"\nstate = "{tmp_path / "state"}"\n')
    return str(path)


def test_enrol_run_status_and_stop(config: str, registry: Registry) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        token = gateway.invite.encode()
        code, out, err = await tickseal("edge", "enrol", token, "--config", config)
        assert (code, err) == (0, "")
        assert "enrolled as device-1" in out
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickseal.cli", "edge", "run", "--config", config, "--json",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await until(lambda: len(gateway.payloads("pi/host")) > 3, within_s=20)
            arguments = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
            assert b"tickseal_edge" in arguments, "it has turned into the small process"
            code, out, _ = await tickseal("edge", "status", "--config", config, "--json")
            state = json.loads(out)
            assert state["device"] == "device-1"
            assert state["gateway"]["is_up"]
            assert state["streams"][0]["state"] == "live"
            assert state["streams"][0]["frames"] > 3
            code, out, _ = await tickseal("edge", "status", "--config", config)
            assert "pi/host: live" in out
        finally:
            running.send_signal(signal.SIGTERM)
        _, err_bytes = await running.communicate()
        assert running.returncode == 0
        lines = [json.loads(line) for line in err_bytes.splitlines()]
        assert lines[-1]["message"] == "stopped"
        await gateway.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status"], "no edge runs"),
        (["run"], "not enrolled"),
        (["enrol", "tks1_rubbish"], "tickseal:"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_failure(
    config: str, arguments: list[str], says: str
) -> None:
    code, _, err = asyncio.run(tickseal("edge", *arguments, "--config", config))
    assert code == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_fault_in_the_configuration_is_named_by_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('name = "pi"\n[spool]\nsync = "never"\n')
    code, _, err = asyncio.run(tickseal("edge", "run", "--config", str(path)))
    assert code == 1
    assert f"{path}:3: spool.sync: found" in err

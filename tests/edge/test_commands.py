"""The commands as a person and a service manager use them."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from edge_device import until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.status import as_text
from waiting import PATIENCE_S

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
            await until(lambda: len(gateway.payloads("pi/host")) > 3)
            arguments = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
            assert b"tickseal_edge" in arguments, "it has turned into the small process"
            code, out, _ = await tickseal("edge", "status", "--config", config, "--json")
            state = json.loads(out)
            assert state["device"] == "device-1"
            assert state["gateway"]["is_up"]
            assert state["streams"][0]["state"] == "live"
            assert state["streams"][0]["frames"] > 3
            assert "pi/host: live" in as_text(state)
        finally:
            running.send_signal(signal.SIGTERM)
        _, err_bytes = await running.communicate()
        assert running.returncode == 0
        lines = [json.loads(line) for line in err_bytes.splitlines()]
        assert lines[-1]["message"] == "stopped"
        await gateway.stop()

    asyncio.run(scenario())


def test_hup_takes_over_the_rates_and_says_what_it_cannot(config: str, registry: Registry) -> None:
    async def scenario() -> None:
        path = Path(config)
        base = path.read_text()
        path.write_text(f'{base}[[streams]]\nkind = "host"\nrate_hz = 0.5\n')
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await tickseal("edge", "enrol", gateway.invite.encode(), "--config", config)
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tickseal_edge", f"--config={config}",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await until(lambda: gateway.payloads("pi/host"))
            path.write_text(f'{base}[[streams]]\nkind = "host"\nrate_hz = 50\n')
            running.send_signal(signal.SIGHUP)
            await until(lambda: len(gateway.payloads("pi/host")) > 20)
            path.write_text(f'{base}[[streams]]\nkind = "host"\nrate_hz = "fast"\n')
            running.send_signal(signal.SIGHUP)
            count = len(gateway.payloads("pi/host"))
            await until(lambda: len(gateway.payloads("pi/host")) > count + 20)
        finally:
            running.send_signal(signal.SIGTERM)
        _, err = await running.communicate()
        assert running.returncode == 0
        assert b"pi/host: now 50 a second" in err
        assert b"the configuration stays as it was" in err
        await gateway.stop()

    asyncio.run(scenario())


def test_the_service_manager_hears_that_it_is_ready_and_alive(
    config: str, registry: Registry, tmp_path: Path
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await tickseal("edge", "enrol", gateway.invite.encode(), "--config", config)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(tmp_path / "notify"))
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            running = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tickseal.cli", "edge", "run", f"--config={config}",
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(tmp_path / "notify"),
                    "WATCHDOG_USEC": "400000",
                },
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            told = []
            async with asyncio.timeout(PATIENCE_S):
                while told.count("WATCHDOG=1") < 3:
                    told.append((await loop.sock_recv(listener, 1000)).decode())
                running.send_signal(signal.SIGTERM)
                while told[-1] != "STOPPING=1":
                    told.append((await loop.sock_recv(listener, 1000)).decode())
                await running.wait()
        assert any(one.startswith("READY=1") for one in told)
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


def test_the_sensors_that_are_known_by_name_are_listed() -> None:
    code, out, _ = asyncio.run(tickseal("edge", "profiles"))
    assert code == 0
    assert "bme280   i2c, spi at 0x77: temperature [Cel], humidity [%RH], pressure [Pa]" in out
    assert {"sht4x", "bh1750", "ads1115", "mpu6050", "ds18b20", "gpio"} <= {
        word.strip("(),.:") for word in out.split()
    }

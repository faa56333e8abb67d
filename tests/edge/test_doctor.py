"""The doctor finds what is wrong with a device, and says what to do."""

import asyncio
from pathlib import Path

import pytest
from edge_device import Device, TrueClock, until
from fake_gateway import FakeGateway, Registry
from memory_bus import bme280, plug_in
from tickseal_edge.boards import load_boards
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.config import EdgeConfig, SpoolConfig
from tickseal_edge.doctor import devices, machine
from tickseal_edge.doctor.devices import check_devices, check_running_devices
from tickseal_edge.doctor.findings import Finding, Level, as_json, as_text
from tickseal_edge.doctor.gateway import ask_service, check_gateway, check_running
from tickseal_edge.doctor.machine import check_board, check_clock, check_disk, check_suite
from tickseal_edge.production.stream_config import HostStream, I2CStream, ReplayStream

BOARDS = load_boards()
ANY = BOARDS["generic-linux"]


def levels(findings: list[Finding]) -> list[str]:
    return [one.level.value for one in findings]


# --- Devices ---


def test_each_device_is_read_once_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = plug_in(monkeypatch)
    bus.chips[0x77] = bme280()
    streams = (HostStream(id="host"), I2CStream(id="air", profile="bme280"))
    found = list(check_devices(streams, ANY))
    assert levels(found) == ["well", "well"]
    assert "temperature 25.0" in found[1].found


def test_a_sensor_that_is_not_there_gets_the_boards_own_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(monkeypatch)
    found = list(check_devices((I2CStream(id="air", profile="bme280"),), BOARDS["rpi4"]))
    assert levels(found) == ["bad", "note"]
    assert "i2cdetect -y 1" in found[0].mend
    assert "dtparam=i2c_arm=on" in found[1].mend
    assert "GPIO 2" in found[1].mend


def test_a_sensor_that_measures_nothing_is_bad(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n,,\n")
    (found,) = check_devices((ReplayStream(id="x", file=str(tmp_path / "x.csv")),), ANY)
    assert found.level is Level.BAD


def test_a_driver_that_hangs_does_not_keep_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(devices, "_read", lambda _stream, _outcome: None)
    (found,) = check_devices((HostStream(id="host"),), ANY)
    assert "does not answer within" in found.found


# --- The gateway ---


def test_an_enrolled_device_shakes_hands_and_leaves_again(
    device: Device, registry: Registry
) -> None:
    async def prepare() -> FakeGateway:
        gateway = await FakeGateway(registry, clock=device.clock).start()
        await device.enrol(gateway)
        return gateway

    async def scenario() -> None:
        gateway = await prepare()
        found = await asyncio.to_thread(
            lambda: list(check_gateway(device.config, "test", device.clock))
        )
        assert levels(found) == ["well", "well"]
        assert "fake answers at 127.0.0.1" in found[1].found
        gateway.registry.device_key = b""
        found = await asyncio.to_thread(
            lambda: list(check_gateway(device.config, "test", device.clock))
        )
        assert levels(found) == ["well", "bad"]
        assert "refuse" in found[1].found
        await gateway.stop()
        found = await asyncio.to_thread(
            lambda: list(check_gateway(device.config, "test", device.clock))
        )
        assert levels(found) == ["well", "bad"]
        assert "check the port" in found[1].mend

    asyncio.run(scenario())


def test_a_running_service_is_asked_and_not_displaced(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=device.clock).start()
        await device.enrol(gateway)
        async with device.running() as service:
            await until(lambda: gateway.payloads("pi/host"))
            state = await asyncio.to_thread(ask_service, device.config)
            assert state is not None
            assert levels(list(check_running(state))) == ["well", "well"]
            assert levels(list(check_running_devices(state["streams"]))) == ["well"]
            assert service._uplink.state.sessions == 1
        await gateway.stop()

    asyncio.run(scenario())


def test_a_device_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    config = EdgeConfig(state=str(tmp_path / "none"))
    assert ask_service(config) is None
    (found,) = check_gateway(config, "test", TrueClock())
    assert found.level is Level.BAD
    assert "tickseal edge enrol" in found.mend


# --- The machine ---


def test_a_disk_that_is_too_small_for_the_spool_is_found(tmp_path: Path) -> None:
    well = list(check_disk(EdgeConfig(state=str(tmp_path))))
    assert levels(well) == ["well", "well"]
    assert not list(tmp_path.iterdir()), "the probe is removed"
    huge = EdgeConfig(state=str(tmp_path), spool=SpoolConfig(most_bytes=1 << 60))
    assert check_disk(huge).__next__().level is Level.BAD


def test_a_32_bit_system_on_a_64_bit_board_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "machine", lambda: "armv7l")
    found = list(check_board("rpi4", BOARDS["rpi4"]))
    assert "64-bit" in found[1].mend
    assert levels(list(check_board("generic-linux", ANY))) == ["well", "well"]


def test_aes_without_instructions_for_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_aes", lambda: False)
    assert levels(list(check_suite(EdgeConfig(suite="aes-256-gcm"), ANY))) == ["note"]
    assert levels(list(check_suite(EdgeConfig(), BOARDS["rpi4"]))) == ["well"]
    assert levels(list(check_suite(EdgeConfig(), BOARDS["rpi5"]))) == ["well", "note"]


def test_a_clock_that_nothing_steers_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CLOCK_POLL_S", 0)
    clock = TrueClock()
    clock.discipline = machine_discipline = type(clock.discipline).NONE
    (found,) = check_clock(EdgeConfig(), ClockEnsemble([], clock))
    assert machine_discipline.value == "none"
    assert found.level is Level.BAD
    assert "chrony" in found.mend


def test_it_is_shown_as_text_and_as_json() -> None:
    findings = [
        Finding(about="a", level=Level.WELL, found="x"),
        Finding(about="b", level=Level.BAD, found="y", mend="z"),
    ]
    assert as_text(findings).splitlines()[-1] == "1 to mend"
    assert "-> z" in as_text(findings)
    assert as_json(findings)[1] == {"about": "b", "level": "bad", "found": "y", "mend": "z"}

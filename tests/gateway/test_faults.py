"""Faults of the disk and of its files: the gateway goes on, and says what to do in plain words."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, until
from test_backfill import device_with_stream, sealed
from tickseal_gateway.health.view import View


def alarms(view: View) -> dict[str, str]:
    standing: Any = view.snapshot()["alarms"]
    return {alarm["kind"]: alarm["detail"] for alarm in standing if not alarm["cleared_ns"]}


def stored(path: Path) -> list[float]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT value FROM readings ORDER BY time_ns, value")
        return [value for (value,) in rows]


@contextlib.asynccontextmanager
async def streaming(view: View) -> AsyncIterator[Device]:
    """Enrol a device, connect it again, and open its stream, while the block lasts."""
    device, _ = await device_with_stream(view)
    async with device.connected():
        await device.open()
        yield device


async def sends(view: View, device: Device, path: Path, *values: float) -> None:
    """Send readings, and wait until they are stored."""
    for value in values:
        await device.send(value)
    await until(lambda: set(values) <= set(stored(path)))


def damage(path: Path) -> None:
    """Overwrite all pages of a database but the first."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def test_damage_found_while_it_runs_is_an_alarm_that_says_what_to_do(
    gateways: GatewayFactory,
) -> None:
    path = gateways.state / "readings.db"

    async def main() -> None:
        async with gateways.inside() as view, streaming(view) as device:
            await sends(view, device, path, 1)
            damage(path)
            # What SQLite has in its cache it does not miss; what it must read, it does.
            view._parts.outputs[0]._output._connection.execute("PRAGMA cache_size = 0")  # type: ignore[attr-defined]
            value = 2
            while "store" not in alarms(view):
                await device.send(value)
                await asyncio.sleep(0.1)
                value += 1
            says = alarms(view)["store"]
            assert says.startswith(f"{path} is damaged (database disk image is malformed)")
            assert "a new one is begun; check the disk" in says
            assert "sqlite3" in says
            assert ".recover | sqlite3 recovered.db" in says
            await sends(view, device, path, 100)
            assert "output_store" not in alarms(view)

    run(main())


def test_a_database_that_is_damaged_at_the_start_is_an_alarm(gateways: GatewayFactory) -> None:
    gateways.state.mkdir(mode=0o700)
    path = gateways.state / "readings.db"
    path.write_bytes(b"no database" * 1000)

    async def main() -> None:
        async with gateways.inside() as view:
            assert "is damaged" in alarms(view)["store"]
            async with streaming(view) as device:
                await sends(view, device, path, 1)

    run(main())


def test_a_database_that_is_removed_while_it_runs_is_begun_anew(gateways: GatewayFactory) -> None:
    path = gateways.state / "readings.db"

    async def main() -> None:
        async with gateways.inside() as view, streaming(view) as device:
            await sends(view, device, path, 1)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            await device.send(2)
            await until(lambda: "store" in alarms(view))
            assert "was removed or replaced while it was in use" in alarms(view)["store"]
            await sends(view, device, path, 3)
            assert stored(path) == [2, 3]

    run(main())


def test_a_database_that_another_program_holds_is_an_alarm_until_it_lets_go(
    gateways: GatewayFactory,
) -> None:
    path = gateways.state / "readings.db"

    async def main() -> None:
        async with gateways.inside() as view, streaming(view) as device:
            with contextlib.closing(sqlite3.connect(path)) as other:
                other.execute("BEGIN EXCLUSIVE")
                await device.send(1)
                await until(lambda: "output_store" in alarms(view))
                says = alarms(view)["output_store"]
                assert "database is locked; another program holds it: close that" in says
            await sends(view, device, path, 2)
            assert stored(path) == [1, 2]
            await until(lambda: "output_store" not in alarms(view))

    run(main())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_an_alarm_and_nothing_is_acknowledged_that_is_not_on_it(
    gateways: GatewayFactory, small_disk: Path
) -> None:
    path = small_disk / "readings.db"

    async def main() -> None:
        async with gateways.inside(f'[store]\npath = "{path}"\n') as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            number, frames = sealer.generation.number, sealed(sealer, 60)
            ballast = small_disk / "ballast"
            async with device.connected():
                await device.offer(blob)
                device.backfill(sealer, frames[:20])
                await device.stored(number, 20)
                with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(512))
                sent = 20
                while "output_store" not in alarms(view):
                    if sent < 59:
                        device.backfill(sealer, frames[sent : sent + 1])
                        sent += 1
                    await asyncio.sleep(0.1)
                assert "the disk is full: make room" in alarms(view)["output_store"]
                # Some more may have found room meanwhile: what was said before is there now.
                said = acknowledged(device)
                kept = stored(path)
                assert kept == list(range(len(kept)))
                assert said <= len(kept)
                ballast.unlink()
                device.backfill(sealer, frames[sent:])
                await device.stored(number, 60)
                assert stored(path) == list(range(60))
                await until(lambda: "output_store" not in alarms(view))

    def acknowledged(device: Device) -> int:
        return max(getattr(event, "frame_until", 0) for event in device.events)

    run(main())


def test_a_registry_that_is_damaged_says_so_and_changes_nothing(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            await device_with_stream(view)

    run(main())
    path = gateways.state / "registry.db"
    damage(path)
    before = path.read_bytes()
    done = gateways.command("run")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path} is damaged (")
    assert done.stderr.endswith("); put it back from a backup\n")
    assert path.read_bytes() == before

"""Outputs of one gateway that block, fail or vanish: the others and the streams do not notice."""

import contextlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.health.view import View

READINGS = 20


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Yield a port where connections are taken, and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def outputs_of(view: View) -> dict[str, dict[str, Any]]:
    listed: Any = view.snapshot()["outputs"]
    return {output["name"]: output for output in listed}


def written(view: View, name: str) -> int:
    return int(outputs_of(view)[name]["written"])


def configuration(folder: Path, silent_port: int, taken_port: int) -> str:
    os.mkfifo(folder / "fifo")
    return f"""
[[outputs]]
kind = "jsonl"
path = "{folder}/fifo"
name = "no-file"
[[outputs]]
kind = "influx"
url = "http://127.0.0.1:{silent_port}/write"
name = "never-answers"
[[outputs]]
kind = "mqtt"
host = "127.0.0.1"
port = {silent_port}
name = "no-broker"
[[outputs]]
kind = "prometheus"
port = {taken_port}
name = "port-taken"
[[outputs]]
kind = "parquet"
folder = "{folder}/file/parquet"
name = "cannot-write"
[[outputs]]
kind = "csv"
path = "{folder}/vanishes/readings.csv"
name = "vanishes"
[[outputs]]
kind = "jsonl"
path = "{folder}/good.jsonl"
name = "good"
"""


def test_each_output_may_block_fail_or_vanish(
    gateways: GatewayFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal_gateway.service._OUTPUT_STOP_S", 2.0)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "vanishes").mkdir()

    async def main(more: str) -> None:
        async with gateways.inside(more) as view:
            device = Device(str((await view.invite())["token"]))
            async with device.connected():
                await device.open()
                for value in range(READINGS):
                    await device.send(value)
                    if value == READINGS // 2 - 1:
                        await until(lambda: written(view, "vanishes") == READINGS // 2)
                        shutil.rmtree(tmp_path / "vanishes")
                for name in ("good", "store", "vanishes"):
                    await until(lambda name=name: written(view, name) == READINGS)  # type: ignore[misc]
                await until(
                    lambda: all(
                        outputs_of(view)[name]["error"]
                        for name in ("no-file", "no-broker", "port-taken", "cannot-write")
                    )
                )
                found = outputs_of(view)
                assert found["no-file"]["written"] == found["never-answers"]["written"] == 0
                assert found["good"]["error"] == found["store"]["error"] == ""
                assert view.snapshot()["streams"][0]["missing"] == 0  # type: ignore[index]
        # The end comes although some of them never return.
        lines = (tmp_path / "good.jsonl").read_text().splitlines()
        assert len(lines) == READINGS
        with contextlib.closing(sqlite3.connect(gateways.state / "readings.db")) as database:
            assert database.execute("SELECT count(*) FROM samples").fetchone() == (READINGS,)
            # What those that catch up have not got is owed to them.
            owed = dict(database.execute("SELECT * FROM delivered"))
        assert owed["good"] == READINGS
        assert owed["no-file"] == owed["never-answers"] == owed["cannot-write"] == 0
        # What came after the folder was removed is in a new one.
        lines = (tmp_path / "vanishes" / "readings.csv").read_text().splitlines()
        assert len(lines) == 1 + READINGS // 2

    with silent() as silent_port, silent() as taken_port:
        run(main(configuration(tmp_path, silent_port, taken_port)))

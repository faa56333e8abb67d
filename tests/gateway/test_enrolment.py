"""Enrolment by invite: once, in time, by the right device, and nothing by a replay."""

import sqlite3

from running_gateway import GatewayFactory, run
from source_device import Device, until


async def _token(view, **arguments) -> str:
    return str((await view.invite(**arguments))["token"])


def test_a_device_enrols_streams_and_is_stored(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(await _token(view, name="garden shed"))
            async with device.connected():
                await device.open()
                for value in range(20):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 20)
                shown = view.snapshot()
            assert device.name == "garden shed"
            (stream,) = shown["streams"]
            assert stream["latest"][0]["value"] == 19
            assert stream["latest"][0]["unit"] == "Cel"
            assert stream["refusals"] == {}

    run(main())
    with sqlite3.connect(gateways.state / "readings.db") as connection:
        rows = connection.execute(
            "SELECT device, stream, name, value, unit FROM readings"
        ).fetchall()
    connection.close()
    assert [row[3] for row in rows] == list(range(20))
    assert rows[0] == ("garden shed", "garden", "t", 0, "Cel")

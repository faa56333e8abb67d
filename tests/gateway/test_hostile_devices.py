"""A device that is enrolled and hostile: it harms itself, and neither the gateway nor others."""

import json
import math

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device
from tickseal_gateway.ingest import table as tables
from tickseal_gateway.ingest.budgets import Lines
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device as Registered
from tickseal_gateway.registry.registered import DeviceState, Stream

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.payloads import pictures
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import Wish

NOW = ClockInterval.around(10**9, 1000, ClockDiscipline.NTP)


def test_what_no_json_can_hold_in_metadata_does_not_take_the_page_down(
    gateways: GatewayFactory,
) -> None:
    """Browsers refuse a whole snapshot for one NaN, and so does /api/status."""

    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(str((await view.invite(name="garden"))["token"]))
            async with device.connected():
                extra = {"x": math.nan, "y": [-math.inf, {"z": 1.5}]}
                metadata = StreamMetadata(id="s", type="t", extra=extra)
                device.session.open_stream(metadata, Wish())
                device.flush()
                await device.wait_for(ev.GenerationStarted)
                told = json.loads(json.dumps(view.snapshot(), allow_nan=False))
                assert told["streams"][0]["metadata"] == {"x": "nan", "y": ["-inf", {"z": 1.5}]}

    run(main())


def opened_with_pictures(table: StreamTable, *, device_id: int, handles: range) -> None:
    """Let a device have some streams, and send a picture of about 1,000 bytes in each."""
    device = Registered(
        id=device_id, name=f"device-{device_id}", static_public=b"", psk=b"", hybrid=True,
        state=DeviceState.APPROVED, enrolled_ns=0,
    )  # fmt: skip
    content = pictures.Picture(
        codec="jpeg", width=1, height=1, time_ns=1, sequence=0, is_key=True, data=bytes(1000)
    )
    for handle in handles:
        metadata = StreamMetadata(
            id=f"s{handle}", type="image/jpeg", extra={"content": pictures.CONTENT}
        )
        secrets = {"initial_secret": bytes(32), "salt": bytes(32), "handle": handle}
        parameters = StreamParameters(t0_ns=0)
        made = [Generation.derive(metadata, parameters, **secrets) for _ in range(2)]  # type: ignore[arg-type]
        stream = Stream(handle=handle, id=metadata.id, device_id=device_id, metadata=metadata)
        table.install(stream, device, made[0], monotonic_ns=0)
        table.take(FrameSealer(made[1]).seal(pictures.encode_picture(content), 10), NOW)


def test_the_pictures_kept_of_one_device_are_bounded_and_those_of_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "HELD_MOST", 3000)
    table = StreamTable()
    opened_with_pictures(table, device_id=1, handles=range(1, 2))
    opened_with_pictures(table, device_id=2, handles=range(2, 12))
    kept = [stream.id for stream in table if stream.picture is not None]
    assert kept == ["s1", "s9", "s10", "s11"]


def test_a_device_that_asks_for_ever_does_not_fill_the_log() -> None:
    now_s = 0.0
    lines = Lines(lambda: now_s)
    assert sum(lines.take(1) for _ in range(1000)) == 16
    assert lines.take(2), "others are heard"
    now_s += 1
    assert sum(lines.take(1) for _ in range(1000)) == 8


def test_refusals_that_are_too_many_are_told_the_device_and_not_the_log(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Lines, "take", lambda *_: False)

    async def main() -> None:
        async with gateways.inside('[policy]\ntypes = ["image/*"]\n') as view:
            device = Device(str((await view.invite(name="garden"))["token"]))
            async with device.connected():
                device.session.open_stream(StreamMetadata(id="s", type="t"), Wish())
                device.flush()
                assert (await device.wait_for(ev.StreamRefused)).reason == "type"

    run(main())
    assert "refused the stream" not in caplog.text

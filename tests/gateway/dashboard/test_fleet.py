"""What a page is told of many devices: the health of all, the streams of those it shows."""

from typing import Any

from tickseal_gateway.dashboard.fleet import condense
from tickseal_gateway.ingest.streams import LiveStream
from tickseal_gateway.registry.registered import Device, DeviceState, Stream

from tickseal import StreamMetadata

SECOND = 10**9


def stream(device: str, **values: Any) -> dict[str, Any]:
    return {
        "id": f"{device}/air",
        "device": device,
        "tick": 7,
        "frames": 10,
        "frames_per_s": 2.0,
        "missing": 1,
        "refusals": {"late": 2, "forged": 1},
        "keys_derived": 11,
        "last_frame_s": 0.5,
        "is_stale": False,
        **values,
    }


def snapshot(*streams: dict[str, Any], revoked: str = "") -> dict[str, Any]:
    names = {each["device"] for each in streams}
    return {
        "devices": [
            {"name": name, "state": "revoked" if name == revoked else "approved"} for name in names
        ],
        "streams": list(streams),
        "totals": {"frames": 0},
    }


def test_a_devices_health_is_the_sum_of_its_streams() -> None:
    whole = snapshot(
        stream("garden"), stream("garden", is_stale=True, last_frame_s=60.0, missing=-3)
    )
    (device,) = condense(whole, None)["devices"]  # type: ignore[misc]
    assert device["health"] == {
        "streams": 2,
        "silent": 1,
        "frames": 20,
        "frames_per_s": 4.0,
        "missing": 1,
        "refused": 6,
        "keys_derived": 22,
        "last_frame_s": 0.5,
    }


def test_only_streams_of_devices_on_the_screen_are_told() -> None:
    whole = snapshot(*(stream(f"device-{n}") for n in range(1000)))
    small = condense(whole, {"device-7"})
    assert [each["device"] for each in small["streams"]] == ["device-7"]  # type: ignore[attr-defined]
    assert len(small["devices"]) == 1000  # type: ignore[arg-type]
    assert small["totals"] == {"frames": 0, "streams": 1000, "ticks": 7000}
    assert len(whole["streams"]) == 1000, "the snapshot is shared, and stays as it was"


def test_a_revoked_device_has_no_health() -> None:
    (device,) = condense(snapshot(stream("garden"), revoked="garden"), None)["devices"]  # type: ignore[misc]
    assert device["health"]["streams"] == 0


# --- When a stream is stale ---


def live_stream() -> LiveStream:
    device = Device(
        id=1, name="garden", static_public=b"", psk=b"", hybrid=True,
        state=DeviceState.APPROVED, enrolled_ns=0,
    )  # fmt: skip
    metadata = StreamMetadata(id="garden/air", type="temperature")
    return LiveStream(Stream(handle=1, id=metadata.id, device_id=1, metadata=metadata), device)


def frames_every(seconds: int, times: int) -> tuple[LiveStream, int]:
    found = live_stream()
    now_ns = SECOND
    for _ in range(times):
        found._past_frames += 1
        found._past_frame_ns = now_ns
        for _ in range(seconds):
            found.count_second()
            now_ns += SECOND
    return found, found.last_frame_ns


def test_ten_frames_a_second_are_missed_after_three_seconds() -> None:
    found, last_ns = frames_every(1, 20)
    assert not found.is_stale(last_ns + 3 * SECOND)
    assert found.is_stale(last_ns + 5 * SECOND)


def test_a_frame_a_minute_is_not_missed_for_minutes() -> None:
    found, last_ns = frames_every(60, 6)
    assert not found.is_stale(last_ns + 200 * SECOND)
    assert found.is_stale(last_ns + 250 * SECOND)


def test_one_outage_does_not_make_silence_usual() -> None:
    found, _ = frames_every(1, 20)
    for _ in range(600):
        found.count_second()
    found._past_frames += 1
    found._past_frame_ns = 1000 * SECOND
    found.count_second()
    assert found.is_stale(1010 * SECOND)


def test_a_stream_without_a_frame_is_stale() -> None:
    assert live_stream().is_stale(SECOND)

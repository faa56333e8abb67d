"""A snapshot as the page needs it: the health of every device, the streams of those on screen.

A gateway can have ten thousand streams; a screen has a few.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from tickseal_gateway.health.status import Json


def condense(snapshot: Json, wanted: Collection[str] | None) -> Json:
    """Return a snapshot with each device's `health`, and only the streams of wanted devices.

    Args:
        wanted: names of devices; None for all.
    """
    devices: Any = snapshot["devices"]
    streams: Any = snapshot["streams"]
    by_device: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for stream in streams:
        by_device[stream["device"]].append(stream)
    totals: Any = snapshot["totals"]
    return {
        **snapshot,
        "devices": [
            {**device, "health": health(by_device.get(device["name"], ()))}
            if device["state"] != "revoked"
            else {**device, "health": health(())}
            for device in devices
        ],
        "streams": [stream for stream in streams if wanted is None or stream["device"] in wanted],
        "totals": {
            **totals,
            "streams": len(streams),
            "ticks": sum(max(0, stream["tick"] or 0) for stream in streams),
        },
    }


def health(streams: Collection[dict[str, Any]]) -> Json:
    """Return what a device's streams add up to."""
    ages = [stream["last_frame_s"] for stream in streams if stream["last_frame_s"] is not None]
    return {
        "streams": len(streams),
        "silent": sum(bool(stream["is_stale"]) for stream in streams),
        "frames": sum(stream["frames"] for stream in streams),
        "frames_per_s": round(sum(stream["frames_per_s"] for stream in streams), 2),
        "missing": sum(max(0, stream["missing"]) for stream in streams),
        "refused": sum(sum(stream["refusals"].values()) for stream in streams),
        "keys_derived": sum(stream["keys_derived"] for stream in streams),
        "last_frame_s": min(ages) if ages else None,
    }

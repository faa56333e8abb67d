"""Whoever captures the traffic has no key, no metadata and no payload."""

import base64
import json
from pathlib import Path

from .conftest import System
from .processes import Device


def secrets_on_disk(*folders: Path) -> dict[str, bytes]:
    """Return what the state directories keep secret."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.suffix == ".key":
                found[path.name] = path.read_bytes()
            if path.name == "identity.json":
                content = json.loads(path.read_text())
                for name in ("private_key", "psk"):
                    found[name] = bytes.fromhex(content[name])
    return found


def test_a_capture_holds_no_key_no_metadata_and_no_payload(system: System) -> None:
    system.device.start()
    system.gateway.more_frames(Device.TELEMETRY)
    system.gateway.more_frames(Device.CAMERA, 3)
    capture = system.network.capture()
    assert len(capture) > 20_000
    in_clear = [b"telemetry", b"camera", b"cpu/load", b"image/jpeg", b"JFIF", b"test device"]
    in_clear += [b"metadata", b"hello", b"parameters", b"senml"]
    for text in in_clear:
        assert text not in capture, text
    secrets = secrets_on_disk(system.gateway.state, system.device.state)
    assert {"private_key", "psk"} < set(secrets)
    for name, secret in secrets.items():
        assert len(secret) == 32
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:40]):
            assert form not in capture, name

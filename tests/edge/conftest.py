"""A device and what outlives a gateway's process."""

from pathlib import Path

import pytest
from edge_device import Device
from fake_gateway import Registry


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Return a device that is not enrolled."""
    return Device(tmp_path / "edge", monkeypatch)


@pytest.fixture
def registry() -> Registry:
    """Return what outlives the gateway's process."""
    return Registry()

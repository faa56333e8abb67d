"""The whole system as processes, on loopback, with a network between that a test controls."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_port

from .network import GATEWAY_HOST, NETWORK_HOST, Network
from .processes import Device, Gateway


@dataclass
class System:
    """A gateway, a device that is enrolled, and the network between them."""

    gateway: Gateway
    device: Device
    network: Network


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Return a running gateway and an enrolled device that does not run yet."""
    port = free_port(GATEWAY_HOST, NETWORK_HOST)
    gateway = Gateway(tmp_path / "gateway", port)
    device = Device(tmp_path / "device")
    network = Network(port)
    try:
        gateway.start()
        done = device.enrol(gateway.invite(network.address))
        assert done.returncode == 0, done.stderr
        yield System(gateway, device, network)
    finally:
        device.kill()
        gateway.kill()
        network.close()

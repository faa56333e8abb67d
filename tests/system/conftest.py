"""The whole system as processes, on loopback, with a network between that a test controls."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .network import GATEWAY_HOST, NETWORK_HOST, Network
from .processes import Device, Gateway


@dataclass
class System:
    """A gateway, a device that is enrolled, and the network between them."""

    gateway: Gateway
    device: Device
    network: Network


def free_port() -> int:
    """Return a port that is free for TCP and UDP on both addresses."""
    while True:
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for host in (GATEWAY_HOST, NETWORK_HOST):
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
                        sock.bind((host, port))
                        port = sock.getsockname()[1]
            except OSError:
                continue
            return port


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Return a running gateway and an enrolled device that does not run yet."""
    port = free_port()
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

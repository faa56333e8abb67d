"""A state directory of its own for each test, and gateways on it."""

from pathlib import Path

import pytest
from running_gateway import GatewayFactory


@pytest.fixture
def gateways(tmp_path: Path) -> GatewayFactory:
    return GatewayFactory(tmp_path)

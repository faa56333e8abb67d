"""A state directory of its own for each test, and gateways on it."""

from pathlib import Path

import pytest
from running_gateway import GatewayFactory
from waiting import PATIENCE_S


@pytest.fixture
def gateways(tmp_path: Path) -> GatewayFactory:
    return GatewayFactory(tmp_path)


@pytest.fixture(autouse=True)
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let outputs write what they hold when a gateway or a sink ends, on a busy machine too."""
    for module in ("service", "sink.service"):
        monkeypatch.setattr(f"tickseal_gateway.{module}._OUTPUT_STOP_S", PATIENCE_S)

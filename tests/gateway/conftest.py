"""A state directory of its own for each test, and gateways on it."""

from pathlib import Path

import pytest
from running_gateway import GatewayFactory
from tickseal_gateway.sink.config import SinkSettings, load
from waiting import PATIENCE_S


@pytest.fixture
def gateways(tmp_path: Path) -> GatewayFactory:
    return GatewayFactory(tmp_path)


@pytest.fixture
def sink_settings(tmp_path: Path) -> SinkSettings:
    """Return the configuration of a separate sink, which is in sink.toml."""
    file = tmp_path / "sink.toml"
    file.write_text(
        f'[sink]\nname = "test"\nstate = "{tmp_path}/sink"\n'
        f'[[outputs]]\nkind = "jsonl"\npath = "{tmp_path}/readings.jsonl"\n'
    )
    return load(file)


#: What a gateway gives up after so long, s; what each is for, its own tests show.
_PATIENT = {
    "service._OUTPUT_STOP_S": PATIENCE_S,
    "sink.service._OUTPUT_STOP_S": PATIENCE_S,
    "recordings.browsing._LONGEST_S": PATIENCE_S,
    "dashboard.history._LONGEST_S": PATIENCE_S,
    "controller.controller._ALIVE_NS": int(PATIENCE_S * 1e9),
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a gateway have its time on a busy machine."""
    for name, value in _PATIENT.items():
        monkeypatch.setattr(f"tickseal_gateway.{name}", value)

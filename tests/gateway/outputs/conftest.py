"""A broker for each test, with one who listens and an output; imported where paho is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brokers import Broker, Listener
    from tickseal_gateway.outputs.mqtt import MQTTOutput


@pytest.fixture
def broker(tmp_path: Path) -> "Iterator[Broker]":
    from brokers import MOSQUITTO, Broker  # noqa: PLC0415

    if not MOSQUITTO:
        pytest.skip("needs mosquitto (Debian: mosquitto)")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def listener(broker: "Broker") -> "Iterator[Listener]":
    from brokers import Listener  # noqa: PLC0415

    made = Listener(broker.port)
    yield made
    made.close()


@pytest.fixture
def output(broker: "Broker") -> "Iterator[MQTTOutput]":
    from tickseal_gateway.outputs.home_assistant import Topics  # noqa: PLC0415
    from tickseal_gateway.outputs.mqtt import MQTTOutput  # noqa: PLC0415

    made = MQTTOutput("127.0.0.1", broker.port, topics=Topics("tickseal"), every_ns=0)
    yield made
    made.close()

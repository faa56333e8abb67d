"""MQTT: what the output says of a broker that is away, goes, refuses, or takes nothing."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches import batch, reading

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install 'tickseal[mqtt]'")

from brokers import CONFIG, MOSQUITTO, Broker, DeafBroker, Listener, device, snapshot
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.outputs.home_assistant import Topics
from tickseal_gateway.outputs.mqtt import MQTTOutput
from waiting import PATIENCE_S, eventually

from tickseal.core.errors import LinkError

NO_CONNECTION = "no connection .* is it running"


#: More than the buffers of a socket take.
HUGE = batch(reading("x" * 20_000_000))


@pytest.fixture
def deaf() -> Iterator[DeafBroker]:
    made = DeafBroker()
    yield made
    made.close()


@pytest.fixture
def unheard(deaf: DeafBroker) -> Iterator[MQTTOutput]:
    made = MQTTOutput("127.0.0.1", deaf.port, topics=Topics("t"), every_ns=0)
    yield made
    deaf.close()
    made.close()


def until_it_fails(output: MQTTOutput) -> str:
    """Write until that fails: paho's thread need not have noticed yet. Return what is said."""

    def failure() -> str:
        try:
            output.write([batch(reading())])
        except LinkError as error:
            return str(error)
        return ""

    return eventually(failure, "a write that fails")


def write_as_a_runner(output: MQTTOutput, *batches: Batch) -> None:
    """Write the same again until that succeeds."""

    def is_written() -> bool:
        try:
            output.write(batches)
        except LinkError:
            return False
        return True

    eventually(is_written, "a write that succeeds")


def test_a_broker_that_comes_back_empty_is_told_again(
    broker: Broker, output: MQTTOutput, listener: Listener
) -> None:
    output.write([batch(reading())])
    listener.json(CONFIG)
    broker.kill()
    assert re.search(NO_CONNECTION, until_it_fails(output))
    listener.heard.clear()
    broker.start()
    write_as_a_runner(output, batch(reading(22.0)))
    late = Listener(broker.port)
    try:
        late.json(CONFIG)
        output.write([batch(reading(22.0))])
        assert late.json("tickseal/garden/garden/temperature/air")["value"] == 22.0
    finally:
        late.close()


def test_a_broker_that_reads_nothing_is_said(
    unheard: MQTTOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal_gateway.outputs.mqtt._WRITTEN_S", 0.25)
    unheard._every_ns = 3600 * 10**9
    for _ in range(2):  # what was not taken is due again
        with pytest.raises(LinkError, match=r"did not take a message in 0\.25 s"):
            unheard.write([HUGE])


def test_a_write_does_not_outlive_its_connection(
    deaf: DeafBroker, unheard: MQTTOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal_gateway.outputs.mqtt._WRITTEN_S", 3600.0)
    said: list[str] = []

    def write() -> None:
        with pytest.raises(LinkError) as caught:
            unheard.write([HUGE])
        said.append(str(caught.value))

    thread = threading.Thread(target=write)
    thread.start()
    eventually(unheard._client.want_write, "a write that waits")
    deaf.close()
    thread.join(PATIENCE_S)
    assert re.search(NO_CONNECTION, said[0])


@pytest.mark.parametrize("noticed", [False, True], ids=["before", "after"])
def test_a_write_into_a_connection_that_just_broke_says_so(
    deaf: DeafBroker, unheard: MQTTOutput, noticed: bool
) -> None:
    """Whether paho's thread has closed its socket yet, or told us of it, makes no difference."""
    unheard.write([batch(reading())])
    closed = threading.Event()
    unheard._client.on_socket_close = lambda *_: closed.set()
    unheard._client.on_disconnect = None  # told too late
    deaf.close()
    if noticed:
        assert closed.wait(PATIENCE_S)
    assert re.search(NO_CONNECTION, until_it_fails(unheard))


def test_health_that_was_lost_does_not_hold_up_the_next(broker: Broker, output: MQTTOutput) -> None:
    output.write([batch(reading())])
    broker.kill()
    eventually(lambda: not output._client.is_connected(), "the end of the connection")
    output._connected.set()  # as long as paho's thread has not said so
    output.note(snapshot(device()))
    lost = output._health
    output.note(snapshot(device()))
    assert output._health is not lost


def test_a_broker_that_is_away_holds_nobody_up() -> None:
    output = MQTTOutput("127.0.0.1", 1, topics=Topics("t"), user="u", password="secret")
    output.note(snapshot(device()))  # on the event loop: it must neither wait nor raise
    with pytest.raises(LinkError, match=NO_CONNECTION) as caught:
        output.write([batch(reading())])
    output.close()
    assert "secret" not in str(caught.value) + repr(output)


def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    if not MOSQUITTO or not shutil.which("mosquitto_passwd"):
        pytest.skip("needs mosquitto and mosquitto_passwd (Debian: mosquitto)")
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "u", "right"], check=True)
    passwords.chmod(0o600)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}")
    broker.start()
    try:
        right = MQTTOutput("127.0.0.1", broker.port, topics=Topics("t"), user="u", password="right")
        write_as_a_runner(right, batch(reading()))
        right.close()
        wrong = MQTTOutput("127.0.0.1", broker.port, topics=Topics("t"), user="u", password="wrong")
        eventually(lambda: "user and password" in until_it_fails(wrong), "the broker's answer")
        wrong.close()
    finally:
        broker.kill()

"""MQTT: a real broker gets the values, and Home Assistant all that it needs to show them."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import batch, jpeg, picture, reading
from running_page import free_port

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install 'tickseal[mqtt]'")

from home_assistant_schema import check_device_discovery
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tickseal_gateway.outputs.home_assistant import (
    Entity,
    Topics,
    discovery,
    object_id,
)
from tickseal_gateway.outputs.mqtt import MQTTOutput

from tickseal.core.errors import LinkError

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
WAIT_S = 10.0


class Broker:
    """A Mosquitto that can be killed and started again on its port."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        # It must not leave root for a user who cannot read the test's folder.
        user = getpass.getuser()
        self._file.write_text(f"listener {self.port} 127.0.0.1\nuser {user}\n{more}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto did not start"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None


class Listener:
    """A client that hears everything, as Home Assistant would."""

    def __init__(self, port: int) -> None:
        self.heard: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.content_types: dict[str, str | None] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._take
        listens = threading.Event()
        self._client.on_subscribe = lambda *_: listens.set()
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert listens.wait(WAIT_S)

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard[message.topic] = message.payload
        self.counts[message.topic] = self.counts.get(message.topic, 0) + 1
        self.content_types[message.topic] = getattr(message.properties, "ContentType", None)

    def publish(self, topic: str, text: str) -> None:
        self._client.publish(topic, text, qos=1)

    def json(self, topic: str) -> Any:
        return json.loads(self.until(lambda: self.heard.get(topic), topic))

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} did not come; heard {sorted(self.heard)}"
            time.sleep(0.01)
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not MOSQUITTO:
        pytest.skip("needs mosquitto (Debian: mosquitto)")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    made = Listener(broker.port)
    yield made
    made.close()


@pytest.fixture
def output(broker: Broker) -> Iterator[MQTTOutput]:
    made = MQTTOutput("127.0.0.1", broker.port, topics=Topics("tickseal"), every_ns=0)
    yield made
    made.close()


CONFIG = f"homeassistant/device/{object_id('tickseal', 'garden')}/config"


def device(name: str = "garden", **more: Any) -> dict[str, Any]:
    clock = {
        "discipline": "ntp", "is_synchronised": True, "uncertainty_ns": 800_000,
        "offset_ns": -1_250_000, "offset_uncertainty_ns": 900_000, "round_trip_ns": 1,
    }  # fmt: skip
    return {
        "name": name, "state": "approved", "is_connected": True, "seen_s": 0.3,
        "session": {"clock": clock, "clock_agrees": True}, **more,
    }  # fmt: skip


def snapshot(*devices: dict[str, Any], stale: bool = False) -> dict[str, Any]:
    stream = {"id": "garden/temperature", "device": "garden", "is_stale": stale}
    return {"devices": list(devices), "streams": [stream]}


def test_values_and_pictures_reach_the_broker(output: MQTTOutput, listener: Listener) -> None:
    output.write([batch(reading(20.5), reading(True, name="door"), shown=[picture(1)])])
    air = listener.json("tickseal/garden/garden/temperature/air")
    assert (air["value"], air["unit"], air["time"][:10]) == (20.5, "Cel", "2026-05-28")
    assert listener.json("tickseal/garden/garden/temperature/door")["value"] is True
    topic = "tickseal/garden/garden/camera/picture"
    assert listener.until(lambda: listener.heard.get(topic), "the picture") == jpeg(1)
    assert listener.content_types[topic] == "image/jpeg"


def test_home_assistant_is_told_of_every_entity(output: MQTTOutput, listener: Listener) -> None:
    output.write([
        batch(
            reading(20.5),
            reading(True, name="door", unit=None),
            reading("fine", name="weather", unit=None),
            reading(1013.0, name="pressure", unit="Pa"),
            shown=[picture(1)],
        )
    ])  # fmt: skip
    listener.until(lambda: b"camera" in listener.heard.get(CONFIG, b""), "the camera")
    told = listener.json(CONFIG)
    check_device_discovery(told)
    assert told["device"]["name"] == "garden"
    by_name = {each["name"]: each for each in told["components"].values()}
    air = by_name["garden/temperature air"]
    assert (air["platform"], air["device_class"], air["unit_of_measurement"]) == (
        "sensor", "temperature", "°C",
    )  # fmt: skip
    assert air["state_topic"] == "tickseal/garden/garden/temperature/air"
    assert by_name["garden/temperature door"]["platform"] == "binary_sensor"
    assert by_name["garden/camera"]["platform"] == "camera"
    for name in ("Clock offset", "Clock uncertainty", "Clock unsynchronised", "Connected"):
        assert by_name[name]["entity_category"] == "diagnostic"


def test_templates_give_what_home_assistant_shows(output: MQTTOutput, listener: Listener) -> None:
    jinja2 = pytest.importorskip("jinja2", reason="needs jinja2, as Home Assistant has it")
    output.write([batch(reading(20.5), reading(False, name="door"))])
    output.note(snapshot(device()))
    listener.json("tickseal/garden/health")
    listener.until(lambda: b"door" in listener.heard.get(CONFIG, b""), "the door")
    shown = {}
    for each in listener.json(CONFIG)["components"].values():
        value_json = listener.json(each["state_topic"])
        template = jinja2.Template(each["value_template"])
        shown[each["name"]] = template.render(value_json=value_json)
    assert shown == {
        "garden/temperature air": "20.5",
        "garden/temperature door": "OFF",
        "Connected": "ON",
        "Clock offset": "-1.25",
        "Clock uncertainty": "0.8",
        "Clock steered by": "ntp",
        "Clock unsynchronised": "OFF",
        "Clock disagrees": "OFF",
    }


def test_everything_is_announced_again_at_home_assistants_birth(
    output: MQTTOutput, listener: Listener
) -> None:
    output.write([batch(reading())])
    listener.json(CONFIG)
    before = listener.counts[CONFIG]
    listener.publish("homeassistant/status", "online")
    listener.until(lambda: listener.counts[CONFIG] > before, "another announcement")


def test_announcements_stay_at_the_broker(
    broker: Broker, output: MQTTOutput, listener: Listener
) -> None:
    output.write([batch(reading())])
    output.note(snapshot(device()))
    listener.json("tickseal/garden/health")
    late = Listener(broker.port)
    try:
        late.json(CONFIG)
        late.json("tickseal/garden/health")
        for topic in ("availability", "garden/garden/temperature/availability"):
            full = f"tickseal/{topic}"
            assert late.until(lambda full=full: late.heard.get(full), full) == b"online"
    finally:
        late.close()


def test_a_broker_that_comes_back_empty_is_told_again(
    broker: Broker, output: MQTTOutput, listener: Listener
) -> None:
    output.write([batch(reading())])
    listener.json(CONFIG)
    broker.kill()
    with pytest.raises(LinkError, match="is it running"):
        for _ in range(3):
            output.write([batch(reading(21.0))])
    listener.heard.clear()
    broker.start()
    deadline = time.monotonic() + WAIT_S
    while True:  # as its runner would
        try:
            output.write([batch(reading(22.0))])
            break
        except LinkError:
            assert time.monotonic() < deadline
    late = Listener(broker.port)
    try:
        late.json(CONFIG)
        output.write([batch(reading(22.0))])
        assert late.json("tickseal/garden/garden/temperature/air")["value"] == 22.0
    finally:
        late.close()


def test_a_gateway_that_is_killed_is_offline(broker: Broker, listener: Listener) -> None:
    program = f"""
        import time
        from batches import batch, reading
        from tickseal_gateway.outputs.home_assistant import Topics
        from tickseal_gateway.outputs.mqtt import MQTTOutput
        output = MQTTOutput("127.0.0.1", {broker.port}, topics=Topics("tickseal"))
        output.write([batch(reading())])
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    try:
        topic = "tickseal/availability"
        listener.until(lambda: listener.heard.get(topic) == b"online", "online")
        process.kill()
        listener.until(lambda: listener.heard.get(topic) == b"offline", "the will")
    finally:
        process.kill()
        process.wait()


def test_a_gateway_that_stops_is_offline(output: MQTTOutput, listener: Listener) -> None:
    output.write([batch(reading())])
    output.close()
    listener.until(lambda: listener.heard.get("tickseal/availability") == b"offline", "offline")


def test_a_stream_that_is_stale_is_not_available(output: MQTTOutput, listener: Listener) -> None:
    topic = "tickseal/garden/garden/temperature/availability"
    output.write([batch(reading())])
    listener.until(lambda: listener.heard.get(topic) == b"online", "online")
    output.note(snapshot(device(), stale=True))
    listener.until(lambda: listener.heard.get(topic) == b"offline", "offline")
    output.note(snapshot(device()))
    listener.until(lambda: listener.heard.get(topic) == b"online", "online again")


def test_a_device_that_was_revoked_is_taken_back(output: MQTTOutput, listener: Listener) -> None:
    output.write([batch(reading())])
    listener.json(CONFIG)
    output.note(snapshot(device(state="revoked")))
    listener.until(lambda: listener.heard.get(CONFIG) == b"", "an empty announcement")


def test_values_come_no_faster_than_they_may(broker: Broker, listener: Listener) -> None:
    output = MQTTOutput("127.0.0.1", broker.port, topics=Topics("t"), every_ns=3600 * 10**9)
    for value in range(50):
        output.write([batch(reading(float(value)))])
    listener.json("t/garden/garden/temperature/air")
    output.close()
    assert listener.counts["t/garden/garden/temperature/air"] == 1


def test_a_broker_that_is_away_holds_nobody_up_for_long() -> None:
    output = MQTTOutput("127.0.0.1", 1, topics=Topics("t"), user="u", password="secret")
    started = time.monotonic()
    output.note(snapshot(device()))
    assert time.monotonic() - started < 0.5, "it is called on the event loop"
    with pytest.raises(LinkError) as caught:
        output.write([batch(reading())])
    output.close()
    assert time.monotonic() - started < 5
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
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                right.write([batch(reading())])
                break
            except LinkError:
                assert time.monotonic() < deadline
        right.close()
        wrong = MQTTOutput("127.0.0.1", broker.port, topics=Topics("t"), user="u", password="wrong")
        with pytest.raises(LinkError, match="user and password"):
            wrong.write([batch(reading())])
        wrong.close()
    finally:
        broker.kill()


@pytest.mark.parametrize("name", ["a/b", "a+b", "#", "$SYS", "", "x y", "\0", "ä"])
def test_no_name_leads_out_of_its_topic(name: str) -> None:
    topics = Topics("root")
    entity = Entity(stream=name, name=name, kind="number")
    state = topics.state(name, entity)
    assert state.startswith("root/")
    assert not set(state) & set("+#\0")
    assert "//" not in state
    check_device_discovery(discovery(name or "_", [entity], topics))


def test_two_devices_that_look_alike_are_two() -> None:
    assert object_id("t", "a b") != object_id("t", "a_b")

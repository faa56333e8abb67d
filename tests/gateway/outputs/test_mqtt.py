"""MQTT: a real broker gets the values, and Home Assistant all that it needs to show them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from batches import batch, jpeg, picture, reading

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install 'tickseal[mqtt]'")

from brokers import CONFIG, Broker, Listener, device, snapshot
from home_assistant_schema import check_device_discovery
from tickseal_gateway.outputs.home_assistant import Entity, Topics, discovery, object_id
from tickseal_gateway.outputs.mqtt import MQTTOutput


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
    air = by_name["temperature air"]
    assert (air["platform"], air["device_class"], air["unit_of_measurement"]) == (
        "sensor", "temperature", "°C",
    )  # fmt: skip
    assert air["state_topic"] == "tickseal/garden/garden/temperature/air"
    assert by_name["temperature door"]["platform"] == "binary_sensor"
    assert by_name["camera"]["platform"] == "camera"
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
        "temperature air": "20.5",
        "temperature door": "OFF",
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

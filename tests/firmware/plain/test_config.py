"""config.json: what is left out has a default, and what is wrong is told with its place."""

import json
import os

from device import config

from tickseal.core.errors import ConfigError

FILE = "test-config.json"
STREAM = {"id": "a/b", "sensors": [{"kind": "counter"}]}


def load(text):
    """What a file with this text means."""
    with open(FILE, "w") as file:
        file.write(text)
    try:
        return config.load(FILE)
    finally:
        os.remove(FILE)


def complaint(given):
    """What is said of a configuration that is wrong."""
    try:
        load(given if isinstance(given, str) else json.dumps(given))
    except ConfigError as error:
        return str(error)
    raise AssertionError("it was taken")


def test_what_is_left_out_has_its_default():
    loaded = load(json.dumps({"streams": [STREAM]}))
    assert loaded["cable"] == {"kind": "usb"}
    assert loaded["watchdog"] is True
    assert loaded["spool_bytes"] == 8192
    (stream,) = loaded["streams"]
    assert stream["period_ms"] == 1000
    assert stream["type"] == "telemetry"


def test_what_is_given_counts():
    given = dict(STREAM)
    given.update({"period_ms": 50, "interval_ms": 20, "segment_bytes": 32})
    loaded = load(json.dumps({"name": "x", "led": 25, "watchdog": False, "streams": [given]}))
    assert (loaded["name"], loaded["led"], loaded["watchdog"]) == ("x", 25, False)
    wish = config.wish(loaded["streams"][0])
    assert wish["interval"] == 20_000_000
    assert wish["segment_bytes"] == 32


def test_one_configuration_does_not_change_the_next():
    first = load(json.dumps({"streams": [STREAM]}))
    first["name"] = "changed"
    assert load(json.dumps({"streams": [STREAM]}))["name"] == "board"


def test_an_unknown_key_is_named_with_those_that_are_known():
    said = complaint({"sterams": [STREAM]})
    assert "sterams" in said
    assert "streams" in said
    assert "period" in complaint({"streams": [{"id": "a", "period": 5, "sensors": [{}]}]})


def test_a_wrong_type_is_told():
    assert "watchdog must be a bool" in complaint({"watchdog": "yes", "streams": [STREAM]})
    assert "must be a map" in complaint("[1]")
    assert "must be a map" in complaint({"streams": ["a"]})


def test_streams_need_an_id_and_sensors():
    assert "names no streams" in complaint({})
    assert "needs an id and sensors" in complaint({"streams": [{"id": "a"}]})


def test_says_what_to_do_where_there_is_no_such_file_or_no_json():
    try:
        config.load("no-such-file.json")
    except ConfigError as error:
        assert "tickseal mcu flash" in str(error)
    else:
        raise AssertionError("it was taken")
    assert "is not JSON" in complaint("streams = []")

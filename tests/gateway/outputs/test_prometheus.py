"""Metrics: the official parser reads them, names and types are consistent, and old ones end."""

import http.client
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from batches import batch
from prometheus_client.parser import text_string_to_metric_families
from tickseal_gateway.outputs import prometheus
from tickseal_gateway.outputs.prometheus import PrometheusMetrics, render
from waiting import PATIENCE_S

from tickseal.core.errors import LinkError


def snapshot(**more: Any) -> dict[str, Any]:
    clock = {
        "discipline": "ntp", "is_synchronised": True, "uncertainty_ns": 800_000,
        "offset_ns": -1_250_000,
    }  # fmt: skip
    stream = {
        "id": 'garden/"air"\\\n', "device": "garden", "frames": 10, "payload_bytes": 1000,
        "missing": 2, "keys_derived": 12, "is_stale": False, "last_frame_s": 0.25,
        "refusals": {"late": 3},
        "latest": [
            {"name": "air", "value": 20.5, "unit": "Cel"},
            {"name": "door", "value": True, "unit": None},
            {"name": "text", "value": "x", "unit": None},
            {"name": "failed", "value": None, "unit": None},
            {"name": "huge", "value": 10**400, "unit": None},
        ],
    }  # fmt: skip
    return {
        "gateway": {"name": "g", "version": "0.1.0", "started_ns": 10**18},
        "clock": clock,
        "totals": {
            "segments": 20, "refusals": {"late": 3, "forged": 1}, "refused_handshakes": {},
            "not_admitted": {},
        },
        "devices": [
            {"name": "garden", "state": "approved", "is_connected": True,
             "session": {"clock": clock}},
            {"name": "away", "state": "approved", "is_connected": False, "session": None},
            {"name": "gone", "state": "revoked", "is_connected": False, "session": None},
        ],
        "streams": [stream],
        "outputs": [
            {"name": "store", "written": 5, "missed": 1, "caught_up": 1, "failures": 0,
             "waiting": 2},
        ],
        "alarms": [{"kind": "clock", "device": "garden"}],
        **more,
    }  # fmt: skip


def parsed(text: str) -> dict[str, Any]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_official_parser_reads_everything() -> None:
    text = "\n".join(render(snapshot(), readings=True)) + "\n"
    found = parsed(text)
    stream = 'garden/"air"\\\n'
    assert found["tickseal_frames_total", "garden", stream] == 10
    assert found["tickseal_segments_refused_total", "forged"] == 1
    assert found["tickseal_stream_segments_refused_total", "garden", stream, "late"] == 3
    assert found["tickseal_device_clock_offset_seconds", "garden"] == -0.00125
    assert found["tickseal_device_connected", "away"] == 0
    assert found["tickseal_reading", "Cel", "air", "garden", stream] == 20.5
    assert found["tickseal_reading", "", "door", "garden", stream] == 1
    assert found["tickseal_output_missed_total", "store"] == 1
    assert found["tickseal_alarm", "clock", "garden"] == 1
    assert not [key for key in found if "gone" in key]
    for line in text.splitlines():
        assert line.startswith("#") or line.count(" ") >= 1


PROMTOOL = shutil.which("promtool")
RULES = Path(__file__).parents[3] / "gateway" / "prometheus" / "tickseal.rules.yml"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool comes with Debian's package prometheus")
def test_prometheus_own_tool_has_nothing_to_say_against_it() -> None:
    text = "\n".join(render(snapshot(), readings=True)) + "\n"
    for arguments, given in ((["metrics"], text), (["rules", str(RULES)], "")):
        command = [str(PROMTOOL), "check", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_alerts_are_on_metrics_that_there_are() -> None:
    there = {str(key[0]) for key in parsed("\n".join(render(snapshot(), readings=True)) + "\n")}
    expressions = re.findall("expr: (.*)", RULES.read_text("utf-8"))
    asked = {name for each in expressions for name in re.findall("tickseal_[a-z_]+", each)}
    assert len(asked) == len(expressions)
    assert asked <= there


def test_counters_are_called_so() -> None:
    families = text_string_to_metric_families("\n".join(render(snapshot(), readings=True)) + "\n")
    for family in families:
        is_counter = all(sample.name.endswith("_total") for sample in family.samples)
        assert is_counter == (family.type == "counter"), family.name


def test_a_stale_reading_is_not_shown() -> None:
    given = snapshot()
    given["streams"][0]["is_stale"] = True
    text = "\n".join(render(given, readings=True))
    assert "tickseal_reading" not in text
    assert "tickseal_stream_stale" in text


def test_readings_can_be_left_out() -> None:
    assert "tickseal_reading" not in "\n".join(render(snapshot(), readings=False))


@pytest.fixture
def output() -> Any:
    made = PrometheusMetrics("127.0.0.1", 0)
    yield made
    made.close()


def scrape(port: int, path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_it_is_scraped_over_http(output: PrometheusMetrics) -> None:
    output.note(snapshot())
    status, text = scrape(output.port)
    assert (status, "tickseal_gateway_info" in text) == (200, True)
    assert scrape(output.port, "/")[0] == 404
    assert scrape(output.port, "/metrics?x=1")[0] == 200


def test_without_news_a_scrape_fails(
    output: PrometheusMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.write([batch()])
    assert scrape(output.port)[0] == 503
    output.note(snapshot())
    monkeypatch.setattr(prometheus, "_STALE_S", 0.0)
    time.sleep(0.001)
    assert scrape(output.port)[0] == 503


def test_a_port_that_is_taken_is_said_and_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        output = PrometheusMetrics("127.0.0.1", taken.getsockname()[1])
        output.note(snapshot())
        with pytest.raises(LinkError, match="choose another"):
            output.write([batch()])
    output.write([batch()])
    output.note(snapshot())
    assert scrape(output.port)[0] == 200
    output.close()


def test_one_who_says_nothing_holds_nobody_up_for_long(
    output: PrometheusMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "_REQUEST_S", 0.2)
    output.note(snapshot())
    with socket.create_connection(("127.0.0.1", output.port), 5):
        assert scrape(output.port)[0] == 200

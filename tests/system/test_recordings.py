"""Recordings of a real device: through a kill, played, handed on, and opened by somebody else."""

import json
import subprocess
from pathlib import Path

import pytest
from waiting import eventually

from .conftest import System
from .processes import Device, tickseal

TELEMETRY, CAMERA = Device.TELEMETRY, Device.CAMERA
RECORD = '[recordings]\nrecord = true\ncommit = "500ms"\n'


def done(process: "subprocess.CompletedProcess[str]") -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_span_of_a_recording_is_played_and_handed_on(system: System, tmp_path: Path) -> None:
    gateway, device = system.gateway, system.device
    gateway.kill()
    with gateway.config.open("a") as file:
        file.write(RECORD)
    gateway.start()
    device.start()
    gateway.more_frames(TELEMETRY, 40)
    gateway.more_frames(CAMERA, 10)
    gateway.kill()  # what was gathered for less than half a second is lost, and no more
    gateway.start()
    gateway.more_frames(TELEMETRY, 120)  # a summary every 5 s

    def is_proved() -> bool:
        config = ("--config", str(gateway.config))
        played = tickseal("play", TELEMETRY, "--from", "5min", "--json", *config)
        if played.returncode:
            return False
        rows = json.loads(played.stderr)["generations"]
        return bool(rows[-1]["proved_until_ns"]) and len(played.stdout.splitlines()) > 160

    eventually(is_proved, what="a summary in the recording")
    grant = tmp_path / "span.grant"
    arguments = (TELEMETRY, "--from", "5min", "--to", "now", "-o", str(grant))
    done(tickseal("grant", *arguments, "--config", str(gateway.config)))
    gateway.kill()
    device.kill()
    opened = tickseal("open", str(grant), "--json")
    readings = [json.loads(line) for line in done(opened).splitlines()]
    assert {reading["stream"] for reading in readings} == {TELEMETRY}
    assert len(readings) > 160
    report = json.loads(opened.stderr)
    live = report["generations"][-1]
    assert live["missing"] == 0, live
    assert live["refused"] == {}
    pictures = tmp_path / "pictures"
    played = ("play", CAMERA, "--from", "5min", "-o", str(pictures))
    done(tickseal(*played, "--config", str(gateway.config)))
    assert len(list(pictures.glob("*.jpg"))) > 10

    video = tmp_path / "yard.mp4"
    av = pytest.importorskip("av", reason="needs PyAV: pip install 'tickseal[video]'")
    done(tickseal(*played[:-1], str(video), "--config", str(gateway.config)))
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("mjpeg", 160, 120)
        assert sum(1 for _ in container.decode(video=0)) > 10

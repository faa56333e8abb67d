"""A separate sink as a process: it reads what it may, through cuts and restarts, until revoked."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask

from .conftest import System
from .processes import Device, Process, tickseal

TELEMETRY, CAMERA = Device.TELEMETRY, Device.CAMERA


class Sink(Process):
    """A sink with its store."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sink", folder, '[sink]\nname = "test sink"\nstate = {state}\n')

    def status(self) -> dict[str, Any]:
        """Return the status; empty while it does not run."""
        with contextlib.suppress(LinkError, OSError):
            answer: dict[str, Any] = ask(self.state, {"do": "status"}, service="sink")
            return answer
        return {}

    def frames(self, stream_id: str) -> int:
        """Return how many frames of a stream were opened since it started."""
        streams = self.status().get("streams", [])
        return sum(row["frames"] for row in streams if row["id"] == stream_id)

    def more_frames(self, stream_id: str, more: int = 10) -> None:
        """Wait until so many more were opened."""
        before = self.frames(stream_id)
        eventually(
            lambda: self.frames(stream_id) >= before + more,
            what=f"{more} more frames of {stream_id} at the sink",
        )

    def rows(self) -> int:
        """Return how many readings are stored."""
        with closing(sqlite3.connect(self.state / "readings.db")) as database:
            (count,) = database.execute("SELECT count(*) FROM readings").fetchone()
        return int(count)


@pytest.fixture
def sink(system: System, tmp_path: Path) -> Iterator[Sink]:
    """Return a sink that is enrolled by way of the network, and does not run yet."""
    made = Sink(tmp_path / "sink")
    answer = ask(
        system.gateway.state,
        {"do": "invite", "role": "sink", "name": "office", "addresses": [system.network.address]},
        service="gateway",
    )
    done = tickseal("sink", "enrol", str(answer["token"]), "--config", str(made.config))
    assert done.returncode == 0, done.stderr
    assert "enrolled as office" in done.stdout
    try:
        yield made
    finally:
        made.kill()


def gateway_command(system: System, *arguments: str) -> str:
    """Run `tickseal gateway ...` to its end."""
    done = tickseal("gateway", *arguments, "--config", str(system.gateway.config))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sink_opens_what_it_may_and_a_capture_holds_nothing_of_it(
    system: System, sink: Sink
) -> None:
    system.device.start()
    sink.start()
    system.gateway.more_frames(TELEMETRY)
    gateway_command(system, "allow", "office", "test/*")
    sink.more_frames(TELEMETRY, 20)
    sink.more_frames(CAMERA, 3)
    eventually(lambda: sink.rows() > 100, what="readings in the sink's store")
    (row,) = [row for row in sink.status()["streams"] if row["id"] == TELEMETRY]
    assert row["device"] == system.gateway.stream(TELEMETRY)["device"]
    assert 20 < row["granted_s"] <= 61
    assert row["refusals"] == {}
    capture = system.network.capture()
    for text in (b"telemetry", b"JFIF", b"cpu/load", b"office", b"nodes", b"metadata"):
        assert text not in capture, text
    assert "sink" in gateway_command(system, "devices")
    assert sink.stop() == 0


def test_a_revoked_sink_gets_no_further(system: System, sink: Sink) -> None:
    gateway_command(system, "allow", "office", "test/*")
    system.device.start()
    sink.start()
    sink.more_frames(TELEMETRY)
    sink.more_frames(CAMERA, 1)
    before = {name: system.gateway.stream(name)["generation"] for name in (TELEMETRY, CAMERA)}
    ask(system.gateway.state, {"do": "revoke", "name": "office"}, service="gateway")

    def all_renewed() -> bool:
        return all(system.gateway.stream(name)["generation"] != before[name] for name in before)

    eventually(all_renewed, what="new generations")
    eventually(lambda: not sink.status()["gateway"]["is_up"], what="the sink noticed")
    assert "revoked" in sink.status()["gateway"]["problem"]
    frames = sink.frames(TELEMETRY)
    system.gateway.more_frames(TELEMETRY, 30)
    assert sink.frames(TELEMETRY) == frames
    assert {row["granted_s"] for row in sink.status()["streams"]} == {0}


def test_a_sink_goes_on_after_kills_and_cuts_on_every_side(system: System, sink: Sink) -> None:
    gateway_command(system, "allow", "office", TELEMETRY)
    system.device.start()
    sink.start()
    sink.more_frames(TELEMETRY)
    sink.kill()
    sink.start()
    sink.more_frames(TELEMETRY)
    system.network.cut()
    eventually(lambda: not sink.status()["gateway"]["is_up"], what="the cut is noticed")
    system.network.join()
    sink.more_frames(TELEMETRY)
    system.gateway.kill()
    system.gateway.start()
    sink.more_frames(TELEMETRY)
    assert sink.frames(CAMERA) == 0

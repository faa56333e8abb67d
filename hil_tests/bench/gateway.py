"""The gateway that a device streams to: a process on the bench's computer, behind a wiretap."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hil_tests.bench.waiting import eventually
from hil_tests.bench.wiretap import Wiretap
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask

#: The gateway's own; devices come through the wiretap, which is on an address that they reach.
GATEWAY_HOST = "127.0.0.2"
_STOP_S = 10.0


class Row(NamedTuple):
    """A reading, as the store has it."""

    name: str
    value: float | str | None
    unit: str | None
    time_ns: int
    tick: int
    frame: int
    generation: str
    backfilled: bool
    clock_in_holdover: bool


class Gateway:
    """A gateway with a state of its own.

    Args:
        folder: where its state and all that it keeps goes.
        listen_host: where the bench's computer listens for devices.
        device_host: under which address devices find that.
    Attributes:
        wire: what came from devices.
        pictures: folder of the pictures that it opened, each a file: STREAM/DATE/TIME.jpg.
    """

    def __init__(self, folder: Path, *, listen_host: str, device_host: str) -> None:
        self.wire = Wiretap(listen_host, GATEWAY_HOST)
        self.pictures = folder / "pictures"
        self._device_host = device_host
        self._state = folder / "state"
        self._config = folder / "gateway.toml"
        self._log = folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'[gateway]\nname = "bench"\nstate = "{self._state}"\nhost = "{GATEWAY_HOST}"\n'
            f"port = {self.wire.port}\n[page]\nenabled = false\n"
            f'[[outputs]]\nkind = "pictures"\nfolder = "{self.pictures}"\nevery = "0s"\n'
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tickseal.cli", "gateway", "run", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        eventually(self.status, what="the gateway answers")

    def stop(self) -> None:
        """End it as a person does."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it, and the wiretap."""
        self.stop()
        self.wire.close()

    def status(self) -> dict[str, Any]:
        """Return what `tickseal gateway status` says; empty while it does not run."""
        with contextlib.suppress(LinkError, OSError):
            answer: dict[str, Any] = ask(self._state, {"do": "status"}, service="gateway")
            return answer
        return {}

    def stream(self, stream_id: str) -> dict[str, Any]:
        """Return the status of one stream; empty while there is none."""
        for stream in self.status().get("streams", []):
            if stream["id"] == stream_id:
                found: dict[str, Any] = stream
                return found
        return {}

    def frames(self, stream_id: str) -> int:
        """Return how many frames of a stream were opened."""
        return int(self.stream(stream_id).get("frames", 0))

    def more_frames(self, stream_id: str, more: int = 10, *, patience_s: float = 90.0) -> None:
        """Wait until so many more frames of a stream were opened."""
        before = self.frames(stream_id)
        eventually(
            lambda: self.frames(stream_id) >= before + more,
            what=f"{more} more frames of {stream_id}; {self._log}: {self.log[-2000:]}",
            patience_s=patience_s,
        )

    def invite(self) -> str:
        """Return a token by which one device enrols."""
        addresses = [f"{self._device_host}:{self.wire.port}"]
        answer = ask(self._state, {"do": "invite", "addresses": addresses}, service="gateway")
        return str(answer["token"])

    def alarms(self, kind: str) -> list[str]:
        """Return what the alarms of one kind say that stand now."""
        return [one["detail"] for one in self.status()["alarms"] if one["kind"] == kind]

    def rows(self, stream_id: str, *, since_ns: int = 0) -> list[Row]:
        """Return the stored readings of a stream, in the order of their time.

        Args:
            since_ns: the earliest time, ns since 1970 UTC.
        """
        columns = ", ".join(Row._fields)
        query = f"SELECT {columns} FROM readings WHERE stream = ? AND time_ns >= ? ORDER BY time_ns"
        with contextlib.closing(sqlite3.connect(self._state / "readings.db", timeout=30)) as store:
            return [Row(*row) for row in store.execute(query, (stream_id, since_ns))]

    @property
    def log(self) -> str:
        """What it logged."""
        return self._log.read_text("utf-8", "replace")

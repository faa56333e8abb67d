"""The gateway that a device streams to: a process on the bench's computer, behind a wiretap."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from hil_tests.bench.wiretap import Wiretap
from tests.system import processes

#: The gateway's own; devices come through the wiretap, which is on an address that they reach.
GATEWAY_HOST = "127.0.0.2"


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


class Gateway(processes.Gateway):
    """A gateway with a state of its own, whose devices come through a wiretap.

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
        self._address = f"{device_host}:{self.wire.port}"
        more = f'[[outputs]]\nkind = "pictures"\nfolder = "{self.pictures}"\nevery = "0s"\n'
        super().__init__(folder, self.wire.port, host=GATEWAY_HOST, more=more)

    def close(self) -> None:
        """End it, and the wiretap."""
        self.stop()
        self.wire.close()

    def token(self) -> str:
        """Return an invite by which one device enrols."""
        return self.invite(self._address)

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
        with contextlib.closing(sqlite3.connect(self.state / "readings.db", timeout=30)) as store:
            return [Row(*row) for row in store.execute(query, (stream_id, since_ns))]

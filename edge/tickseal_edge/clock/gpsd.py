"""gpsd: which second it is, by a GPS receiver, over gpsd's JSON protocol.

Source: gpsd_json(5), classes TPV (fix), TOFF and PPS (clock against receiver).
"""

import contextlib
import json
import socket
import time
from dataclasses import dataclass

from tickseal.core.errors import ClockError

_WATCH = b'?WATCH={"enable":true,"json":true,"pps":true};\n'
_LINE_MOST = 1 << 16
#: A receiver tells once a second; what is older, s, does not count.
_OLD_S = 5.0
_TWO_DIMENSIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GPSTime:
    """What gpsd last told.

    Attributes:
        clock_ahead_ns: the kernel's clock - GPS time as UTC.
        is_pulse: measured at a pulse, good to microseconds; else at a message, to 0.1 s or so.
        heard_monotonic_s: when.
        mode: 0 unknown, 1 no fix, 2 and 3 a fix.
    """

    clock_ahead_ns: int
    is_pulse: bool
    heard_monotonic_s: float
    mode: int


class GPSD:
    """A connection to gpsd, read when it is asked.

    Args:
        host, port: where it listens.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 2947) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._mode = 0
        self._last: GPSTime | None = None

    def time(self) -> GPSTime:
        """Return the newest that it told; connects where need be. Hardly blocks.

        Raises:
            ClockError: it cannot be reached, or there is no fix.
        """
        self._read()
        last = self._last
        if self._mode < _TWO_DIMENSIONS:
            raise ClockError("GPS has no fix; give the antenna a view of the sky")
        if last is None or time.monotonic() - last.heard_monotonic_s > _OLD_S:
            raise ClockError("gpsd tells no time; see `gpsmon`")
        return last

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._buffer = b""

    def _read(self) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, timeout=0.5)
                self._socket.sendall(_WATCH)
                self._socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while data := self._socket.recv(_LINE_MOST):
                    self._buffer += data
                raise ConnectionResetError
        except OSError:
            self.close()
            host, port = self._address
            raise ClockError(f"gpsd does not answer at {host} port {port}; start it") from None
        *lines, self._buffer = self._buffer.split(b"\n")
        self._buffer = self._buffer[-_LINE_MOST:]
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self.feed(json.loads(line))

    def feed(self, message: dict[str, object]) -> None:
        """Take in one message.

        Raises:
            KeyError, TypeError, ValueError: not one of gpsd's.
        """
        match message.get("class"):
            case "TPV":
                self._mode = int(str(message.get("mode", 0)))
            case "PPS" | "TOFF" as kind:
                real = int(str(message["real_sec"])) * 10**9 + int(str(message["real_nsec"]))
                clock = int(str(message["clock_sec"])) * 10**9 + int(str(message["clock_nsec"]))
                now = time.monotonic()
                last = self._last
                is_better = last and last.is_pulse and now - last.heard_monotonic_s < _OLD_S
                if kind == "TOFF" and is_better:
                    return
                self._last = GPSTime(
                    clock_ahead_ns=clock - real,
                    is_pulse=kind == "PPS",
                    heard_monotonic_s=now,
                    mode=self._mode,
                )
            case _:
                pass

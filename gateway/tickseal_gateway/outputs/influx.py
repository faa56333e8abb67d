"""Readings as InfluxDB line protocol, over HTTP with gzip."""

import gzip
import http.client
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence

from tickseal.core.errors import LinkError
from tickseal.payloads.samples import Measured
from tickseal_gateway.frames.readings import Batch, Reading

_TIMEOUT_S = 10.0
#: Lines of one request.
_LINES = 5000
_INTEGER = 1 << 63
_TOO_MANY = 429
_SERVER_ERROR = 500
# Line protocol: what must be escaped in a measurement, in a tag or field key, in a text. What
# databases read differently (a backslash in a tag, a line end in a text) a hostile device could use
# to write in another's name: it is replaced.
_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ ", "\n": " ", "\r": " "})
_TAG = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\=", "\n": " ", "\r": " ", "\\": "/"})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\", "\n": " ", "\r": " "})


class RefusedLinesError(Exception):
    """The database will not take these lines, however often they come."""


class InfluxLines:
    """An Output that posts lines.

    Args:
        url: the whole address for writing, without the precision.
        token: empty where none is needed.
    """

    keeps_newest = False
    catches_up = True
    gather_s = 1.0

    def __init__(
        self, url: str, *, measurement: str, token: str = "", name: str = "influx"
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        query = [*urllib.parse.parse_qsl(parts.query), ("precision", "ns")]
        self.name = name
        self._where = parts.netloc.rpartition("@")[2]
        self._url = parts._replace(query=urllib.parse.urlencode(query)).geturl()
        self._measurement = measurement.translate(_MEASUREMENT)
        self._headers = {"content-type": "text/plain; charset=utf-8", "content-encoding": "gzip"}
        if token:
            self._headers["authorization"] = f"Token {token}"

    def write(self, batches: Sequence[Batch]) -> None:
        """Post the readings of batches.

        Raises:
            LinkError: nobody answers, or not now.
            RefusedLinesError: these are refused for good.
        """
        readings = (reading for batch in batches for reading in batch.readings)
        lines = list(self._lines(readings))
        for start in range(0, len(lines), _LINES):
            self._post("\n".join(lines[start : start + _LINES]).encode())

    def close(self) -> None:
        """Nothing is held."""

    def _lines(self, readings: Iterable[Reading]) -> Iterable[str]:
        for reading in readings:
            field = _field(reading.value)
            if field is None or not -_INTEGER < reading.time_ns < _INTEGER:
                continue
            tags = [("device", reading.device), ("stream", reading.stream), ("name", reading.name)]
            if reading.unit:
                tags.append(("unit", reading.unit))
            text = ",".join(f"{key}={value.translate(_TAG)}" for key, value in tags)
            yield f"{self._measurement},{text} {field} {reading.time_ns}"

    def _post(self, lines: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310 - http or https, checked by its settings
            self._url, gzip.compress(lines, 6), self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            with error:
                detail = error.read(300).decode(errors="replace").strip()
            said = f"{self._where} answered {error.code} {error.reason} {detail}"
            if error.code == _TOO_MANY or error.code >= _SERVER_ERROR:
                raise LinkError(f"{said}: tried again later") from None
            if error.code in (401, 403, 404):
                raise LinkError(f"{said}: see to url and token of this output") from None
            raise RefusedLinesError(said) from None
        except urllib.error.URLError as error:
            raise LinkError(f"cannot reach {self._where}: {error.reason}; is it running?") from None
        except (OSError, http.client.HTTPException) as error:
            raise LinkError(f"{self._where} broke off: {error}") from None


def _field(value: Measured | None) -> str | None:
    """Return a field; each kind has a key of its own, for a key has one type for ever."""
    match value:
        case None:
            return None
        case bool():
            return f"truth={'true' if value else 'false'}"
        case str():
            return f'text="{value.translate(_TEXT)}"'
    # Integers as floats: the same series may have either.
    return f"value={float(value)!r}" if math.isfinite(value) and abs(value) < 1e308 else None

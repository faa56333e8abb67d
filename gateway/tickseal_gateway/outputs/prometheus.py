"""Metrics for Prometheus, at /metrics of an address of their own.

Source: the Prometheus text exposition format, version 0.0.4.
"""

import http.server
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tickseal.core.errors import LinkError
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.health.status import Json

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: A snapshot older than this is not shown: a scrape that fails says more than old numbers.
_STALE_S = 60.0
_REQUEST_S = 5.0
#: Readings that are shown; a scrape must end.
_READINGS_MOST = 20_000

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Labels = dict[str, object]


class PrometheusMetrics:
    """An Output that waits to be asked, and a HealthReader.

    Args:
        host, port: where; port 0 for any free one.
        readings: whether the latest reading of each series is shown.
    """

    keeps_newest = True
    gather_s = 1.0

    def __init__(
        self, host: str, port: int, *, readings: bool = True, name: str = "prometheus"
    ) -> None:
        self.name = name
        self._where = (host, port)
        self._readings = readings
        self._snapshot: tuple[Json, float] | None = None
        self._server: http.server.HTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 before it does."""
        return int(self._server.server_address[1]) if self._server else 0

    def note(self, snapshot: Json) -> None:
        """Keep a snapshot for the next scrape."""
        self._snapshot = (snapshot, time.monotonic())
        if self._server is None:
            self._listen()

    def write(self, batches: Sequence[Batch]) -> None:
        """Nothing: a scrape reads the latest snapshot.

        Raises:
            LinkError: the address or port cannot be had.
        """
        if self._server is None:
            self._listen()
        if self._server is None:
            raise LinkError(
                f"cannot listen on {self._where[0]} port {self._where[1]} for Prometheus: "
                "choose another, or stop what uses it"
            )

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def page(self) -> str | None:
        """Return what is scraped; None where there is nothing fresh."""
        if self._snapshot is None or time.monotonic() - self._snapshot[1] > _STALE_S:
            return None
        return "\n".join(render(self._snapshot[0], readings=self._readings)) + "\n"

    def _listen(self) -> None:
        output = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _REQUEST_S

            def do_GET(self) -> None:
                page = output.page() if self.path.partition("?")[0] == "/metrics" else None
                if page is None:
                    self.send_error(404 if self.path != "/metrics" else 503)
                    return
                content = page.encode()
                self.send_response(200)
                self.send_header("content-type", _TYPE)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        try:
            # One request after another: a scraper that is slow costs no more than itself.
            self._server = http.server.HTTPServer(self._where, Handler)
        except OSError:
            return
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="prometheus", daemon=True
        )
        self._thread.start()


def render(snapshot: Json, *, readings: bool) -> Iterator[str]:
    """Yield the lines of a scrape."""
    found: Any = snapshot
    gateway, totals, clock = found["gateway"], found["totals"], found["clock"]
    info = {"name": gateway["name"], "version": gateway["version"]}
    yield from _metric("gateway_info", "gauge", "The gateway.", [(info, 1)])
    yield from _metric(
        "gateway_start_time_seconds", "gauge", "When it started.",
        [({}, gateway["started_ns"] / 1e9)],
    )  # fmt: skip
    yield from _metric(
        "gateway_clock_uncertainty_seconds", "gauge", "Half width of its clock's interval.",
        [({}, clock["uncertainty_ns"] / 1e9)],
    )  # fmt: skip
    yield from _metric(
        "gateway_clock_synchronised", "gauge", "Whether something steers its clock.",
        [({}, int(clock["is_synchronised"]))],
    )  # fmt: skip
    yield from _metric(
        "segments_total", "counter", "Segments that came.", [({}, totals["segments"])]
    )
    yield from _by_reason("segments_refused_total", "Segments refused, all.", totals["refusals"])
    yield from _by_reason(
        "handshakes_refused_total", "Handshakes refused.", totals["refused_handshakes"]
    )
    yield from _by_reason(
        "connections_not_admitted_total", "Connections not admitted.", totals["not_admitted"]
    )
    yield from _metric(
        "alarm", "gauge", "Alarms that stand.",
        [({"kind": alarm["kind"], "device": alarm["device"]}, 1) for alarm in found["alarms"]],
    )  # fmt: skip
    yield from _devices(found["devices"])
    yield from _streams(found["streams"])
    yield from _outputs(found["outputs"])
    if readings:
        yield from _latest(found["streams"])


def _devices(devices: list[Any]) -> Iterator[str]:
    known = [device for device in devices if device["state"] != "revoked"]
    yield from _metric(
        "device_connected", "gauge", "Whether a device has a session.",
        [({"device": each["name"]}, int(each["is_connected"])) for each in known],
    )  # fmt: skip
    clocks = [
        ({"device": each["name"]}, each["session"]["clock"])
        for each in known
        if each["session"] and each["session"]["clock"]
    ]
    yield from _metric(
        "device_clock_offset_seconds", "gauge", "Device's clock minus the gateway's.",
        [(labels, clock["offset_ns"] / 1e9) for labels, clock in clocks],
    )  # fmt: skip
    yield from _metric(
        "device_clock_uncertainty_seconds", "gauge", "What a device says of its own clock.",
        [(labels, clock["uncertainty_ns"] / 1e9) for labels, clock in clocks],
    )  # fmt: skip
    yield from _metric(
        "device_clock_synchronised", "gauge", "Whether something steers a device's clock.",
        [(labels, int(clock["is_synchronised"])) for labels, clock in clocks],
    )  # fmt: skip


def _streams(streams: list[Any]) -> Iterator[str]:
    def rows(key: str) -> list[tuple[Labels, float]]:
        return [(_of(stream), max(0, stream[key])) for stream in streams]

    yield from _metric("frames_total", "counter", "Frames opened.", rows("frames"))
    yield from _metric(
        "frame_bytes_total", "counter", "Bytes of their payloads.", rows("payload_bytes")
    )
    yield from _metric(
        "frames_missing", "gauge", "Frames sealed that did not arrive.", rows("missing")
    )
    yield from _metric("keys_derived_total", "counter", "Frame keys derived.", rows("keys_derived"))
    yield from _metric(
        "stream_stale", "gauge", "Whether frames have stayed away for unusually long.",
        [(_of(stream), int(stream["is_stale"])) for stream in streams],
    )  # fmt: skip
    yield from _metric(
        "stream_last_frame_age_seconds", "gauge", "How long ago the last frame came.",
        [
            (_of(stream), stream["last_frame_s"])
            for stream in streams
            if stream["last_frame_s"] is not None
        ],
    )  # fmt: skip
    yield from _metric(
        "stream_segments_refused_total", "counter", "Segments of a stream refused.",
        [
            ({**_of(stream), "reason": reason}, count)
            for stream in streams
            for reason, count in stream["refusals"].items()
        ],
    )  # fmt: skip


def _outputs(outputs: list[Any]) -> Iterator[str]:
    for key, kind, help_text in (
        ("written", "counter", "Items an output took in."),
        ("missed", "counter", "Items an output did not get when they came."),
        ("caught_up", "counter", "Readings an output got later, from the store."),
        ("failures", "counter", "Writes of an output that failed."),
        ("waiting", "gauge", "Items that wait for an output."),
    ):
        suffix = "_total" if kind == "counter" else ""
        rows: list[tuple[Labels, float]] = [
            ({"output": each["name"]}, each[key]) for each in outputs
        ]
        yield from _metric(f"output_{key}{suffix}", kind, help_text, rows)


def _latest(streams: list[Any]) -> Iterator[str]:
    rows: list[tuple[Labels, float]] = [
        ({**_of(stream), "name": reading["name"], "unit": reading["unit"] or ""}, reading["value"])
        for stream in streams
        # What is old must not look live: it ends, as a series of Prometheus does.
        if not stream["is_stale"]
        for reading in stream["latest"]
        if isinstance(reading["value"], bool | int | float)
    ]
    yield from _metric("reading", "gauge", "The latest reading of a series.", rows[:_READINGS_MOST])


def _of(stream: Any) -> Labels:
    return {"device": stream["device"], "stream": stream["id"]}


def _by_reason(name: str, help_text: str, counts: dict[str, int]) -> Iterator[str]:
    rows: list[tuple[Labels, float]] = [({"reason": key}, n) for key, n in counts.items()]
    yield from _metric(name, "counter", help_text, rows)


def _metric(
    name: str, kind: str, help_text: str, rows: Sequence[tuple[Labels, float]]
) -> Iterator[str]:
    if not rows:
        return
    yield f"# HELP tickseal_{name} {help_text}"
    yield f"# TYPE tickseal_{name} {kind}"
    for labels, value in rows:
        text = ",".join(f'{key}="{str(each).translate(_ESCAPES)}"' for key, each in labels.items())
        yield f"tickseal_{name}{{{text}}} {_number(value)}"


def _number(value: float) -> str:
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return "NaN"
    return str(int(number)) if number.is_integer() and abs(number) < 1 << 53 else repr(number)

"""Status: one snapshot of everything, for people and machines; the page and `--json` show it.

Ages end in `_s`, instants in `_ns` (ns since 1970 UTC), counts are since the gateway started.
"""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol, TypeAlias

from tickseal.host.kernel_clock import boottime_ns
from tickseal.links.tcp import TCPServer
from tickseal.links.udp import UDPLink
from tickseal.sessions.liveness import RoundTrip
from tickseal_gateway.controller.administration import Administration
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.controller.controller import Controller
from tickseal_gateway.frames.readings import Picture, Reading
from tickseal_gateway.ingest.streams import LiveStream
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.registry.registered import Device

#: What JSON can hold.
Json: TypeAlias = dict[str, object]
_SECOND = 1_000_000_000


class GatewayView(Protocol):
    """The running gateway, as the page and other readers see it. For the event loop's thread only.

    The commands raise TicksealError with one sentence for people.
    """

    def snapshot(self) -> Json:
        """Return everything (docs: the functions of this module); at most 100 ms old."""

    def latest_picture(self, stream_id: str) -> Picture | None:
        """Return the newest picture of a stream by its id."""

    def pictures_after(self, stream_id: str, last: Picture | None) -> Sequence[Picture]:
        """Return a stream's pictures that follow one, or else those from the last key on."""

    def subscribe(self) -> AsyncIterator[Json]:
        """Yield snapshots, at most five a second, until the gateway stops."""

    async def invite(
        self,
        *,
        name: str | None = None,
        lifetime_ns: int = 3600 * _SECOND,
        hybrid: bool = True,
        addresses: Sequence[str] = (),
    ) -> Json:
        """Make an invite: token, id, name, hybrid, addresses, expires_ns, fingerprint."""

    async def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless; by its id in the snapshot."""

    async def approve(self, name: str) -> None:
        """Let a device that waits open streams."""

    async def rename(self, name: str, new_name: str) -> None:
        """Give a device another name."""

    async def tag(
        self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[str]:
        """Give a device tags, and take some away; return those that it has."""

    async def limit(self, name: str, changes: dict[str, int | None]) -> Json:
        """Set some of a device's limits; None takes one away. Return those that it has."""

    async def revoke(self, name: str) -> None:
        """Refuse a device for good; its session and streams end at once."""

    async def rekey(self, name: str | None) -> int:
        """Ask a device, or all (None), for new generations; return of how many streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a snapshot is made of.

    Args:
        outputs: all, the store among them.
        tcp, udp: where the gateway listens.
        page: address of the page; None where there is none.
        started_ns: ns since 1970 UTC.
    """

    controller: Controller
    table: StreamTable
    administration: Administration
    outputs: Sequence[OutputRunner]
    tcp: TCPServer
    udp: UDPLink
    page: str | None
    state: str
    started_ns: int


def make_snapshot(parts: Parts) -> Json:
    """Return the state of everything, as JSON can hold it."""
    controller = parts.controller
    now_ns = time.time_ns()
    streams = [_stream(stream, now_ns) for stream in parts.table]
    alarms = controller.alarms
    return {
        "gateway": {
            "name": controller.config.gateway.name,
            "version": version("tickseal"),
            "fingerprint": controller.identity.fingerprint,
            "state": parts.state,
            "tcp_port": parts.tcp.address[1],
            "udp_port": parts.udp.address[1],
            "addresses": list(parts.administration.addresses()),
            "page": parts.page,
            "started_ns": parts.started_ns,
            "now_ns": now_ns,
        },
        "clock": _own_clock(controller),
        "devices": [_device(controller, device) for device in controller.registry.devices()],
        "streams": streams,
        "alarms": [alarm.to_json() for alarm in alarms.standing()],
        "past_alarms": [alarm.to_json() for alarm in alarms.past()],
        "invites": parts.administration.invites(),
        "outputs": [_output(output) for output in parts.outputs],
        "links": _links(parts),
        "totals": _totals(parts),
    }


def _own_clock(controller: Controller) -> Json:
    now = controller.clock.now()
    return {
        "discipline": now.discipline.value,
        "is_synchronised": now.is_synchronised,
        "uncertainty_ns": now.uncertainty_ns,
    }


def _device(controller: Controller, device: Device) -> Json:
    connection = controller.connections.get(device.id)
    left = controller.left_ns.get(device.id)
    seen = connection.heard_ns if connection else left
    return {
        "name": device.name,
        "state": device.state.value,
        "role": device.role.value,
        "reads": controller.sinks.reads(device),
        "handshake": "hybrid" if device.hybrid else "classical",
        "enrolled_ns": device.enrolled_ns,
        "is_connected": connection is not None,
        "seen_s": None if seen is None else _age_s(seen),
        "session": _session(connection) if connection else None,
        "streams": [stream.id for stream in controller.registry.streams_of(device.id)],
        "tags": list(device.tags),
        "limits": device.limits.to_json(),
    }


def _session(connection: Connection) -> Json:
    hello, trip = connection.hello, connection.session.round_trip
    return {
        "address": connection.address,
        "age_s": _age_s(connection.started_ns),
        "calls_itself": hello.name if hello else "",
        "software": hello.software if hello else "",
        "role": hello.role.value if hello else "",
        "clock": _clock_of(trip) if trip else None,
        "clock_agrees": not connection.session.clock_disagrees,
    }


def _clock_of(trip: RoundTrip) -> Json:
    """Return a device's clock; its offset is known to half the round trip and what both state."""
    own_ns = (trip.sent.midpoint_ns + trip.received.midpoint_ns) // 2
    round_trip_ns = trip.received_monotonic_ns - trip.sent_monotonic_ns
    return {
        "discipline": trip.peer.discipline.value,
        "is_synchronised": trip.peer.is_synchronised,
        "uncertainty_ns": trip.peer.uncertainty_ns,
        "offset_ns": trip.peer.midpoint_ns - own_ns,
        "offset_uncertainty_ns": round_trip_ns // 2
        + trip.peer.uncertainty_ns
        + trip.received.uncertainty_ns,
        "round_trip_ns": round_trip_ns,
        "measured_s": _age_s(trip.received_monotonic_ns),
    }


def _stream(stream: LiveStream, now_ns: int) -> Json:
    newest = stream.newest
    metadata, parameters = stream.metadata, newest.generation.parameters if newest else None
    return {
        "id": stream.id,
        "device": stream.device,
        "type": metadata.type,
        "qos": metadata.qos,
        "unit": metadata.unit,
        "metadata": {key: _plain(value) for key, value in metadata.extra.items()},
        "content": stream.content.value,
        "handle": stream.handle,
        "is_withheld": stream.is_withheld,
        "generation": f"{newest.generation.number:016x}" if newest else None,
        "generation_age_s": _age_s(newest.opened_monotonic_ns) if newest else None,
        "generations_held": len(stream.held),
        "backfilling": sum(held.is_backfilled for held in stream.held.values()),
        "suite": parameters.suite.name if parameters else None,
        "renewal": parameters.renewal.name.lower() if parameters else None,
        "interval_ns": parameters.interval_ns if parameters else None,
        "hash_bytes": parameters.hash_length if parameters else None,
        "tick": newest.received.opener.highest_tick if newest else None,
        "frames": stream.frames,
        "frames_per_s": round(stream.rate, 2),
        "payload_bytes": stream.payload_bytes,
        "keys_derived": stream.keys_derived,
        "missing": stream.missing,
        "withheld": stream.withheld,
        "over_limit": stream.over_limit,
        "unreadable": stream.unreadable,
        "refusals": dict(stream.refusals),
        "last_frame_s": _past_s(now_ns, stream.last_frame_ns),
        "is_stale": stream.is_stale(now_ns),
        "latest": [_reading(reading, now_ns) for reading in stream.latest.values()],
        "picture": _picture(stream.picture, now_ns) if stream.picture else None,
    }


def _reading(reading: Reading, now_ns: int) -> Json:
    return {
        "name": reading.name,
        "value": reading.value,
        "unit": reading.unit,
        "time_ns": reading.time_ns,
        "age_s": _past_s(now_ns, reading.time_ns),
        "flags": reading.flags,
    }


def _picture(picture: Picture, now_ns: int) -> Json:
    content = picture.picture
    return {
        "codec": content.codec,
        "width": content.width,
        "height": content.height,
        "time_ns": content.time_ns,
        "age_s": _past_s(now_ns, picture.received_ns),
        "bytes": len(content.data),
        "sequence": content.sequence,
    }


def _output(output: OutputRunner) -> Json:
    counters = output.counters
    return {
        "name": output.name,
        "written": counters.written,
        "missed": counters.missed,
        "caught_up": counters.caught_up,
        "failures": counters.failures,
        "waiting": output.waiting,
        "error": counters.error,
    }


def _links(parts: Parts) -> Json:
    udp, tcp = parts.udp, parts.tcp
    return {
        "udp": {
            "received": udp.counters.received,
            "dropped_by_kernel": udp.kernel_dropped,
            "receive_buffer_bytes": udp.receive_buffer_bytes,
        },
        "tcp": {
            "connections": tcp.connections,
            "accepted": tcp.counters.accepted,
            "refused": tcp.counters.refused,
            "failed": tcp.counters.failed,
        },
    }


def _totals(parts: Parts) -> Json:
    refusals: Counter[str] = Counter(parts.table.refusals)
    for stream in parts.table:
        refusals.update(stream.refusals)
    return {
        "frames": sum(stream.frames for stream in parts.table),
        "frames_per_s": round(sum(stream.rate for stream in parts.table), 2),
        "payload_bytes": sum(stream.payload_bytes for stream in parts.table),
        "segments": parts.table.segments,
        "keys_derived": sum(stream.keys_derived for stream in parts.table),
        "missing": sum(stream.missing for stream in parts.table),
        "refusals": dict(refusals),
        "refused_handshakes": dict(parts.controller.refused_handshakes),
        "not_admitted": dict(parts.controller.admission.refused),
        "half_open": parts.controller.admission.half_open,
        "sessions": len(parts.controller.connections),
    }


def _age_s(since_monotonic_ns: int) -> float:
    return round((boottime_ns() - since_monotonic_ns) / _SECOND, 3)


def _past_s(now_ns: int, then_ns: int) -> float | None:
    return round((now_ns - then_ns) / _SECOND, 3) if then_ns else None


def _plain(value: object) -> object:
    """Return a metadata value as JSON can hold it: bytes as hexadecimal digits, NaN as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value

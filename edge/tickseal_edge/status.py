"""Status: how a running device stands, as values for JSON and as text for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from tickseal.clock import Clock, ClockInterval
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import boottime_ns
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.config import EdgeConfig
from tickseal_edge.generations import Generations
from tickseal_edge.pipeline import Pipeline
from tickseal_edge.production.production import Production
from tickseal_edge.spool.spool import Spool
from tickseal_edge.streams.streams import OutgoingStream
from tickseal_edge.uplink.uplink import Uplink


def snapshot(
    *,
    identity: DeviceIdentity,
    software: str,
    started_ns: int,
    uplink: Uplink,
    own_clock: Clock,
    clock: Clock,
    config: EdgeConfig,
    outgoing: Mapping[str, OutgoingStream],
    productions: Sequence[Production],
    generations: Generations,
    pipeline: Pipeline,
    spool: Spool,
) -> dict[str, object]:
    """Return how everything stands: names, numbers and times in ns; no secret."""
    now_ns = boottime_ns()
    link = uplink.state
    connection = uplink.connection
    return {
        "device": identity.name,
        "software": software,
        "uptime_s": round((now_ns - started_ns) / 1e9, 1),
        "gateway": {
            "is_up": link.is_up,
            "name": link.gateway,
            "address": link.address,
            "for_s": round((now_ns - link.since_ns) / 1e9, 1),
            "problem": link.problem,
            "sessions": link.sessions,
            "udp": bool(connection and connection.has_udp),
            "hybrid": identity.hybrid,
        },
        "clock": {
            **_reading(clock.now()),
            "own": _reading(own_clock.now()),
            **({"source": _source(own_clock)} if isinstance(own_clock, ClockEnsemble) else {}),
            "disagrees": bool(
                connection and connection.is_running and connection.session.clock_disagrees
            ),
            "policy": config.clock.action.name.lower(),
        },
        "streams": [
            {
                "id": stream.id,
                "kind": stream.kind,
                "device": production.state,
                "readings": production.readings,
                "failures": production.failures,
                "rate_hz": production.rate_hz,
                **_stream(outgoing[stream.id]),
                "refused": generations.refusal(stream.id),
                "is_stopped": stream.id in pipeline.stopped,
            }
            for stream, production in zip(config.streams, productions, strict=True)
        ],
        "spool": {
            "bytes": spool.held_bytes,
            "most_bytes": config.spool.most_bytes,
            "generations": len(spool.generations()),
            "frames": sum(one.frames for one in spool.generations()),
            "dropped_frames": spool.dropped_frames,
        },
        "dropped": dict(pipeline.dropped),
    }


def _source(clock: ClockEnsemble) -> dict[str, object]:
    whole = clock.status()
    return {name: whole[name] for name in ("state", "source", "disagreement")}


def _reading(now: ClockInterval) -> dict[str, object]:
    return {
        "earliest_ns": now.earliest_ns,
        "latest_ns": now.latest_ns,
        "uncertainty_ns": now.uncertainty_ns,
        "discipline": now.discipline.value,
    }


def _stream(outgoing: OutgoingStream) -> dict[str, object]:
    generation = outgoing.generation
    state = "offline" if outgoing.is_offline else "live" if generation else "waits"
    return {
        "state": state,
        "generation": f"{generation.number:016x}" if generation else "",
        "suite": generation.parameters.suite.name if generation else "",
        "tick": outgoing.tick,
        "frames": outgoing.frames,
        "segments": outgoing.segments,
        "payload_bytes": outgoing.payload_bytes,
        "keys_derived": outgoing.keys_derived,
        "generations": outgoing.generations,
        "coasted": outgoing.coasted,
    }


def as_text(state: Mapping[str, Any]) -> str:
    """Return a snapshot for people."""
    gateway, clock, spool = state["gateway"], state["clock"], state["spool"]
    where = f"{gateway['name'] or 'gateway'} at {gateway['address'] or 'an address not tried yet'}"
    lines = [
        f"{state['device']}, running for {_span(state['uptime_s'])}",
        f"gateway  connected to {where} for {_span(gateway['for_s'])}"
        if gateway["is_up"]
        else f"gateway  not connected for {_span(gateway['for_s'])}: {gateway['problem']}",
        f"clock    {clock['discipline']}, known to {_error(clock['uncertainty_ns'])}"
        + (f" by {clock['source']['source']}" if clock.get("source", {}).get("source") else "")
        + (", DISAGREES with the gateway's" if clock["disagrees"] else ""),
        f"spool    {spool['frames']} frames in {spool['generations']} generations, "
        f"{spool['bytes'] / 2**20:.1f} of {spool['most_bytes'] / 2**20:.0f} MiB"
        + (f", {spool['dropped_frames']} dropped" if spool["dropped_frames"] else ""),
    ]
    for stream in state["streams"]:
        lines += _stream_lines(stream)
    if state["dropped"]:
        words = ", ".join(f"{count} {reason}" for reason, count in state["dropped"].items())
        lines.append(f"dropped  {words}")
    return "\n".join(lines)


def _stream_lines(stream: Mapping[str, Any]) -> list[str]:
    lines = [
        f"stream   {stream['id']}: {stream['state']}, {stream['frames']} frames, "
        f"{stream['keys_derived']} keys, tick {stream['tick']}, {stream['rate_hz']:g}/s"
    ]
    if stream["device"] != "answers":
        lines.append(f"         device: {stream['device']}")
    if stream["refused"]:
        lines.append(f"         refused by the gateway: {stream['refused']}")
    if stream["is_stopped"]:
        lines.append("         ended because of the clock; mend it, then restart")
    return lines


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _error(uncertainty_ns: int) -> str:
    if uncertainty_ns < 1000:
        return f"{uncertainty_ns} ns"
    if uncertainty_ns < 1_000_000:
        return f"{uncertainty_ns / 1e3:.1f} us"
    if uncertainty_ns < 1_000_000_000:
        return f"{uncertainty_ns / 1e6:.1f} ms"
    return f"{uncertainty_ns / 1e9:.1f} s"

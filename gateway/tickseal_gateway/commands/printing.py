"""What commands print for people: aligned text, no colours, nothing that a pipe would spoil."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under a head, each column as wide as it must be."""
    texts = [list(head), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def age(seconds: float | None) -> str:
    """Return a time that has passed, in words; "-" where there was nothing."""
    if seconds is None:
        return "-"
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def until(time_ns: int) -> str:
    """Return how long it is until an instant, in words."""
    left = time_ns / 1e9 - time.time()
    return age(left) if left > 0 else "expired"


def steered(discipline: str) -> str:
    """Return what steers a clock, in words."""
    return "free-running" if discipline == "none" else discipline


def milliseconds(duration_ns: float) -> str:
    """Return a short time in words."""
    return f"{duration_ns / 1e6:.{1 if duration_ns < 1e9 else 0}f} ms"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def counts(by_reason: dict[str, int]) -> str:
    """Return counts by reason; "none" where all are 0."""
    return ", ".join(f"{reason} {n}" for reason, n in sorted(by_reason.items()) if n) or "none"


def invites(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table of open invites."""
    if not rows:
        return "no invite is open"
    return table(
        ("invite", "for", "handshake", "expires in", "begun"),
        (
            (
                row["id"],
                row["name"] or "any device",
                "hybrid" if row["hybrid"] else "classical",
                until(row["expires_ns"]),
                "yes" if row["is_bound"] else "no",
            )
            for row in rows
        ),
    )


def allowances(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table of what sinks may read."""
    if not rows:
        return "no sink may read anything; allow it: tickseal gateway allow SINK STREAM"
    return table(
        ("sink", "stream", "for", "recordings since"),
        (
            (
                row["sink"],
                row["stream"],
                "ever" if row["until_ns"] is None else until(row["until_ns"]),
                "-" if row["since_ns"] is None else instant(row["since_ns"]),
            )
            for row in rows
        ),
    )


def instant(time_ns: int) -> str:
    """Return an instant in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ns / 1e9))


def devices(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table of devices, from a snapshot or from the registry alone."""
    if not rows:
        return "no device is enrolled yet; make an invite: tickseal gateway invite"
    return table(
        (
            "device",
            "role",
            "state",
            "connected",
            "last seen",
            "handshake",
            "clock",
            "tags",
            "streams",
        ),
        (
            (
                row["name"],
                row["role"],
                row["state"],
                "-" if "is_connected" not in row else "yes" if row["is_connected"] else "no",
                age(row.get("seen_s")),
                row["handshake"],
                _clock(row.get("session")),
                " ".join(row.get("tags", ())) or "-",
                " ".join(row["streams"] or row.get("reads", ())) or "-",
            )
            for row in rows
        ),
    )


def streams(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table of streams of a snapshot."""
    if not rows:
        return "no stream was opened since the gateway started"
    return table(
        ("stream", "device", "frames", "frames/s", "bytes", "keys", "missing", "refused", "last"),
        (
            (
                row["id"],
                row["device"],
                row["frames"],
                f"{row['frames_per_s']:.1f}",
                size(row["payload_bytes"]),
                row["keys_derived"],
                row["missing"],
                counts(row["refusals"]),
                age(row["last_frame_s"]),
            )
            for row in rows
        ),
    )


def status(snapshot: dict[str, Any]) -> str:
    """Return a snapshot in words."""
    gateway, clock, totals = snapshot["gateway"], snapshot["clock"], snapshot["totals"]
    parts = [
        f"{gateway['name']} at {', '.join(gateway['addresses'])}"
        + (f", page {gateway['page']}" if gateway["page"] else ""),
        f"running for {age((gateway['now_ns'] - gateway['started_ns']) / 1e9)}, clock "
        f"{steered(clock['discipline'])} +/- {milliseconds(clock['uncertainty_ns'])}",
        f"{totals['frames']} frames ({totals['frames_per_s']:.1f} a second), "
        f"{size(totals['payload_bytes'])}, {totals['missing']} missing; segments refused: "
        f"{counts(totals['refusals'])}",
        "",
        devices(snapshot["devices"]),
        "",
        streams(snapshot["streams"]),
    ]
    alarmed = {alarm["kind"] for alarm in snapshot["alarms"]}
    parts += [
        _trouble(output)
        for output in snapshot["outputs"]
        if output["missed"] or (output["error"] and f"output_{output['name']}" not in alarmed)
    ]
    for alarm in snapshot["alarms"]:
        whose = f" of {alarm['device']}" if alarm["device"] else ""
        parts.append(f"ALARM {alarm['kind']}{whose}: {alarm['detail']}")
    return "\n".join(parts)


def _text(cell: object) -> str:
    return str(cell)


def _trouble(output: dict[str, Any]) -> str:
    says = f"output {output['name']}: missed {output['missed']}"
    if output["caught_up"]:
        says += f", caught up {output['caught_up']} from the store"
    return f"{says}; {output['error'] or 'it works'}"


def _clock(session: dict[str, Any] | None) -> str:
    clock = session["clock"] if session else None
    if not clock:
        return "-"
    agrees = "" if session and session["clock_agrees"] else ", DISAGREES"
    return (
        f"{steered(clock['discipline'])} {clock['offset_ns'] / 1e6:+.1f} "
        f"+/- {milliseconds(clock['offset_uncertainty_ns'])}{agrees}"
    )

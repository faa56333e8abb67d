"""The clock for people: `tickseal edge clock`."""

import time
from collections.abc import Mapping
from typing import Any

_HISTORY_SHOWN = 12


def duration(nanoseconds: int | None) -> str:
    """Return a time in the unit that people read best."""
    if nanoseconds is None:
        return "-"
    size = abs(nanoseconds)
    for limit, unit, name in ((1000, 1, "ns"), (10**6, 10**3, "us"), (10**9, 10**6, "ms")):
        if size < limit:
            return f"{nanoseconds / unit:.{0 if unit == 1 else 1}f} {name}"
    return f"{nanoseconds / 1e9:.3f} s"


def as_text(status: Mapping[str, Any]) -> str:
    """Return ClockEnsemble.status() as text."""
    by = f" by {status['source']}" if status["source"] else ""
    state = "free-running: nothing sets it" if status["state"] == "free" else status["state"]
    lines = [
        f"{state}{by}, known to {duration(status['uncertainty_ns'])}; "
        f"drift {status['drift_ppm']:+.3f} +/- {status['drift_error_ppm']:.3f} ppm"
    ]
    if status["disagreement"]:
        lines.append(f"ALARM: {status['disagreement']}")
    for source in status["sources"]:
        lines += _source_lines(source)
    if status["history"]:
        lines.append("history")
        for row in status["history"][-_HISTORY_SHOWN:]:
            at = time.strftime("%H:%M:%S", time.gmtime(row["at_unix_s"]))
            lines.append(
                f"  {at}Z {row['source'] or 'no source':8} {row['discipline']:9}"
                f" +/- {duration(row['uncertainty_ns']):>9}  offset {duration(row['offset_ns'])}"
            )
    return "\n".join(lines)


def _source_lines(source: Mapping[str, Any]) -> list[str]:
    mark = "*" if source["is_selected"] else "+" if source["is_well"] else "-"
    if "uncertainty_ns" not in source:
        return [f"{mark} {source['name']:8} {source['problem']}"]
    lines = [
        f"{mark} {source['name']:8} +/- {duration(source['uncertainty_ns'])}, "
        f"{duration(source['from_selected_ns'])} from the time in use"
        + (f" ({source['problem']})" if source["problem"] else "")
    ]
    details = ", ".join(f"{name} {value}" for name, value in source["details"].items())
    lines += [f"           {details}"] * bool(details)
    lines += [f"           note: {note}" for note in source["notes"]]
    return lines

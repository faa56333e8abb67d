"""A stream whose readings are a count, twenty a second: what is lost leaves a gap in it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hil_tests.bench.gateway import Row
from hil_tests.bench.shell import Shell

STREAM = "bench/count"
RATE_HZ = 20.0
_FILE = "/etc/tickseal/count.csv"
_ROWS = 20_000  # a quarter of an hour


def prepare(shell: Shell) -> None:
    """Put the count on the device."""
    rows = "\n".join(map(str, range(_ROWS)))
    shell.run("mkdir -p /etc/tickseal")
    shell.write(_FILE, f"count [count]\n{rows}\n".encode())


def config(*more: str) -> str:
    """Return the stream's part of a configuration, with further lines for the stream."""
    lines = [f'id = "{STREAM}"', 'kind = "replay"', f'file = "{_FILE}"', f"rate_hz = {RATE_HZ}"]
    return "\n".join(["[[streams]]", *lines, *more, ""])


def gaps(rows: Iterable[Row]) -> list[tuple[int, int]]:
    """Return where the count of readings in the order of their time does not go on by one."""
    counts = [int(row.value) for row in rows if row.value is not None]
    return [(one, two) for one, two in pairwise(counts) if two != one + 1]


def since_start(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the readings, in the order of their time, since the device began to count."""
    starts = [place for place, row in enumerate(rows) if row.value == 0]
    return rows[starts[-1] :] if starts else ()

"""One thing over and over, for a profiler: instructions a frame are the difference of two counts.

valgrind --tool=callgrind .venv/bin/python bench/loop.py seal 1000      (and 3000)
perf record -g .venv/bin/python bench/loop.py open 1000000
"""

import argparse

from load import generations, parameters
from load.sink import fill
from tickseal_gateway.ingest.table import StreamTable

from tickseal import FrameSealer
from tickseal.clock import ClockInterval

TICK = 1000
_BATCH = 25
_SEALED = 4000


def main() -> None:
    """Seal frames of 1200 bytes, or open some through the gateway's table of streams."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("seal", "open"))
    parser.add_argument("count", type=int, help="frames")
    arguments = parser.parse_args()
    sealer = FrameSealer(next(generations(1, parameters(0))))
    payload = bytes(1200)
    if arguments.what == "seal":
        for _ in range(arguments.count):
            sealer.seal(payload, TICK)
        return
    segments = [sealer.seal(payload, TICK)[0] for _ in range(_SEALED)]
    now = ClockInterval(earliest_ns=TICK * 10**8, latest_ns=TICK * 10**8)
    opened = 0
    while opened < arguments.count:
        table = StreamTable()
        fill(table, {"streams": 1, "t0_ns": 0, "stored": False, "past_ns": 2 * 10**9})
        for at in range(0, min(_SEALED, arguments.count - opened), _BATCH):
            opened += len(table.take(segments[at : at + _BATCH], now))


if __name__ == "__main__":
    main()

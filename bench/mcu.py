"""What the board's program costs: its size, its heap, and a frame of 64 bytes.

On MicroPython's unix port, whose words are twice as wide as a board's; and while it streams, on an
emulated Cortex-M3, where this machine can run one. --pico asks the emulated Pico too, which takes
minutes.
"""

import argparse
import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from tickseal_flash import build

from hil_tests.bench import cortex_m3, pico
from hil_tests.bench.streaming import stream

ROOT = Path(__file__).parents[1]
INTERPRETER = Path(sysconfig.get_path("scripts")) / "micropython"
HEAP = """
import gc
gc.collect()
before = gc.mem_alloc()
import tickseal_board
gc.collect()
print(gc.mem_alloc() - before)
"""
FRAME = """
import time
from device import primitives
from tickseal.core.keytree import Walker
from tickseal.core.sealer import Sealer
parameters = {"depth": 20, "epoch_bits": 0, "frame_bytes": 1024, "generation": 1, "hash": 8,
              "profile": 1, "renewal": 1, "segment_bytes": 64, "suite": 3}
calls = {"hmac": 0, "sha256": 0, "seal": 0}
class Counting:
    def hmac(self, key):
        calls["hmac"] += 1
        return primitives.hmac(key)
    def sha256(self, data):
        calls["sha256"] += 1
        return primitives.sha256(data)
    def seal(self, *arguments):
        calls["seal"] += 1
        return primitives.seal(*arguments)
def sealer(port):
    return Sealer(port, bytes(32), Walker.from_root(port, bytes(32), 20), parameters, 5)
one = sealer(primitives)
one.seal(bytes(64), 1000)
start = time.ticks_us()
for tick in range(1000):
    one.seal(bytes(64), 1001 + tick)
print(time.ticks_diff(time.ticks_us(), start) / 1000)
counted = sealer(Counting())
counted.seal(bytes(64), 1000)
for name in calls:
    calls[name] = 0
for tick in range(256):
    counted.seal(bytes(64), 1001 + tick)
print(" ".join(["%s %.2f" % (name, calls[name] / 256) for name in sorted(calls)]))
"""


def run(code: str, folder: Path) -> list[str]:
    """Return the lines that a program prints on MicroPython."""
    done = subprocess.run(
        [INTERPRETER, "-X", "heapsize=192k", "-c", code],
        env={**os.environ, "MICROPYPATH": str(folder)},
        cwd=folder,  # not the checkout, whose tickseal is for CPython
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


HEAP_MOST = 60 * 1024
STREAM = {"id": "bench/t", "period_ms": 200, "sensors": [{"kind": "memory"}]}
UART = {"kind": "uart", "id": 1, "baudrate": 115200}


def print_streaming_heap(*, with_pico: bool) -> None:
    """Print what is in use of the heaps of emulated boards, MicroPython's own included."""
    for module, kind, wanted in (
        (cortex_m3, cortex_m3.CortexM3, True),
        (pico, pico.VirtualPico, with_pico),
    ):
        missing = module.what_is_missing() if wanted else "not asked for; --pico does"
        label = f"heap while streaming, {kind.name.split()[-1]}"
        if missing:
            print(f"{label:34}{'-':>8}  {missing}")
            continue
        with tempfile.TemporaryDirectory(prefix="bench-mcu-") as folder, kind() as board:
            cable = UART if kind is cortex_m3.CortexM3 else {"kind": "usb"}
            config = {"name": "bench", "cable": cable, "streams": [STREAM]}
            came = stream(board, config, Path(folder), frames=10, within_s=900)
        print(f"{label:34}{came.latest['memory']:8} bytes (at most {HEAP_MOST})")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pico", action="store_true", help="ask the emulated Pico too")
    arguments = parser.parse_args()
    program = build.program()
    sources = sum(len(text) for text in build.sources().values())
    with tempfile.TemporaryDirectory(prefix="bench-mcu-") as name:
        folder = Path(name)
        (folder / build.PROGRAM).write_bytes(program)
        (folder / "tickseal").mkdir()
        (folder / "tickseal" / "core").symlink_to(ROOT / "tickseal" / "core")
        (folder / "device").symlink_to(ROOT / "firmware_mpy" / "device")
        (heap,) = run(HEAP, folder)
        microseconds, calls = run(FRAME, folder)
    print(f"{'source':34}{sources:8} bytes")
    print(f"{'.mpy on flash':34}{len(program):8} bytes (at most {48 * 1024})")
    print(f"{'heap after import, 64-bit words':34}{heap:>8} bytes")
    print(f"{'a frame of 64 bytes, unix port':34}{float(microseconds):8.1f} us")
    print(f"{'operations a frame':34}{calls}")
    print_streaming_heap(with_pico=arguments.pico)


if __name__ == "__main__":
    main()

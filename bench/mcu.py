"""What the board's program costs: its size, its heap, and a frame of 64 bytes.

On MicroPython's unix port, whose words are twice as wide as a board's; hil_tests/microcontrollers
has the figures of emulated boards.
"""

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from tickseal_flash import build

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


def main() -> None:
    """Print the table."""
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


if __name__ == "__main__":
    main()

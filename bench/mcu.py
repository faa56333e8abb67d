"""What the board's program costs: its size, its heap, and a frame of 64 bytes.

On MicroPython's unix port, whose words are twice as wide as a board's; and while it streams, on an
emulated Cortex-M3, where this machine can run one. --pico asks the emulated Pico too, with the
program on flash and frozen into its firmware, which takes minutes.
"""

import argparse
import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from tickseal_flash import build

from hil_tests.bench import cortex_m3, pico
from hil_tests.bench.microcontroller import Microcontroller, await_prompt, mpremote
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
SEALER = """
import time
from device import primitives
from tickseal.core.keytree import Walker
from tickseal.core.sealer import Sealer
parameters = {"depth": 20, "epoch_bits": 0, "frame_bytes": 1024, "generation": 1, "hash": 8,
              "profile": 1, "renewal": 1, "segment_bytes": 64, "suite": 3}
def sealer(port):
    one = Sealer(port, bytes(32), Walker.from_root(port, bytes(32), 20), parameters, 5)
    one.seal(bytes(64), 1000)
    return one
"""
FRAME = """
one = sealer(primitives)
start = time.ticks_us()
for tick in range(256):
    one.seal(bytes(64), 1001 + tick)
print(time.ticks_diff(time.ticks_us(), start) / 256)
"""
CALLS = """
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
counted = sealer(Counting())
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
PATIENCE_S = 1800.0
STREAM: dict[str, Any] = {"id": "bench/t", "period_ms": 1000, "sensors": [{"kind": "memory"}]}
#: With these a Pico has the three sensors that `tickseal mcu flash` gives it.
ON_A_PICO = [{"kind": "chip_temperature"}, {"kind": "counter"}]
UART = {"kind": "uart", "id": 1, "baudrate": 115200}


FRAME_MOST_US = 8000


def print_streaming_heap(board: Microcontroller, label: str, *, is_frozen: bool = False) -> None:
    """Print what is in use of a board's heap, MicroPython's own included."""
    is_pico = isinstance(board, pico.VirtualPico)
    stream_of = {**STREAM, "sensors": [*ON_A_PICO, *STREAM["sensors"]]} if is_pico else STREAM
    cable = {"kind": "usb"} if is_pico else UART
    config = {"name": "bench", "cable": cable, "streams": [stream_of]}
    with tempfile.TemporaryDirectory(prefix="bench-mcu-") as folder:
        came = stream(
            board, config, Path(folder), frames=10, within_s=PATIENCE_S, is_frozen=is_frozen
        )
    label = f"heap while streaming, {label}"
    print(f"{label:34}{came.latest['memory']:8} bytes (at most {HEAP_MOST})", flush=True)


def print_frame_on_pico(board: pico.VirtualPico) -> None:
    """Print how long a frame takes a Pico, of its own time."""
    with tempfile.TemporaryDirectory(prefix="bench-mcu-") as name:
        for path, source in build.sources().items():
            file = (Path(name) / path).with_suffix(".mpy")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(build.compile_mpy(source, file.stem))
        board.start(Path(name))
    await_prompt(board.repl)
    said = mpremote(board, "exec", SEALER + FRAME, timeout_s=PATIENCE_S)
    print(f"{'a frame of 64 bytes, Pico':34}{float(said):8.1f} us (at most {FRAME_MOST_US})")


def print_emulated(*, with_pico: bool) -> None:
    """Print what emulated boards tell, of those that this machine can run."""
    if missing := cortex_m3.what_is_missing():
        print(f"no Cortex-M3: {missing}")
    else:
        with cortex_m3.CortexM3() as cortex:
            print_streaming_heap(cortex, "Cortex-M3")
    if missing := pico.what_is_missing() if with_pico else "not asked for; --pico does":
        print(f"no Pico: {missing}")
        return
    with pico.VirtualPico() as board:
        print_streaming_heap(board, "Pico")
    with pico.VirtualPico(build.frozen()) as board:
        print_streaming_heap(board, "Pico, frozen", is_frozen=True)
    board = pico.VirtualPico()
    try:
        print_frame_on_pico(board)
    finally:
        board.stop()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pico", action="store_true", help="ask the emulated Pico too")
    arguments = parser.parse_args()
    program = build.program()
    size = sum(map(len, program.values()))
    sources = sum(len(text) for text in build.sources().values())
    with tempfile.TemporaryDirectory(prefix="bench-mcu-") as name:
        folder = Path(name)
        for file, content in program.items():
            (folder / file).write_bytes(content)
        (folder / "tickseal").mkdir()
        (folder / "tickseal" / "core").symlink_to(ROOT / "tickseal" / "core")
        (folder / "device").symlink_to(ROOT / "firmware_mpy" / "device")
        (heap,) = run(HEAP, folder)
        microseconds, calls = run(SEALER + FRAME + CALLS, folder)
    print(f"{'source':34}{sources:8} bytes")
    print(f"{'.mpy on flash':34}{size:8} bytes (at most {48 * 1024})")
    print(f"{'heap after import, 64-bit words':34}{heap:>8} bytes")
    print(f"{'a frame of 64 bytes, unix port':34}{float(microseconds):8.1f} us")
    print(f"{'operations a frame':34}{calls}")
    print_emulated(with_pico=arguments.pico)


if __name__ == "__main__":
    main()

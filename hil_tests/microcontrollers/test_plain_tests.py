"""The core's and the device's own tests pass on the boards, with the golden vectors."""

from pathlib import Path

import pytest

from hil_tests.bench.microcontroller import Microcontroller, mpremote

KINDS = ("unix", "pico", "cortex-m3")
CHECKOUT = Path(__file__).parents[2]
PLAIN = sorted(
    path.relative_to(CHECKOUT).as_posix().replace("plain/", "")
    for pattern in ("tests/core/test_*.py", "tests/firmware/plain/test_*.py")
    for path in CHECKOUT.glob(pattern)
)

#: The emulated Pico is some twenty times slower than a Pico. The Cortex-M3 runs the same compiled
#: code on the same C code; what is left to show on a Pico takes seconds.
ON_A_PICO = {"tests/firmware/test_hmac.py", "tests/firmware/test_primitives.py"}
#: Minutes long on emulated boards, and run by the unix port.
TOO_LONG = ("test_gives_the_official_product_after_1000_iterations",)

RUN = """
import sys
sys.path[:] = ["", ".frozen", "/tests/core", "/tests/firmware"]
import run
failed = run.run(["/{file}"], {without!r})
"""


RUNS = [(kind, file) for kind in KINDS for file in PLAIN if kind != "pico" or file in ON_A_PICO]


@pytest.mark.parametrize(("kind", "file"), RUNS, indirect=["kind"], scope="session")
def test_passes_on_the_board(kind: str, board: Microcontroller, file: str) -> None:
    without = () if kind == "unix" else TOO_LONG
    output = mpremote(board, "exec", RUN.format(file=file, without=without), timeout_s=300)
    passed, failed = output.splitlines()[-1].split(", ")
    assert failed == "0 failed", output
    assert passed != "0 passed"

"""The core's and the device's own tests pass on the boards, with the golden vectors."""

import os
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
#: code on the same C code; what is left to show on a Pico takes seconds. HIL=complete in the
#: environment runs the rest too.
ON_A_PICO = {
    f"tests/firmware/test_{name}.py" for name in ("config", "hmac", "pins", "primitives", "sensors")
}
#: Minutes long on emulated boards, and run by the unix port.
TOO_LONG = ("test_gives_the_official_product_after_1000_iterations",)

TIMEOUT_SECONDS = 1200

RUN = """
import sys
sys.path[:] = ["", ".frozen", "/tests/core", "/tests/firmware"]
import run
failed = run.run(["/{file}"], {without!r})
"""


RUNS = [
    (kind, file)
    for kind in KINDS
    for file in PLAIN
    if kind != "pico" or file in ON_A_PICO or os.environ.get("HIL") == "complete"
]


@pytest.mark.parametrize(("kind", "file"), RUNS, indirect=["kind"], scope="session")
def test_passes_on_the_board(kind: str, board: Microcontroller, file: str) -> None:
    without = () if kind == "unix" else TOO_LONG
    code = RUN.format(file=file, without=without)
    output = mpremote(board, "exec", code, timeout_s=TIMEOUT_SECONDS)
    passed, failed = output.splitlines()[-1].split(", ")
    assert failed == "0 failed", output
    assert passed != "0 passed"

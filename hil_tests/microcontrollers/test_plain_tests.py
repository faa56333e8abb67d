"""The core's and the device's own tests pass on the boards, with the golden vectors."""

import os
import re
from collections.abc import Iterator
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

#: These take the emulated Pico, some seven times slower than a Pico, more than a minute each. The
#: Cortex-M3 runs the same compiled code on the same C code. HIL=complete in the environment lets
#: the Pico run them too, each test by itself: a quarter of an hour, where a core is free.
LONG_ON_A_PICO = {
    *(f"tests/core/test_{name}.py" for name in ("cable", "keytree", "noise", "sealer")),
    *(f"tests/firmware/test_{name}.py" for name in ("chachapoly", "x25519")),
}
#: An hour long on the emulated Pico, minutes on the Cortex-M3, and run by the unix port. HIL=all in
#: the environment lets both run them.
TOO_LONG = ("test_gives_the_official_product_after_1000_iterations",)

TIMEOUT_SECONDS = 4 * 3600

RUN = """
import sys
sys.path[:] = ["", ".frozen", "/tests/core", "/tests/firmware"]
import run
failed = run.run(["/{file}"], {without!r})
"""


def names_in(file: str) -> list[str]:
    """Return the names of the tests in a file."""
    text = (CHECKOUT / file.replace("firmware/", "firmware/plain/")).read_text()
    return re.findall(r"^def (test_\w+)", text, re.MULTILINE)


def runs() -> Iterator[tuple[str, str, str]]:
    """Yield what runs: kind, file, and one of its tests or all."""
    level = os.environ.get("HIL")
    for kind in KINDS:
        for file in PLAIN:
            if kind != "pico" or file not in LONG_ON_A_PICO:
                yield kind, file, "all"
            elif level in ("complete", "all"):
                for test in names_in(file):
                    if test not in TOO_LONG:
                        yield kind, file, test
            if kind != "unix" and level == "all":
                for test in set(names_in(file)).intersection(TOO_LONG):
                    yield kind, file, test


@pytest.mark.parametrize(("kind", "file", "test"), list(runs()), indirect=["kind"], scope="session")
def test_passes_on_the_board(kind: str, board: Microcontroller, file: str, test: str) -> None:
    without: tuple[str, ...] = () if kind == "unix" else TOO_LONG
    if test != "all":
        without = tuple(name for name in names_in(file) if name != test)
    code = RUN.format(file=file, without=without)
    output = mpremote(board, "exec", code, timeout_s=TIMEOUT_SECONDS)
    passed, failed = output.splitlines()[-1].split(", ")
    assert failed == "0 failed", output
    assert passed != "0 passed"

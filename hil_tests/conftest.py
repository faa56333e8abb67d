"""Gives tests the capabilities of the bench by name, and skips what the bench lacks, with why.

One device serves the whole session. After each test, what the test used is restored.
"""

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil_tests.bench.capabilities import Bench, LackingError
from hil_tests.bench.shell import Shell
from hil_tests.bench.virtual_pi.bench import VirtualBench

DEFAULT_BENCH = Path(__file__).parent / "bench.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bench", type=Path, default=DEFAULT_BENCH, help="TOML file that describes the bench"
    )


def open_bench(path: Path) -> Bench:
    """Return the bench that a file describes; nothing is started yet."""
    device = dict(tomllib.loads(path.read_text()).get("device", {}))
    kind = device.pop("kind", None)
    if kind == "virtual":
        return VirtualBench(**device)
    raise pytest.UsageError(f"{path}: device.kind is {kind!r}; this bench knows: virtual")


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The bench, for tests that need more than one capability at a time."""
    opened = open_bench(request.config.getoption("bench"))
    yield opened
    opened.close()


@pytest.fixture
def shell(bench: Bench) -> Shell:
    """A root shell on the device."""
    try:
        return bench.shell
    except LackingError as lacking:
        pytest.skip(str(lacking))


@pytest.fixture
def installed(bench: Bench, shell: Shell) -> str:
    """The path of this checkout's command, installed on the device."""
    return bench.install()


def _capability(name: str) -> Any:
    @pytest.fixture(name=name)
    def give(bench: Bench) -> Iterator[Any]:
        try:
            capability = getattr(bench, name)
        except LackingError as lacking:
            pytest.skip(str(lacking))
        capability.prepare()
        yield capability
        with contextlib.suppress(LackingError):
            bench.power.give()  # a test may end in the dark
        capability.restore()

    give.__doc__ = f"The bench's {name}, restored after the test."
    return give


power = _capability("power")
i2c = _capability("i2c")
clock = _capability("clock")
pps = _capability("pps")
ptp = _capability("ptp")
camera = _capability("camera")
cable = _capability("cable")
network = _capability("network")

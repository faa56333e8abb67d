"""Gives tests the capabilities of the bench by name, and skips what the bench lacks, with why.

One device serves the whole session. After each test, what the test used is restored.
"""

import contextlib
import os
import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil_tests.bench.capabilities import Bench, LackingError
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway
from hil_tests.bench.real.bench import RealBench
from hil_tests.bench.shell import DeviceError, Shell
from hil_tests.bench.virtual_pi.bench import VirtualBench

LONGEST = "test_power_cuts.py"
#: A test that hangs is ended after so long, s: what is emulated takes minutes, some of it hours.
LIMIT_S = 0 if os.environ.get("HIL") == "complete" else 1800
LOGGED = 5000
DEFAULT_BENCH = Path(__file__).parent / "bench.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bench", type=Path, default=DEFAULT_BENCH, help="TOML file that describes the bench"
    )
    parser.addoption("--power-cuts", type=int, default=20, help="how many; each needs a boot")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that it is not waited for at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)
    for item in items:
        item.add_marker(pytest.mark.timeout(LIMIT_S))


def open_bench(path: Path) -> Bench:
    """Return the bench that a file describes; nothing is started yet."""
    file = tomllib.loads(path.read_text())
    device = dict(file.pop("device", {}))
    kind = device.pop("kind", None)
    try:
        if kind == "virtual":
            return VirtualBench(**device, **file)
        if kind == "real":
            return RealBench(file, **device)
    except TypeError as error:
        raise pytest.UsageError(f"{path}: [device] of kind {kind!r}: {error}") from None
    raise pytest.UsageError(f"{path}: device.kind is {kind!r}; it is one of: virtual, real")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Skip a test that finds in its course that the bench lacks something."""
    try:
        return (yield)
    except LackingError as lacking:
        pytest.skip(str(lacking))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the device and the gateway logged: it may not happen again soon."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        for name in ("edge", "gateway"):
            used = item.funcargs.get(name)
            with contextlib.suppress(DeviceError):
                if isinstance(used, Edge | Gateway):
                    log = used.log if isinstance(used, Edge) else used.log.read_text()
                    report.sections.append((f"log of the {name}", log[-LOGGED:]))
    return report


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


@pytest.fixture(scope="session")
def gateway(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on the bench's computer, which all tests share."""
    try:
        network = bench.network
    except LackingError as lacking:
        pytest.skip(str(lacking))
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"),
        listen_host=network.listen_host,
        device_host=network.gateway_address,
    )
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def enrolled(bench: Bench, gateway: Gateway) -> Edge:
    """The edge application, installed on the device and enrolled at the gateway."""
    try:
        edge = Edge(bench.shell, bench.install(), gateway)
    except LackingError as lacking:
        pytest.skip(str(lacking))
    edge.install()
    edge.enrol("--force")
    return edge


@pytest.fixture
def edge(bench: Bench, gateway: Gateway, enrolled: Edge) -> Iterator[Edge]:
    """The edge application; whatever a test does with it, no (key, nonce) comes twice."""
    yield enrolled
    with contextlib.suppress(LackingError):
        bench.power.give()
    if not gateway.is_running:  # a test failed that had stopped it
        gateway.stop()
        gateway.start()
    enrolled.forget()
    assert not gateway.wire.repeats


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

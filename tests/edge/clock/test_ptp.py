"""PTP's time is the network card's or the kernel's, corrected by what ptp4l measures."""

from dataclasses import replace
from pathlib import Path

import pytest
from tickseal_edge.clock.phc import PHC, find_phc
from tickseal_edge.clock.ptp import PTPSource
from tickseal_edge.clock.ptp_management import PTPStatus

from tickseal.clock import ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal.host.clock_fake import FakeClock

SECOND = 10**9
LEAP = 37 * SECOND


class World:
    """A kernel clock, a network card's clock, and a ptp4l that measures one of them."""

    def __init__(self, *, is_hardware: bool, is_tai: bool = True) -> None:
        self.kernel = FakeClock(discipline=ClockDiscipline.NONE)
        self.card_error_ns = 0
        self.is_tai = is_tai
        self.problem = ""
        self.path = "/dev/ptp0"
        self.value = PTPStatus(
            port_state="slave",
            interface="eth0",
            is_hardware=is_hardware,
            offset_ns=0,
            path_delay_ns=1000,
            ingress_ns=0,
            grandmaster="aabbcc.fffe.ddeeff",
            accuracy_ns=100,
            clock_class=6,
            utc_offset_s=37 if is_tai else None,
            is_tai=is_tai,
            is_traceable=True,
        )
        self.source = PTPSource(
            self,
            self.kernel,
            device=self.path if is_hardware else "",
            open_phc=lambda _path: self,  # type: ignore[arg-type, return-value]
        )

    def now_ns(self) -> int:
        """The card: TAI, or UTC where the master's timescale is arbitrary."""
        return self.kernel.true_ns + self.card_error_ns - (0 if self.is_tai else LEAP)

    def close(self) -> None:
        pass

    def status(self) -> PTPStatus:
        if self.problem:
            raise ClockError(self.problem)
        if self.value.is_hardware:
            own, offset = self.now_ns(), self.card_error_ns
        else:
            own = self.kernel.now().midpoint_ns - LEAP
            offset = self.kernel.error_ns
        return replace(self.value, offset_ns=offset, ingress_ns=own - SECOND // 2)

    def error_ns(self) -> int:
        return abs(self.source.read_ns() - self.kernel.true_ns)


@pytest.mark.parametrize("is_tai", [True, False], ids=["TAI", "arbitrary timescale"])
@pytest.mark.parametrize("is_hardware", [True, False], ids=["hardware", "software"])
def test_what_is_read_is_corrected_by_the_offset(is_hardware: bool, is_tai: bool) -> None:
    world = World(is_hardware=is_hardware, is_tai=is_tai)
    world.source._takes_untraceable = True
    world.card_error_ns = 12_345
    world.kernel.step(-54_321)
    state = world.source.poll()
    assert world.error_ns() <= state.uncertainty_ns < 100_000
    assert state.offset_ns == (12_345 if is_hardware else -54_321)
    assert state.details["grandmaster"] == "aabbcc.fffe.ddeeff"


@pytest.mark.parametrize("state", ["listening", "master", "faulty", "passive"])
def test_a_port_without_a_master_tells_nothing(state: str) -> None:
    world = World(is_hardware=True)
    world.value = replace(world.value, port_state=state)
    with pytest.raises(ClockError, match=f"port state {state}"):
        world.source.poll()


def test_a_master_that_is_silent_is_lost_before_ptp4l_says_so() -> None:
    world = World(is_hardware=True)
    world.source.poll()
    silent = replace(world.value, ingress_ns=world.now_ns() - 5 * SECOND)
    world.status = lambda: silent  # type: ignore[method-assign]
    with pytest.raises(ClockError, match="no sync from the master for 5"):
        world.source.poll()


def test_a_grandmaster_without_a_reference_is_taken_only_on_demand() -> None:
    """A master without a fix may announce 1970."""
    world = World(is_hardware=True)
    world.value = replace(world.value, is_traceable=False, clock_class=248, accuracy_ns=None)
    with pytest.raises(ClockError, match="ptp_untraceable"):
        world.source.poll()
    world.source._takes_untraceable = True
    state = world.source.poll()
    assert state.uncertainty_ns > 10**6, "no accuracy is claimed: 1 ms is assumed"
    assert len(state.notes) == 2


def test_offsets_that_scatter_widen_the_uncertainty_and_another_master_starts_anew() -> None:
    world = World(is_hardware=True)
    for error in (0, 5_000, -5_000):
        world.card_error_ns = error
        wide = world.source.poll().uncertainty_ns
    assert wide > 10_000
    world.value = replace(world.value, grandmaster="112233.fffe.445566")
    assert world.source.poll().uncertainty_ns < wide - 9_000


def test_the_card_of_an_interface_is_found_through_its_vlan(tmp_path: Path) -> None:
    (tmp_path / "eth0" / "device" / "ptp" / "ptp1").mkdir(parents=True)
    (tmp_path / "eth0.5" / "lower_eth0").mkdir(parents=True)
    assert find_phc("eth0", tmp_path) == "/dev/ptp1"
    assert find_phc("eth0.5", tmp_path) == "/dev/ptp1"
    with pytest.raises(ClockError, match="no clock of its own"):
        find_phc("lo", tmp_path)


def test_the_only_clock_is_found_without_an_interface(tmp_path: Path) -> None:
    (tmp_path / "eth0" / "device" / "ptp" / "ptp1").mkdir(parents=True)
    assert find_phc("", tmp_path) == "/dev/ptp1"
    (tmp_path / "eth1" / "device" / "ptp" / "ptp2").mkdir(parents=True)
    with pytest.raises(ClockError, match=r"clock\.ptp_device"):
        find_phc("", tmp_path)


def test_a_device_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match="cannot open"):
        PHC(str(tmp_path / "ptp9"))
    path = tmp_path / "file"
    path.touch()
    card = PHC(str(path))
    with pytest.raises(ClockError, match="does not tell the time"):
        card.now_ns()
    card.close()

"""The registry, by a device that is enrolled and hostile: what it must not undo."""

from pathlib import Path

import pytest
from test_registry import invite
from tickseal_gateway.registry.registered import DeviceState, RegistryError
from tickseal_gateway.registry.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.db")


def test_a_device_that_is_revoked_while_it_stores_its_identity_stays_revoked(
    registry: Registry,
) -> None:
    made = invite()
    registry.add_invite(made)
    enrolling = registry.enrol(made, b"a" * 32, b"p" * 32, "a")
    registry.set_state(enrolling, DeviceState.REVOKED)
    # Its `stored` was on the way: the session still holds the device as it was.
    assert registry.finish_enrolment(enrolling, DeviceState.APPROVED).state is DeviceState.REVOKED
    assert registry.device_named("a").state is DeviceState.REVOKED


def test_a_revoked_device_does_not_come_back_by_an_invite_that_it_was_using(
    registry: Registry,
) -> None:
    made = invite()
    registry.add_invite(made)
    enrolling = registry.enrol(made, b"a" * 32, b"p" * 32, "a")
    registry.set_state(enrolling, DeviceState.REVOKED)
    with pytest.raises(RegistryError, match="revoked meanwhile"):
        registry.enrol(made, b"a" * 32, b"q" * 32, "a")


def test_what_people_changed_while_a_device_enrolled_is_kept(registry: Registry) -> None:
    made = invite()
    registry.add_invite(made)
    enrolling = registry.enrol(made, b"a" * 32, b"p" * 32, "a")
    registry.rename(enrolling, "b")
    assert registry.finish_enrolment(enrolling, DeviceState.APPROVED).name == "b"

"""Allowances: what a sink may read, on disk, and a registry from before there were any."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tickseal_gateway.registry import allowances, schema
from tickseal_gateway.registry.registered import Allowance, DeviceState, Invite, RegistryError
from tickseal_gateway.registry.registry import Registry

from tickseal.sessions.control import Role

names = st.text("ab/*", min_size=1, max_size=6)


def invite(role: Role, key: int) -> Invite:
    return Invite(
        id=bytes([key]) * 8, secret=b"s" * 32, name=None, hybrid=True, created_ns=0,
        expires_ns=10**18, role=role,
    )  # fmt: skip


def enrol(registry: Registry, role: Role, name: str, key: int) -> int:
    made = invite(role, key)
    registry.add_invite(made)
    device = registry.enrol(made, bytes([key]) * 32, b"p" * 32, name)
    return registry.finish_enrolment(device, DeviceState.APPROVED).id


@given(names, names)
def test_a_pattern_covers_an_id_or_all_that_begin_so(pattern: str, stream: str) -> None:
    allowance = Allowance(sink_id=1, pattern=pattern)
    if pattern[-1] == "*":
        assert allowance.covers(stream) is (stream[: len(pattern) - 1] == pattern[:-1])
    else:
        assert allowance.covers(stream) is (stream == pattern)


def test_the_longest_allowance_counts_until_its_instant(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    number = enrol(registry, Role.SINK, "office", 1)
    sink = registry.device(number)
    assert sink is not None
    held = registry.allowances
    assert held.until(number, "garden/a", 0) == 0
    held.allow(sink, "garden/a", 100)
    held.allow(sink, "garden/*", 200)
    assert [held.until(number, "garden/a", now) for now in (0, 99, 199, 200)] == [200, 200, 200, 0]
    held.allow(sink, "*")
    assert held.until(number, "house", 10**18) == (1 << 63) - 1
    held.allow(sink, "*", 50)
    assert held.until(number, "house", 0) == 50
    assert held.until(number + 1, "house", 0) == 0
    again = Registry(tmp_path / "registry.db").allowances
    assert again.of(number) == held.of(number)


def test_what_was_recorded_is_open_as_long_as_the_allowance_and_from_its_instant_on(
    tmp_path: Path,
) -> None:
    registry = Registry(tmp_path / "registry.db")
    number = enrol(registry, Role.SINK, "office", 1)
    sink = registry.device(number)
    assert sink is not None
    held = registry.allowances
    held.allow(sink, "garden/a", until_ns=100, since_ns=20)
    held.allow(sink, "garden/*", until_ns=200, since_ns=30)
    held.allow(sink, "*")
    since = [held.since(number, "garden/a", now) for now in (0, 99, 100, 199, 200)]
    assert since == [20, 20, 30, 30, None]
    # Taken back and given anew without the past, it is without it after a restart too.
    held.disallow(sink, "garden/a")
    held.allow(sink, "garden/a")
    again = Registry(tmp_path / "registry.db").allowances
    assert again.since(number, "garden/a", 0) == held.since(number, "garden/a", 0) == 30


def test_a_sink_has_so_many_allowances_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "_MOST", 2)
    registry = Registry(tmp_path / "registry.db")
    sink = registry.device(enrol(registry, Role.SINK, "office", 1))
    assert sink is not None
    for pattern in ("a", "b", "a"):
        registry.allowances.allow(sink, pattern)
    with pytest.raises(RegistryError, match="allow a beginning"):
        registry.allowances.allow(sink, "c")


def test_a_registry_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    source = enrol(registry, Role.SOURCE, "garden", 1)
    registry.close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for statement in (
            "ALTER TABLE devices DROP COLUMN role",
            "ALTER TABLE devices DROP COLUMN tags",
            "ALTER TABLE devices DROP COLUMN limits",
            "ALTER TABLE invites DROP COLUMN role",
            "DROP TABLE allowances",
            "UPDATE schema_version SET version = 1",
        ):
            connection.execute(sa.text(statement))
    engine.dispose()
    registry = Registry(path)
    device = registry.device(source)
    assert device is not None
    assert (device.name, device.role) == ("garden", Role.SOURCE)
    assert [made.role for made in registry.invites()] == [Role.SOURCE]
    number = enrol(registry, Role.SINK, "office", 2)
    sink = registry.device(number)
    assert sink is not None
    registry.allowances.allow(sink, "garden")
    registry.close()
    again = Registry(path)
    assert again.device(number) == sink
    assert again.allowances.until(number, "garden", 0)
    with schema.open_engine("", path).connect() as connection:
        assert connection.execute(sa.select(schema.schema.c.version)).scalar() == schema.VERSION

"""The registry in PostgreSQL, by its URL alone: the same as in SQLite."""

from collections.abc import Iterator
from pathlib import Path

import postgresql
import pytest
import running_gateway
import sqlalchemy as sa
from running_gateway import GatewayFactory, run
from source_device import Device, until
from test_registry import enrolled, invite
from tickseal_gateway.registry import schema
from tickseal_gateway.registry.limits import Limits
from tickseal_gateway.registry.registered import DeviceState, OfflineGeneration, Stream
from tickseal_gateway.registry.registry import Registry

from tickseal import StreamMetadata
from tickseal.core.errors import StoreError
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role

pytestmark = pytest.mark.skipif(bool(postgresql.hindrance()), reason=postgresql.hindrance())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.database() as url:
        yield url


@pytest.fixture
def url(server: str) -> Iterator[str]:
    yield server
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        schema.schema.metadata.drop_all(connection)
    engine.dispose()


def test_all_of_it_is_there_after_a_restart(url: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "none", url=url)
    device = enrolled(registry)
    (stream,) = registry.claim_streams(device, [StreamMetadata(id="s", type="t")])
    assert isinstance(stream, Stream)
    offline = OfflineGeneration(handle=stream.handle, number=(1 << 64) - 1, stored_until=9)
    registry.offline.keep(offline)
    device = registry.set_tags(registry.rename(device, "porch"), ("north",))
    device = registry.set_limits(device, Limits(bytes_per_s=1 << 40))
    registry.set_state(device, DeviceState.REVOKED)
    sink = registry.add_invite(invite(2, name="office", role=Role.SINK))
    assert sink is None
    made = next(each for each in registry.invites() if each.name == "office")
    office = registry.finish_enrolment(
        registry.enrol(made, b"o" * 32, b"p" * 32, "office"), DeviceState.APPROVED
    )
    registry.allowances.allow(office, "garden/*", None, 5)
    registry.allowances.allow(office, "yard/camera", (1 << 62), None)
    registry.add_invite(invite(3, name="garden"))
    before = (registry.devices(), registry.streams(), registry.invites())
    allowed = registry.allowances.of(office.id)
    registry.close()
    again = Registry(tmp_path / "none", url=url)
    assert (again.devices(), again.streams(), again.invites()) == before
    assert sorted(again.allowances.of(office.id), key=lambda a: a.pattern) == sorted(
        allowed, key=lambda a: a.pattern
    )
    assert again.offline.get(stream.handle, (1 << 64) - 1) == offline
    again.close()
    assert not (tmp_path / "none").exists()


def test_a_registry_of_the_first_version_is_brought_up_to_date(url: str, tmp_path: Path) -> None:
    Registry(tmp_path / "none", url=url).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for column in ("role", "tags", "limits"):
            connection.execute(sa.text(f"ALTER TABLE devices DROP COLUMN {column}"))
        connection.execute(sa.text("ALTER TABLE invites DROP COLUMN role"))
        connection.execute(sa.text("DROP TABLE recalls"))
        connection.execute(schema.schema.update().values(version=1))
    engine.dispose()
    registry = Registry(tmp_path / "none", url=url)
    assert enrolled(registry).tags == ()
    registry.close()


def test_a_gateway_works_on_it(
    url: str, gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = running_gateway.BASE.replace("port = 0\n", f'port = 0\nregistry = "{url}"\n', 1)
    monkeypatch.setattr(running_gateway, "BASE", named)

    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(str((await view.invite(name="garden"))["token"]))
            async with device.connected():
                await device.open()
                await device.send(21)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)
                await view.rename("garden", "porch")
                assert await view.tag("porch", add=("north",)) == ("north",)
        assert not (gateways.state / "registry.db").exists()
        async with gateways.inside() as view:
            (row,) = view.snapshot()["devices"]
            assert (row["name"], row["tags"]) == ("porch", ["north"])
            device.move(view)
            async with device.connected():
                await device.open()
                await view.revoke("porch")
                await device.wait_for(ev.SessionClosed)

    run(main())


def test_a_server_that_is_away_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open the registry"):
        Registry(tmp_path / "none", url=f"postgresql+psycopg://x@/postgres?host={tmp_path}")

"""The registry: what was answered is on the disk, whole, in files that only their owner reads."""

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tickseal_gateway.ingest.table import BACKFILLED_MOST
from tickseal_gateway.registry import offline, schema
from tickseal_gateway.registry.registered import (
    Device,
    DeviceState,
    Invite,
    OfflineGeneration,
    OpeningRefusedError,
    RegistryError,
    Stream,
)
from tickseal_gateway.registry.registry import Registry

from tickseal import StreamMetadata
from tickseal.core.errors import StoreError


def invite(number: int = 1, **values: object) -> Invite:
    known: dict[str, object] = {
        "id": number.to_bytes(8, "big"),
        "secret": bytes([number]) * 32,
        "name": None,
        "hybrid": True,
        "created_ns": 0,
        "expires_ns": 1 << 62,
    }
    return Invite(**{**known, **values})  # type: ignore[arg-type]


def enrolled(registry: Registry, number: int = 1) -> Device:
    made = invite(number)
    registry.add_invite(made)
    device = registry.enrol(made, bytes([number]) * 32, b"p" * 32, f"device-{number}")
    return registry.finish_enrolment(device, DeviceState.APPROVED)


def claimed(registry: Registry, device: Device, *wanted: StreamMetadata) -> list[Stream]:
    streams = registry.claim_streams(device, wanted)
    assert all(isinstance(stream, Stream) for stream in streams)
    return streams  # type: ignore[return-value] # as was asserted


def test_outages_leave_no_more_behind_than_a_device_can_offer_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offline.MOST > BACKFILLED_MOST
    monkeypatch.setattr(offline, "MOST", 8)
    registry = Registry(tmp_path / "registry.db")
    device = enrolled(registry)
    one, other = claimed(registry, device, *(StreamMetadata(id=id_, type="t") for id_ in "ab"))
    kept = OfflineGeneration(handle=other.handle, number=1)
    registry.offline.keep(kept)
    numbers = range(1000, 1000 + offline.MOST + 3)
    for number in numbers:
        generation = OfflineGeneration(handle=one.handle, number=number)
        registry.offline.keep(generation)
        registry.offline.keep(replace(generation, is_finished=True))
    for _ in range(2):  # and after a restart
        known = [n for n in numbers if registry.offline.get(one.handle, n)]
        assert known == list(numbers[3:])
        assert registry.offline.get(other.handle, 1) == kept
        registry.close()
        registry = Registry(tmp_path / "registry.db")
    registry.close()


def test_all_of_it_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    device = enrolled(registry)
    metadata = StreamMetadata(id="s", type="t", unit="Cel", extra={"content": "x"})
    (stream,) = claimed(registry, device, metadata)
    kept = OfflineGeneration(handle=stream.handle, number=(1 << 64) - 1, stored_until=9)
    registry.offline.keep(kept)
    registry.add_invite(invite(2, name="porch"))
    before = (registry.devices(), registry.streams(), registry.invites())
    registry.close()
    again = Registry(path)
    assert (again.devices(), again.streams(), again.invites()) == before
    assert again.offline.get(stream.handle, (1 << 64) - 1) == kept
    assert again.device_of_key(device.static_public) == device
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_erased_with_the_invite_and_never_shown(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    device = enrolled(registry)
    (used,) = registry.invites()
    assert used.secret == b""
    assert used.used_ns is not None
    assert "ppp" not in repr(device)
    assert "secret" not in repr(used)
    registry.close()


def test_an_invite_is_bound_to_one_key(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    made = invite()
    registry.add_invite(made)
    registry.enrol(made, b"a" * 32, b"p" * 32, "a")
    with pytest.raises(RegistryError, match="used or withdrawn meanwhile"):
        registry.enrol(made, b"b" * 32, b"p" * 32, "b")
    device = registry.enrol(made, b"a" * 32, b"q" * 32, "a")
    assert device.psk == b"q" * 32
    registry.finish_enrolment(device, DeviceState.APPROVED)
    # Another PSK now would lock out the device that has just stored this one.
    with pytest.raises(RegistryError, match="used or withdrawn meanwhile"):
        registry.enrol(made, b"a" * 32, b"r" * 32, "a")
    assert [one.psk for one in registry.devices()] == [b"q" * 32]
    registry.close()


def test_no_two_devices_get_one_name(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    enrolled(registry, 1)
    registry.add_invite(invite(2))
    with pytest.raises(RegistryError, match="given to another device meanwhile"):
        registry.enrol(invite(2), b"b" * 32, b"p" * 32, "device-1")
    registry.close()


def test_a_stream_has_one_handle_for_life(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    device = enrolled(registry)
    (first,) = claimed(registry, device, StreamMetadata(id="s", type="t"))
    (changed,) = claimed(registry, device, StreamMetadata(id="s", type="t", unit="Cel"))
    assert first.handle == changed.handle != 0
    assert changed.metadata.unit == "Cel"
    registry.close()


def test_streams_claimed_at_once_are_each_new_known_taken_over_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    one, other, revoked = (enrolled(registry, number) for number in (1, 2, 3))
    wanted = [StreamMetadata(id=id_, type="t") for id_ in ("new", "known", "left", "taken")]
    (known,) = claimed(registry, one, wanted[1])
    (left,) = claimed(registry, revoked, wanted[2])
    claimed(registry, other, wanted[3])
    registry.set_state(revoked, DeviceState.REVOKED)
    new, same, over, taken = registry.claim_streams(one, wanted)
    assert isinstance(new, Stream)
    assert isinstance(over, Stream)
    assert isinstance(taken, OpeningRefusedError)
    assert same == known
    assert registry.streams_of(one.id) == [known, new, over]
    assert registry.stream(left.handle) == replace(left, is_retired=True)
    before = {stream.handle: stream for stream in registry.streams()}
    registry.close()
    again = Registry(path)
    assert {stream.handle: stream for stream in again.streams()} == before
    assert again.stream_named("left") == over
    again.close()


def test_the_low_bytes_of_a_devices_handles_differ_as_long_as_they_can(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    device = enrolled(registry)
    names = [f"s{number}" for number in range(258)]
    for one, *others in (names[:1], names[1:200], names[200:]):
        claimed(registry, device, *(StreamMetadata(id=id_, type="t") for id_ in (one, *others)))
    handles = [stream.handle for stream in registry.streams_of(device.id)]
    assert len(set(handles)) == 258
    assert len({handle & 0xFF for handle in handles[:256]}) == 256
    registry.close()


def test_a_name_is_free_again_after_its_device_was_revoked(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db")
    device = enrolled(registry)
    with pytest.raises(RegistryError, match="belongs to another device"):
        registry.check_name(device.name)
    registry.set_state(device, DeviceState.REVOKED)
    registry.check_name(device.name)
    registry.close()


def test_memory_and_disk_agree_where_the_disk_refuses(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    registry = Registry(path)
    device = enrolled(registry)
    holder = sa.create_engine(f"sqlite:///{path}")
    with holder.connect() as other:
        other.execute(sa.text("BEGIN IMMEDIATE"))
        with pytest.raises(StoreError, match="another program holds it"):
            registry.set_state(device, DeviceState.REVOKED)
    holder.dispose()
    assert registry.devices() == [device]
    registry.close()


def test_a_registry_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    Registry(path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(schema.schema.update().values(version=99))
    engine.dispose()
    with pytest.raises(StoreError, match="made by a newer tickseal"):
        Registry(path)


def test_a_damaged_registry_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match="put it back from a backup"):
        Registry(path)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_registry import enrolled
from tickseal_gateway.registry.registry import Registry
registry = Registry(Path(sys.argv[1]))
for number in range(1, 200):
    enrolled(registry, number)
    print(number, flush=True)
"""


def test_a_kill_loses_no_device_that_was_told_of_its_enrolment(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, Path(__file__).parent],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout
    said = [int(writer.stdout.readline()) for _ in range(15)]
    os.kill(writer.pid, signal.SIGKILL)
    said += [int(line) for line in writer.communicate()[0].split()]
    registry = Registry(path)
    approved = [d.name for d in registry.devices() if d.state is DeviceState.APPROVED]
    assert approved[: len(said)] == [f"device-{number}" for number in said]
    # Binding an invite and registering its device is one step: never the one without the other.
    bound = {invite.bound_key for invite in registry.invites()} - {None}
    assert bound == {device.static_public for device in registry.devices()}
    registry.close()

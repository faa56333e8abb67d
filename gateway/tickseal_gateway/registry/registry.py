"""The registry: devices, streams, offline generations and invites, on disk before anybody is told.

All of it is also held in memory, so that reading costs nothing; one process owns it. Methods that
write block for a sync of the disk: call them off the event loop, one at a time.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tickseal.streams.metadata import StreamMetadata
from tickseal_gateway.registry import schema
from tickseal_gateway.registry.allowances import Allowances
from tickseal_gateway.registry.limits import NO_LIMITS, Limits
from tickseal_gateway.registry.offline import OfflineGenerations
from tickseal_gateway.registry.registered import (
    Device,
    DeviceState,
    Invite,
    OpeningRefusedError,
    RegistryError,
    Stream,
)

_LATER = "choose another"


class Registry:
    """All that must outlive the process, besides the gateway's key.

    Attributes:
        allowances: which sink may read what.
    Raises (every method that writes):
        StoreError: the database refuses; memory and disk are as before.
    """

    def __init__(
        self, path: Path, *, url: str = "", now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._where = "the registry" if url else str(path)
        self._engine = schema.open_engine(url, path)
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._devices: dict[int, Device] = {}
        self._by_key: dict[bytes, Device] = {}
        self._streams: dict[int, Stream] = {}
        self._by_name: dict[str, Stream] = {}
        self._by_device: dict[int, dict[int, None]] = {}
        self._invites: dict[bytes, Invite] = {}
        self.allowances = Allowances(self._engine, self._where, self._lock)
        self.offline = OfflineGenerations(self._engine, self._where, self._lock, now_ns)
        with schema.explained("read", self._where), self._engine.connect() as connection:
            self._load(connection)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    # --- Reading: from memory, safe on any thread ---

    def devices(self) -> list[Device]:
        """Return all devices, those revoked too, in the order of enrolment."""
        return list(self._devices.values())

    def device(self, device_id: int) -> Device | None:
        """Return a device by the registry's number."""
        return self._devices.get(device_id)

    def device_of_key(self, static_public: bytes) -> Device | None:
        """Return the device that has a static key."""
        return self._by_key.get(static_public)

    def device_named(self, name: str) -> Device:
        """Return the device of a name, preferably one that is not revoked.

        Raises:
            RegistryError: there is none.
        """
        found = [device for device in self.devices() if device.name == name]
        if not found:
            known = ", ".join(sorted({device.name for device in self.devices()})[:20])
            raise RegistryError(f"there is no device {name!r}; known: {known or 'none yet'}")
        return min(found, key=lambda device: device.state is DeviceState.REVOKED)

    def streams(self) -> list[Stream]:
        """Return all streams."""
        return list(self._streams.values())

    def stream(self, handle: int) -> Stream | None:
        """Return the stream that has a handle."""
        return self._streams.get(handle)

    def stream_named(self, stream_id: str) -> Stream | None:
        """Return the stream of a name that is not retired."""
        return self._by_name.get(stream_id)

    def streams_of(self, device_id: int) -> list[Stream]:
        """Return the streams of a device that are not retired."""
        handles = list(self._by_device.get(device_id, ()))
        return [s for handle in handles if not (s := self._streams[handle]).is_retired]

    def invites(self) -> list[Invite]:
        """Return all invites that are remembered."""
        return list(self._invites.values())

    # --- Invites and enrolment ---

    def add_invite(self, invite: Invite) -> None:
        """Remember an invite; forget those that expired or were used up more than a day ago."""
        row = {column.name: getattr(invite, column.name) for column in schema.invites.c}
        old = self._now_ns() - 86_400_000_000_000
        with self._lock:
            gone = [i.id for i in self._invites.values() if max(i.used_ns or 0, i.expires_ns) < old]
            with self._transaction() as connection:
                connection.execute(schema.invites.delete().where(schema.invites.c.id.in_(gone)))
                connection.execute(schema.invites.insert().values(row))
            for invite_id in gone:
                del self._invites[invite_id]
            self._invites[invite.id] = invite

    def withdraw_invite(self, invite: Invite) -> None:
        """Forget an invite, with its secret: nobody can enrol with it any more."""
        with self._lock:
            with self._transaction() as connection:
                connection.execute(schema.invites.delete().where(schema.invites.c.id == invite.id))
            self._invites.pop(invite.id, None)

    def enrol(self, invite: Invite, static_public: bytes, psk: bytes, name: str) -> Device:
        """Bind an invite to a key, and register that key's device with a new PSK; in one step.

        Args:
            name: as the device was told.
        Raises:
            RegistryError: meanwhile the invite became another key's, the name another device's, or
                the device was revoked.
        """
        with self._lock:
            known = self._by_key.get(static_public)
            current = self._invites.get(invite.id)
            if (
                current is None
                or current.used_ns is not None
                or current.bound_key not in (None, static_public)
            ):
                raise RegistryError("the invite was used or withdrawn meanwhile")
            if known is not None and known.state is DeviceState.REVOKED:
                raise RegistryError(f"{known.name!r} was revoked meanwhile")
            invite = current
            for device in self.devices():
                if (
                    device.name == name
                    and device.state is not DeviceState.REVOKED
                    and device.static_public != static_public
                ):
                    raise RegistryError(f"the name {name!r} was given to another device meanwhile")
            values = {
                "name": name,
                "static_public": static_public,
                "psk": psk,
                "hybrid": invite.hybrid,
                "state": DeviceState.ENROLLING,
                "enrolled_ns": self._now_ns(),
                "role": invite.role,
            }
            bound = replace(invite, bound_key=static_public)
            with self._transaction() as connection:
                if known is None:
                    given = {**values, "tags": (), "limits": NO_LIMITS}
                    result = connection.execute(schema.devices.insert().values(given))
                    device_id = int(result.inserted_primary_key[0])  # type: ignore[index] # there is one
                    device = Device(id=device_id, **values)  # type: ignore[arg-type]
                else:
                    device = replace(known, **values)  # type: ignore[arg-type]
                    self._update_device(connection, known.id, **values)
                connection.execute(
                    schema.invites.update()
                    .where(schema.invites.c.id == invite.id)
                    .values(bound_key=static_public)
                )
            self._invites[invite.id] = bound
            return self._keep(device)

    def finish_enrolment(self, device: Device, state: DeviceState) -> Device:
        """Use up the invites bound to a device, erase their secrets, and let it be `state`.

        Returns:
            The device as it is then: one that was revoked meanwhile stays so.
        """
        with self._lock:
            device = self._devices[device.id]
            if device.state is DeviceState.REVOKED:
                state = device.state
            now = self._now_ns()
            bound = [
                invite
                for invite in self._invites.values()
                if invite.bound_key == device.static_public and invite.used_ns is None
            ]
            with self._transaction() as connection:
                self._update_device(connection, device.id, state=state)
                connection.execute(
                    schema.invites.update()
                    .where(schema.invites.c.id.in_([invite.id for invite in bound]))
                    .values(used_ns=now, secret=b"")
                )
            for invite in bound:
                self._invites[invite.id] = replace(invite, used_ns=now, secret=b"")
            return self._keep(replace(device, state=state))

    def free_name(self, promised: Collection[str] = ()) -> str:
        """Return a name that no device has, or is about to have: "device-1" and so on."""
        taken = {device.name for device in self._devices.values()} | set(promised)
        number = len(self._devices) + 1
        while f"device-{number}" in taken:
            number += 1
        return f"device-{number}"

    def check_name(self, name: str) -> None:
        """Check that a device may be called so.

        Raises:
            RegistryError: it is empty, too long, not printable, or taken.
        """
        if not 1 <= len(name.encode()) <= 64 or not name.isprintable() or name != name.strip():
            raise RegistryError("a device's name is 1 to 64 printable characters")
        for device in self.devices():
            if device.name == name and device.state is not DeviceState.REVOKED:
                raise RegistryError(f"the name {name!r} belongs to another device; {_LATER}")
        now = self._now_ns()
        for invite in self.invites():
            if invite.name == name and not invite.used_ns and invite.expires_ns > now:
                raise RegistryError(
                    f"the name {name!r} is promised by another invite; {_LATER}, or withdraw that "
                    f"one: tickseal gateway withdraw {invite.id.hex()}"
                )

    def set_state(self, device: Device, state: DeviceState) -> Device:
        """Let a device be approved, pending or revoked."""
        return self._change(device, state=state)

    def rename(self, device: Device, name: str) -> Device:
        """Give a device another name.

        Raises:
            RegistryError: as check_name().
        """
        self.check_name(name)
        return self._change(device, name=name)

    def set_tags(self, device: Device, tags: tuple[str, ...]) -> Device:
        """Give a device other tags, in place of those that it has."""
        return self._change(device, tags=tags)

    def set_limits(self, device: Device, limits: Limits) -> Device:
        """Give a device other limits."""
        return self._change(device, limits=limits)

    # --- Streams and generations ---

    def claim_streams(
        self, device: Device, wanted: Sequence[StreamMetadata]
    ) -> list[Stream | OpeningRefusedError]:
        """Return a device's streams by their metadata's ids; register those that are new.

        They get random handles, and are on the disk in one step.

        Returns:
            For each its stream, or why not: the id belongs to another device, not revoked.
        """
        claims: list[Stream | OpeningRefusedError] = []
        changed: list[Stream] = []
        with self._lock:
            with self._transaction() as connection:
                for metadata in wanted:
                    try:
                        claims.append(self._claim(connection, device, metadata, changed))
                    except OpeningRefusedError as refusal:
                        claims.append(refusal)
            for stream in changed:
                self._keep_stream(stream)
        return claims

    # --- Private ---

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with schema.explained("write to", self._where), self._engine.begin() as connection:
            yield connection

    def _update_device(self, connection: sa.Connection, device_id: int, **values: object) -> None:
        connection.execute(
            schema.devices.update().where(schema.devices.c.id == device_id).values(**values)
        )

    def _update_stream(self, connection: sa.Connection, stream: Stream, **values: object) -> None:
        connection.execute(
            schema.streams.update().where(schema.streams.c.handle == stream.handle).values(**values)
        )

    def _change(self, device: Device, **values: Any) -> Device:
        with self._lock:
            with self._transaction() as connection:
                self._update_device(connection, device.id, **values)
            return self._keep(replace(self._devices[device.id], **values))

    def _keep(self, device: Device) -> Device:
        self._devices[device.id] = device
        self._by_key[device.static_public] = device
        return device

    def _keep_stream(self, stream: Stream) -> None:
        self._streams[stream.handle] = stream
        self._by_device.setdefault(stream.device_id, {})[stream.handle] = None
        if not stream.is_retired:
            self._by_name[stream.id] = stream

    def _claim(
        self,
        connection: sa.Connection,
        device: Device,
        metadata: StreamMetadata,
        changed: list[Stream],
    ) -> Stream:
        """Write one claim; what is to be kept once that is on the disk is added to `changed`."""
        known = self._by_name.get(metadata.id)
        if known is not None and known.device_id == device.id:
            if known.metadata == metadata:
                return known
            stream = replace(known, metadata=metadata)
            self._update_stream(connection, known, metadata=metadata.encode())
            changed.append(stream)
            return stream
        if known is not None:
            owner = self._devices[known.device_id]
            if owner.state is not DeviceState.REVOKED:
                raise OpeningRefusedError(
                    "taken",
                    f"the stream {known.id!r} belongs to the device {owner.name!r}; {_LATER} id",
                )
            self._update_stream(connection, known, is_retired=True)
            changed.append(replace(known, is_retired=True))
        stream = Stream(
            handle=self._free_handle(device, changed),
            id=metadata.id,
            device_id=device.id,
            metadata=metadata,
        )
        connection.execute(
            schema.streams.insert().values(
                handle=stream.handle,
                stream=stream.id,
                device_id=device.id,
                metadata=metadata.encode(),
                is_retired=False,
                opened_ns=self._now_ns(),
            )
        )
        changed.append(stream)
        return stream

    def _free_handle(self, device: Device, changed: Sequence[Stream]) -> int:
        new = [stream.handle for stream in changed]
        # A compact header carries the low byte: unlike those of the device's other streams.
        low = {handle & 0xFF for handle in (*self._by_device.get(device.id, ()), *new)}
        while True:
            handle = int.from_bytes(os.urandom(4), "big")
            is_taken = handle in self._streams or handle in new
            is_clash = handle & 0xFF in low and len(low) <= 0xFF
            if handle and not is_taken and not is_clash:
                return handle

    def _load(self, connection: sa.Connection) -> None:
        for row in connection.execute(schema.devices.select().order_by("id")).mappings():
            self._keep(Device(**{**row, "state": DeviceState(row["state"])}))
        for row in connection.execute(schema.streams.select()).mappings():
            self._keep_stream(
                Stream(
                    handle=row["handle"],
                    id=row["stream"],
                    device_id=row["device_id"],
                    metadata=StreamMetadata.decode(row["metadata"]),
                    is_retired=row["is_retired"],
                )
            )
        for row in connection.execute(schema.invites.select()).mappings():
            self._invites[row["id"]] = Invite(**row)

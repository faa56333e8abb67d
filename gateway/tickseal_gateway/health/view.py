"""View: the GatewayView of the running gateway, and its commands over the control socket."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from tickseal.host.control_socket import Handler, Watcher
from tickseal.sessions.control import Role
from tickseal_gateway.frames.frames import Frame, told
from tickseal_gateway.frames.readings import Picture
from tickseal_gateway.health.status import Json, Parts, make_snapshot
from tickseal_gateway.ingest.streams import LiveStream
from tickseal_gateway.registry.registered import RegistryError

_HOUR_NS = 3600 * 1_000_000_000
_FRESH_S = 0.1
_SHARE = 20
_EVERY_S = 0.2


class View:
    """What everybody besides the devices sees of the running gateway, and may ask of it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._controller = parts.controller
        self._administration = parts.administration
        self._snapshot: Json = {}
        self._stale_s = float("-inf")

    def snapshot(self) -> Json:
        """Return everything; at most 100 ms old, so that many readers cost no more than one.

        With thousands of streams it is older: making it takes a twentieth of the time at most.
        """
        began = time.monotonic()
        if began >= self._stale_s:
            self._snapshot = make_snapshot(self._parts)
            ended = time.monotonic()
            self._stale_s = ended + max(_FRESH_S, _SHARE * (ended - began))
        return self._snapshot

    def set_page(self, url: str) -> None:
        """Note where the page is, once it is served."""
        self._parts = replace(self._parts, page=url)
        self._stale_s = float("-inf")

    def latest_picture(self, stream_id: str) -> Picture | None:
        """Return the newest picture of a stream by its id."""
        live = self._live(stream_id)
        return live.picture if live else None

    def pictures_after(self, stream_id: str, last: Picture | None) -> Sequence[Picture]:
        """Return a stream's pictures that follow one, or else those from the last key on."""
        live = self._live(stream_id)
        return live.footage.after(last) if live else ()

    def stream(self, *streams: str) -> AsyncIterator[Frame]:
        """Yield the frames of chosen streams from now on, until the gateway stops.

        Args:
            streams: shell patterns of stream ids; none: every stream.
        """
        return self._controller.ingest.feed.stream(streams)

    def _live(self, stream_id: str) -> LiveStream | None:
        stream = self._controller.registry.stream_named(stream_id)
        return self._parts.table.get(stream.handle) if stream else None

    async def subscribe(self) -> AsyncIterator[Json]:
        """Yield snapshots, five a second, until the gateway stops."""
        while True:
            yield self.snapshot()
            await asyncio.sleep(_EVERY_S)

    async def invite(
        self,
        *,
        name: str | None = None,
        lifetime_ns: int = _HOUR_NS,
        hybrid: bool = True,
        addresses: Sequence[str] = (),
        role: Role = Role.SOURCE,
    ) -> Json:
        """Make an invite."""
        return await self._controller.durably(
            lambda: self._administration.invite(
                name=name,
                lifetime_ns=lifetime_ns,
                hybrid=hybrid,
                addresses=addresses,
                role=role,
            )
        )

    async def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless."""
        await self._controller.durably(lambda: self._administration.withdraw(invite_id))

    async def approve(self, name: str) -> None:
        """Let a device that waits open streams."""
        self._controller.apply(
            await self._controller.durably(lambda: self._administration.approve(name))
        )

    async def rename(self, name: str, new_name: str) -> None:
        """Give a device another name."""
        self._controller.apply(
            await self._controller.durably(lambda: self._administration.rename(name, new_name))
        )

    async def tag(
        self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[str]:
        """Give a device tags, and take some away; return those that it has."""
        device = await self._controller.durably(lambda: self._administration.tag(name, add, remove))
        self._controller.apply(device)
        return device.tags

    async def limit(self, name: str, changes: dict[str, int | None]) -> Json:
        """Set some of a device's limits; None takes one away. Return those that it has."""
        device = await self._controller.durably(lambda: self._administration.limit(name, changes))
        self._controller.apply(device)
        return device.limits.to_json()

    async def revoke(self, name: str) -> None:
        """Refuse a device for good; its session and streams end at once."""
        self._controller.apply(
            await self._controller.durably(lambda: self._administration.revoke(name))
        )

    async def rekey(self, name: str | None) -> int:
        """Ask a device, or all, for new generations; return of how many streams."""
        registry = self._controller.registry
        if name is not None:
            return self._controller.rekey(registry.device_named(name))
        asked = 0
        for device in registry.devices():
            with contextlib.suppress(RegistryError):  # not connected
                asked += self._controller.rekey(device)
        return asked

    async def allow(
        self,
        name: str,
        pattern: str,
        until_ns: int | None = None,
        since_ns: int | None = None,
    ) -> None:
        """Let a sink read streams."""
        administration = self._administration
        self._controller.apply(
            await self._controller.durably(
                lambda: administration.allow(name, pattern, until_ns, since_ns)
            )
        )

    async def disallow(self, name: str, pattern: str) -> None:
        """Take an allowance back; what the sink may not read any more ends at once."""
        administration = self._administration
        self._controller.apply(
            await self._controller.durably(lambda: administration.disallow(name, pattern))
        )

    # --- Over the control socket ---

    def commands(self) -> dict[str, Handler]:
        """Return what the control socket can do, by name."""

        async def status(_: dict[str, Any]) -> object:
            return self.snapshot()

        async def devices(_: dict[str, Any]) -> object:
            return self.snapshot()["devices"]

        async def invite(request: dict[str, Any]) -> object:
            return await self.invite(
                name=request.get("name"),
                lifetime_ns=int(request.get("lifetime_ns", _HOUR_NS)),
                hybrid=bool(request.get("hybrid", True)),
                addresses=tuple(map(str, request.get("addresses", ()))),
                role=Role(request.get("role", Role.SOURCE.value)),
            )

        async def invites(_: dict[str, Any]) -> object:
            return self._administration.invites()

        async def withdraw(request: dict[str, Any]) -> object:
            await self.withdraw(str(request["id"]))
            return None

        async def approve(request: dict[str, Any]) -> object:
            await self.approve(str(request["name"]))
            return None

        async def rename(request: dict[str, Any]) -> object:
            await self.rename(str(request["name"]), str(request["new_name"]))
            return None

        async def tag(request: dict[str, Any]) -> object:
            add, remove = request.get("add", ()), request.get("remove", ())
            return list(
                await self.tag(str(request["name"]), tuple(map(str, add)), tuple(map(str, remove)))
            )

        async def limit(request: dict[str, Any]) -> object:
            return await self.limit(str(request["name"]), dict(request["limits"]))

        async def revoke(request: dict[str, Any]) -> object:
            await self.revoke(str(request["name"]))
            return None

        async def rekey(request: dict[str, Any]) -> object:
            return await self.rekey(request.get("name"))

        async def allow(request: dict[str, Any]) -> object:
            until_ns, since_ns = request.get("until_ns"), request.get("since_ns")
            await self.allow(
                str(request["name"]),
                str(request["stream"]),
                None if until_ns is None else int(until_ns),
                None if since_ns is None else int(since_ns),
            )
            return None

        async def disallow(request: dict[str, Any]) -> object:
            await self.disallow(str(request["name"]), str(request["stream"]))
            return None

        async def allowances(_: dict[str, Any]) -> object:
            return self._administration.allowances()

        handlers = (
            status, devices, invite, invites, withdraw, approve, rename, tag, limit, revoke,
            rekey, allow, disallow, allowances,
        )  # fmt: skip
        return {handler.__name__: handler for handler in handlers}

    def watchers(self) -> dict[str, Watcher]:
        """Return what the control socket can watch, by name."""

        def watch(_: dict[str, Any]) -> AsyncIterator[object]:
            return self.subscribe()

        def stream(request: dict[str, Any]) -> AsyncIterator[object]:
            return told(self.stream(*map(str, request.get("streams", ()))))

        return {"watch": watch, "stream": stream}

"""A gateway that a test makes up, for routes alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tickseal_gateway.frames.readings import Picture
from tickseal_gateway.registry.registered import RegistryError

from tickseal.payloads import pictures


class FakeView:
    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.pictures: dict[str, Picture] = {}

    def snapshot(self) -> dict[str, Any]:
        return {
            "gateway": {"name": "fake", "now_ns": time.time_ns()},
            "devices": [],
            "streams": [],
            "totals": {"frames": 0},
        }

    def latest_picture(self, stream_id: str) -> Picture | None:
        return self.pictures.get(stream_id)

    async def subscribe(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield self.snapshot()
            await asyncio.sleep(0.2)

    async def invite(
        self,
        *,
        name: str | None = None,
        lifetime_ns: int = 0,
        hybrid: bool = True,
        addresses: Sequence[str] = (),
    ) -> dict[str, Any]:
        self.done.append(("invite", (name, lifetime_ns, hybrid)))
        return {"token": "tks1_" + "abc" * 60, "name": name}

    async def withdraw(self, invite_id: str) -> None:
        self.done.append(("withdraw", invite_id))

    async def approve(self, name: str) -> None:
        self.done.append(("approve", name))

    async def rename(self, name: str, new_name: str) -> None:
        if name == "nobody":
            raise RegistryError("there is no device 'nobody'")
        self.done.append(("rename", (name, new_name)))

    async def tag(
        self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[str]:
        self.done.append(("tag", (name, add, remove)))
        return add

    async def limit(self, name: str, changes: dict[str, int | None]) -> dict[str, Any]:
        self.done.append(("limit", (name, changes)))
        return dict(changes)

    def pictures_after(self, stream_id: str, last: Picture | None) -> Sequence[Picture]:
        return ()

    async def revoke(self, name: str) -> None:
        self.done.append(("revoke", name))

    async def rekey(self, name: str | None) -> int:
        self.done.append(("rekey", name))
        return 2

    def show(self, stream_id: str, data: bytes, sequence: int, codec: str = "jpeg") -> None:
        """Let a stream have a new picture."""
        content = pictures.Picture(
            codec=codec,
            width=4,
            height=3,
            time_ns=sequence,
            sequence=sequence,
            is_key=True,
            data=data,
        )
        self.pictures[stream_id] = Picture("device", stream_id, content, 0, sequence, 1, 0, 0)

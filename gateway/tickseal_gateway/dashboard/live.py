"""One WebSocket for everything live: snapshots as text, pictures as bytes, newest only.

A browser opens few connections to one host, so cameras do not each get one. The page says which
streams it shows; a picture goes out when the one before it was drawn, so a slow phone skips
pictures and nothing piles up anywhere. Of H.264, whose pictures need those before them, none is
skipped but up to the next key picture.

From the page, JSON: {"watch": [stream ids], "devices": [names]}, whose pictures and whose readings
are on the screen, or {"drawn": stream id}. To the page: text is a snapshot; bytes are
u16 length || JSON head || JPEG, or a picture of H.264.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from tickseal_gateway.dashboard.fleet import condense
from tickseal_gateway.dashboard.pictures import LOOK_EVERY_S, jpeg_of
from tickseal_gateway.frames.readings import Picture
from tickseal_gateway.health.status import GatewayView

_WATCHED_MOST, _DEVICES_MOST = 32, 100
#: Time between snapshots, s: at least this, and so many times what one costs.
_EVERY_S, _COST_TIMES = 0.2, 20
#: A page that does not say that it drew a picture gets the next one all the same after so long.
_DRAWN_S = 5.0


class LivePage:
    """One open page.

    Args:
        may_read: asked before each snapshot: a session can end while a page is open.
    """

    def __init__(
        self,
        view: GatewayView,
        socket: WebSocket,
        stopping: asyncio.Event,
        *,
        may_read: Callable[[], bool],
    ) -> None:
        self._view = view
        self._socket = socket
        self._stopping = stopping
        self._may_read = may_read
        # Stream id: the picture that was sent last, and when it may be followed at the latest.
        self._watched: dict[str, tuple[Picture | None, float]] = {}
        self._devices: set[str] = set()
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Serve it until it goes away."""
        await self._socket.accept()
        async with anyio.create_task_group() as group:
            for work in (
                self._send_snapshots,
                self._send_pictures,
                self._listen,
                self._stopping.wait,
            ):
                group.start_soon(_end_all_after, work, group.cancel_scope)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is gone
            await self._socket.close(1001 if self._may_read() else 1008)

    async def _send_snapshots(self) -> None:
        while self._may_read():
            started = time.monotonic()
            shown = condense(self._view.snapshot(), self._devices)
            text = json.dumps(shown, separators=(",", ":"))
            cost_s = time.monotonic() - started
            await self._socket.send_text(text)
            self._asked.clear()
            # What was just scrolled to comes at once.
            with anyio.move_on_after(max(_EVERY_S, _COST_TIMES * cost_s)):
                await self._asked.wait()

    async def _send_pictures(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for stream_id, (last, not_before) in list(self._watched.items()):
                if loop.time() < not_before:
                    continue
                for picture in self._due(stream_id, last):
                    self._watched[stream_id] = (picture, loop.time() + _DRAWN_S)
                    await self._socket.send_bytes(_head(picture) + bytes(picture.picture.data))
            await asyncio.sleep(LOOK_EVERY_S)

    def _due(self, stream_id: str, last: Picture | None) -> Sequence[Picture]:
        """Return what a page is to draw after a picture that it has drawn."""
        newest = self._view.latest_picture(stream_id)
        if newest is None or newest is last:
            return ()
        if jpeg_of(newest) is not None:
            return (newest,)
        return self._view.pictures_after(stream_id, last) if newest.picture.codec == "h264" else ()

    async def _listen(self) -> None:
        while True:
            try:
                message = json.loads(await self._socket.receive_text())
            except (WebSocketDisconnect, ValueError, KeyError):
                return
            match message:
                case {"watch": list(streams), "devices": list(devices)}:
                    self._watched = {
                        stream_id: self._watched.get(stream_id, (None, 0.0))
                        for stream_id in _texts(streams, _WATCHED_MOST)
                    }
                    wanted = set(_texts(devices, _DEVICES_MOST))
                    if not wanted <= self._devices:
                        self._asked.set()
                    self._devices = wanted
                case {"drawn": str(stream_id)} if stream_id in self._watched:
                    self._watched[stream_id] = (self._watched[stream_id][0], 0.0)
                case _:
                    return


async def _end_all_after(work: Callable[[], Awaitable[object]], scope: anyio.CancelScope) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it went while being sent to
        await work()
    scope.cancel()


def _texts(values: list[object], most: int) -> list[str]:
    return [value for value in values if isinstance(value, str)][:most]


def _head(picture: Picture) -> bytes:
    content = picture.picture
    head = json.dumps(
        {
            "stream": picture.stream,
            "time_ns": content.time_ns,
            "width": content.width,
            "height": content.height,
            "sequence": content.sequence,
            "codec": content.codec,
            "is_key": content.is_key,
        }
    ).encode()
    return len(head).to_bytes(2, "big") + head

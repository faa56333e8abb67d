"""Pictures in motion: to each watcher the newest only, as fast as it takes them."""

import asyncio
from collections.abc import AsyncIterator

from tickseal_gateway.frames.readings import Picture
from tickseal_gateway.health.status import GatewayView

#: How often a newer picture is looked for, s: half the time between pictures at 25 a second.
LOOK_EVERY_S = 0.02
_BOUNDARY = "tickseal-picture"
MJPEG_TYPE = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"


def jpeg_of(picture: Picture | None) -> bytes | None:
    """Return a picture's bytes where it is a JPEG."""
    if picture is None or picture.picture.codec not in ("jpeg", "mjpeg"):
        return None
    return bytes(picture.picture.data)


async def newest_pictures(
    view: GatewayView, stream_id: str, stopping: asyncio.Event
) -> AsyncIterator[Picture]:
    """Yield pictures of a stream, each when it is asked for and newer than the last."""
    last: Picture | None = None
    while not stopping.is_set():
        picture = view.latest_picture(stream_id)
        if picture is not None and picture is not last:
            last = picture
            yield picture
        await asyncio.sleep(LOOK_EVERY_S)


async def mjpeg(view: GatewayView, stream_id: str, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield parts of a multipart answer; a watcher that is slow skips pictures."""
    async for picture in newest_pictures(view, stream_id, stopping):
        data = jpeg_of(picture)
        if data is not None:
            head = (
                f"--{_BOUNDARY}\r\ncontent-type: image/jpeg\r\ncontent-length: {len(data)}\r\n"
                f"x-captured-ns: {picture.picture.time_ns}\r\n\r\n"
            )
            yield head.encode() + data + b"\r\n"

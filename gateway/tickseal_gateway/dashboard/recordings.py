"""What the page asks of recordings: lists, a bar of time, opened spans, and files to keep."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tickseal.core.errors import ConfigError, StoreError, TicksealError
from tickseal_gateway.recordings.browsing import Browsing
from tickseal_gateway.recordings.downloads import TYPES, parts_of
from tickseal_gateway.recordings.excerpts import Excerpt, Shown, Span
from tickseal_gateway.recordings.library import Library, Recorded
from tickseal_gateway.recordings.playing import to_tai

_logger = logging.getLogger(__name__)
T = TypeVar("T")
_MS = 1_000_000
#: The longest bar, and the longest span that is opened at once, ms.
_BAR_MS, _OPEN_MS = 31 * 86_400_000, 8 * 86_400_000
#: Questions that may wait for the one that is answered, and downloads under way.
_WAITING_MOST, _DOWNLOADS_MOST = 8, 2
_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


class BusyError(TicksealError):
    """Too much is asked at once."""


class Recordings:
    """Answers requests, one at a time and off the event loop; who may ask is for the routes."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._browsing = Browsing(library)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._downloads = 0

    async def streams(self, _: Request) -> Response:
        """Return what is recorded."""
        return JSONResponse(await self._work(self._list))

    async def bar(self, request: Request) -> Response:
        """Return what of a span is recorded, as [from, until] in ms."""
        stream_id, span = _asked(request.query_params, _BAR_MS)

        def work() -> dict[str, object]:
            recorded = self._browsing.find(stream_id)
            spans = self._browsing.bar(recorded, span)
            bounds = self._browsing.bounds(recorded)
            return {
                **_row(recorded),
                "from_ms": bounds.start_ns // _MS if bounds else None,
                "until_ms": -(-bounds.end_ns // _MS) if bounds else None,
                "content": self._browsing.content(recorded).value,
                "spans": [[start // _MS, -(-end // _MS)] for start, end in spans],
            }

        return JSONResponse(await self._work(work))

    async def readings(self, request: Request) -> Response:
        """Return the numbers of a span by name, and what is missing."""
        stream_id, span = _asked(request.query_params, _OPEN_MS)

        def work() -> dict[str, object]:
            opened = self._browsing.readings(self._browsing.find(stream_id), span)
            return {
                "names": {
                    name: {
                        "unit": series.unit,
                        "last": series.last,
                        "points": series.points(opened.bucket_ns),
                    }
                    for name, series in opened.series.items()
                },
                "report": opened.report(),
            }

        return JSONResponse(await self._work(work))

    async def pictures(self, request: Request) -> Response:
        """Return the next pictures of a span: u16 length || JSON head || u32 length || data, ...

        The last head has no data and is the report.
        """
        stream_id, span = _asked(request.query_params, _OPEN_MS)
        is_seek = "seek" in request.query_params

        def work() -> bytes:
            recorded = self._browsing.find(stream_id)
            return _pack(self._browsing.pictures(recorded, span, is_seek=is_seek))

        return Response(await self._work(work), media_type="application/octet-stream")

    async def download(self, request: Request) -> Response:
        """Return a span as one file."""
        query = request.query_params
        stream_id, span = _asked(query, _OPEN_MS)
        kind = query.get("as", "")
        if kind not in TYPES:
            raise ConfigError(f"as: one of {', '.join(TYPES)}")
        if self._downloads >= _DOWNLOADS_MOST:
            raise BusyError("others are being downloaded: try again when they are done")
        recorded = await self._work(lambda: self._browsing.find(stream_id))
        tai = to_tai(span.start_ns), to_tai(span.end_ns)
        parts = parts_of(self._library, recorded, tai, kind)
        # What fails at once fails in words, and not as half a file.
        first = await asyncio.to_thread(next, parts, b"")
        if not first:
            raise StoreError(f"nothing of {stream_id!r} can be had as {kind} in that span")
        _logger.info("the page: %s of %s was handed out as %s", stream_id, span, kind)
        name = "".join(each if each in _SAFE else "-" for each in stream_id)
        return StreamingResponse(
            self._handed_out(first, parts),
            media_type=TYPES[kind],
            headers={"content-disposition": f'attachment; filename="{name}.{kind}"'},
        )

    async def _handed_out(self, first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        self._downloads += 1
        try:
            yield first
            while part := await asyncio.to_thread(next, parts, b""):
                yield part
        finally:
            self._downloads -= 1

    def _list(self) -> list[dict[str, object]]:
        return [_row(recorded) for recorded in self._browsing.streams()]

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING_MOST:
            raise BusyError("too much is asked of the recordings at once: try again")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _row(recorded: Recorded) -> dict[str, object]:
    return {"stream": recorded.id, "device": recorded.device, "bytes": recorded.size}


def _asked(query: QueryParams, longest_ms: int) -> tuple[str, Span]:
    texts = query.get("from", ""), query.get("until", "")
    if not all(text.isdecimal() and len(text) <= 13 for text in texts):
        raise ConfigError("from, until: whole milliseconds since 1970 UTC")
    first, until = map(int, texts)
    if not first < until <= first + longest_ms:
        raise ConfigError(f"until: after from, and at most {longest_ms // 86_400_000} days later")
    return query.get("stream", ""), Span(first * _MS, until * _MS)


def _pack(opened: Excerpt) -> bytes:
    parts: list[bytes] = []
    for shown in opened.pictures:
        data = bytes(shown.picture.picture.data)
        parts += (_head(_described(shown)), len(data).to_bytes(4, "big"), data)
    parts += (_head({"report": opened.report()}), bytes(4))
    return b"".join(parts)


def _described(shown: Shown) -> dict[str, object]:
    content = shown.picture.picture
    return {
        "at_ms": shown.at_ns / _MS,
        "codec": content.codec,
        "width": content.width,
        "height": content.height,
        "sequence": content.sequence,
        "is_key": content.is_key,
    }


def _head(content: dict[str, object]) -> bytes:
    head = json.dumps(content, separators=(",", ":")).encode()
    return len(head).to_bytes(2, "big") + head

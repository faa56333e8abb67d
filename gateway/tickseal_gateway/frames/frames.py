"""Frames as programs get them: `async for frame in gateway.stream("garden/temperature")`."""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

from tickseal.core import constants
from tickseal.payloads import pictures
from tickseal_gateway.frames.readings import Batch, Reading

#: What may wait for one program; then the oldest goes, and the next frame tells how many went.
_FRAMES_MOST, _BYTES_MOST = 10_000, 64 << 20
_QUIET_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, opened.

    Attributes:
        stream, device: names.
        tick, number, generation: where it came in.
        flags: FLAG_* as the source sealed them; see is_backfilled.
        received_ns: when it was opened, ns since 1970 UTC.
        readings: what it holds of a sensor; each has name, value, unit and time_ns.
        picture: what it holds of a camera: codec, width, height, time_ns, data; or None.
        payload: the bytes of what is neither.
        missed: frames that this program was too slow for, directly before this one.
    """

    stream: str
    device: str
    tick: int
    number: int
    generation: int
    flags: int
    received_ns: int
    readings: tuple[Reading, ...] = ()
    picture: pictures.Picture | None = None
    payload: bytes = b""
    missed: int = 0

    @property
    def is_backfilled(self) -> bool:
        """Whether it was sealed while the gateway could not be reached."""
        return bool(self.flags & constants.FLAG_BACKFILL)

    def to_json(self) -> dict[str, Any]:
        """Return it for a line of JSON."""
        picture = None if self.picture is None else _text(pictures.encode_picture(self.picture))
        return {
            "stream": self.stream, "device": self.device, "tick": self.tick,
            "number": self.number, "generation": f"{self.generation:016x}", "flags": self.flags,
            "received_ns": self.received_ns, "missed": self.missed,
            "readings": [[r.name, r.value, r.unit, r.time_ns] for r in self.readings],
            "picture": picture, "payload": _text(self.payload),
        }  # fmt: skip

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Frame":
        """Return what to_json() was made of."""
        generation = int(given["generation"], 16)
        about = (given["tick"], given["number"], generation, given["flags"])
        picture = given["picture"]
        return cls(
            stream=given["stream"],
            device=given["device"],
            tick=given["tick"],
            number=given["number"],
            generation=generation,
            flags=given["flags"],
            received_ns=given["received_ns"],
            missed=given["missed"],
            readings=tuple(
                Reading(given["device"], given["stream"], name, value, unit, time_ns, *about)
                for name, value, unit, time_ns in given["readings"]
            ),
            picture=None if picture is None else pictures.decode_picture(_bytes(picture)),
            payload=_bytes(given["payload"]),
        )

    def __len__(self) -> int:
        """Count the bytes of a picture or payload."""
        return len(self.payload) + (len(self.picture.data) if self.picture else 0)


class FrameFeed:
    """Hands frames to the programs that ask for them, on the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: set[_Waiting] = set()

    def offer(self, batch: Batch) -> None:
        """Hand on what a batch holds."""
        if self._waiting:
            for frame in _frames(batch):
                for one in self._waiting:
                    one.put(frame)

    async def stream(self, streams: Sequence[str]) -> AsyncIterator[Frame]:
        """Yield the frames of chosen streams from now on, for ever.

        Args:
            streams: shell patterns of stream ids; none: every stream.
        """
        waiting = _Waiting(streams)
        self._waiting.add(waiting)
        try:
            while True:
                yield await waiting.take()
        finally:
            self._waiting.discard(waiting)


async def told(frames: AsyncIterator[Frame]) -> AsyncIterator[object]:
    """Yield frames for another process; None now and then, by which it is noticed to be gone."""
    following = asyncio.ensure_future(anext(frames))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=_QUIET_S)
            if not done:
                yield None
                continue
            frame = following.result()
            following = asyncio.ensure_future(anext(frames))
            yield frame.to_json()
    finally:
        following.cancel()
        await asyncio.wait([following])


class _Waiting:
    """The frames that wait for one program."""

    def __init__(self, streams: Sequence[str]) -> None:
        self._streams = streams
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._missed = 0
        self._arrived = asyncio.Event()

    def put(self, frame: Frame) -> None:
        if self._streams and not any(fnmatchcase(frame.stream, one) for one in self._streams):
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        while len(self._frames) > _FRAMES_MOST or self._bytes > max(_BYTES_MOST, len(frame)):
            self._bytes -= len(self._frames.popleft())
            self._missed += 1
        self._arrived.set()

    async def take(self) -> Frame:
        while not self._frames:
            self._arrived.clear()
            await self._arrived.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        missed, self._missed = self._missed, 0
        return replace(frame, missed=missed) if missed else frame


def _frames(batch: Batch) -> Iterator[Frame]:
    def place(reading: Reading) -> tuple[str, int, int]:
        return reading.stream, reading.generation, reading.frame

    for _, group in groupby(batch.readings, place):
        readings = tuple(group)
        yield _frame(batch, readings[0], readings=readings)
    for shown in batch.pictures:
        yield _frame(batch, shown, picture=shown.picture)
    for other in batch.others:
        yield _frame(batch, other, payload=other.payload)


def _frame(batch: Batch, about: Any, **content: Any) -> Frame:
    return Frame(
        stream=about.stream, device=about.device, tick=about.tick, number=about.frame,
        generation=about.generation, flags=about.flags, received_ns=batch.received_ns, **content,
    )  # fmt: skip


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)

"""Recordings for tests, filed without a gateway: what was sealed when is the test's to say."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from tickseal_gateway.frames.readings import Batch, Sealed
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.recordings.recorded import RecordedGeneration
from tickseal_gateway.recordings.recorder import RecordingOutput
from tickseal_gateway.recordings.shelf import Shelf

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters
from tickseal.payloads import pictures, samples

SECOND = 10**9
KEY = b"k" * 32
#: The start of an hour, ns since 1970 UTC; 37 s before it TAI began that hour.
START = 1_795_514_400 * SECOND
TAI_OFFSET = 37 * SECOND
Payload = Callable[[int, int], bytes]


def reading(number: int, at_ns: int) -> bytes:
    """A sample whose value is its number."""
    return samples.encode_samples(
        [samples.Sample(name="air", value=float(number), unit="Cel", time_ns=at_ns)]
    )


def jpeg(number: int, at_ns: int, *, size: int = 0) -> bytes:
    """A picture whose red tells its number."""
    out = io.BytesIO()
    Image.new("RGB", (32, 24), (number * 16 % 256, 60, 90)).save(out, "JPEG")
    return encoded("jpeg", number, at_ns, out.getvalue() + bytes(size), is_key=True)


def encoded(codec: str, number: int, at_ns: int, data: bytes, *, is_key: bool) -> bytes:
    """A frame of a camera."""
    return pictures.encode_picture(
        pictures.Picture(
            codec=codec,
            width=32,
            height=24,
            time_ns=at_ns,
            sequence=number,
            is_key=is_key,
            data=data,
        )
    )


class Recorded:
    """A folder of recordings; each stream of it one generation, with ticks of 100 ms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shelf = Shelf(folder, retention_ns=0, size_most=1 << 40)
        self._output = RecordingOutput(shelf, KEY, gather_s=0)
        self._sources: dict[str, tuple[FrameSealer, RecordedGeneration]] = {}

    @property
    def library(self) -> Library:
        return Library(self.folder, KEY)

    def record(
        self,
        stream: str,
        instants_s: Iterable[float],
        payload: Payload = reading,
        *,
        together: int = 20,
        leave_out: Iterable[int] = (),
    ) -> None:
        """Seal a frame at each instant, s from START, and file so many at once.

        Args:
            leave_out: places among the instants whose frames are sealed and lost.
        """
        content = samples.CONTENT if payload is reading else pictures.CONTENT
        sealer, source = self._sources.setdefault(stream, self._begin(stream, content))
        lost = set(leave_out)
        waiting: list[Sealed] = []
        for place, instant_s in enumerate(instants_s):
            at_ns = START + round(instant_s * SECOND)
            tick = sealer.generation.parameters.tick_at(at_ns + TAI_OFFSET)
            number = sealer.frame_number
            segments = sealer.seal(payload(number, at_ns), tick)
            if place in lost:
                continue
            waiting += [Sealed(source, tick, number, segment) for segment in segments]
            if len(waiting) >= together:
                self._output.write([Batch(received_ns=0, sealed=waiting)])
                waiting = []
        if waiting:
            self._output.write([Batch(received_ns=0, sealed=waiting)])

    def _begin(self, stream: str, content: str) -> tuple[FrameSealer, RecordedGeneration]:
        parameters = StreamParameters(
            t0_ns=START - 3600 * SECOND, generation=0x1234 + len(self._sources)
        )

        def make() -> Generation:
            return Generation.derive(
                StreamMetadata(id=stream, type="telemetry", extra={"content": content}),
                parameters,
                initial_secret=bytes(32),
                salt=b"\x5a" * 32,
                handle=0xABC00000 + len(self._sources),
            )

        return FrameSealer(make()), RecordedGeneration(make(), "shed")


def seconds(first: float, until: float, step: float = 0.1) -> list[float]:
    """Instants of a span, evenly."""
    return [first + step * number for number in range(round((until - first) / step))]


def names(rows: Iterable[Any]) -> list[str]:
    return [row.id for row in rows]

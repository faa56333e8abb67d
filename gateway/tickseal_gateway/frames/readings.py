"""What frames mean: readings of sensors, pictures of cameras, and bytes of anything else."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tickseal.core.errors import RemoteProtocolError
from tickseal.payloads import pictures, samples
from tickseal.payloads.samples import Measured
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.receiving import Frame
from tickseal_gateway.recordings.recorded import RecordedGeneration


class Content(enum.StrEnum):
    """What a stream's frames carry, by the key `content` of its metadata."""

    #: Packs of samples (tickseal.payloads.samples).
    READINGS = "readings"
    #: Pictures (tickseal.payloads.pictures).
    PICTURES = "pictures"
    #: Bytes that only the application understands.
    OPAQUE = "opaque"


_READINGS, _PICTURES, _OPAQUE = Content


class Reading(NamedTuple):
    """A sample after it was opened.

    Attributes:
        device, stream: names.
        name: what was measured.
        value: None for a reading that failed at the sensor.
        unit: SenML unit (RFC 8428), or None.
        time_ns: when it was taken, by the device, ns since 1970 UTC.
        tick, frame, generation: where it came in.
        flags: FLAG_BACKFILL and FLAG_HOLDOVER as the source sealed them.
    """

    device: str
    stream: str
    name: str
    value: Measured | None
    unit: str | None
    time_ns: int
    tick: int
    frame: int
    generation: int
    flags: int


class Picture(NamedTuple):
    """A picture after it was opened.

    Attributes:
        device, stream, tick, frame, generation, flags: as of Reading.
        picture: codec, size, time, data.
        received_ns: when it was opened here, ns since 1970 UTC.
    """

    device: str
    stream: str
    picture: pictures.Picture
    tick: int
    frame: int
    generation: int
    flags: int
    received_ns: int


class Names(NamedTuple):
    """What a generation is called; the same object for all of its frames."""

    device: str
    stream: str
    generation: int


class Opaque(NamedTuple):
    """A frame whose payload is the application's own; has device, stream and generation as well."""

    names: Names
    payload: bytes
    tick: int
    frame: int
    flags: int
    received_ns: int

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.names.device

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self.names.stream

    @property
    def generation(self) -> int:
        """Number of the generation that it came in."""
        return self.names.generation


class FrameMark(NamedTuple):
    """Which frame a batch holds, for acknowledging it once it is stored."""

    handle: int
    generation: int
    frame: int


class Sealed(NamedTuple):
    """A segment as it came, for recordings.

    Attributes:
        source: the generation that it is of, as the recorder holds it.
        tick, frame: what opening it told.
        payload: the whole segment.
    """

    source: RecordedGeneration
    tick: int
    frame: int
    payload: bytes


@dataclass(slots=True, kw_only=True)
class Batch:
    """What came out of one batch of segments, for the outputs, which must not change it.

    Attributes:
        received_ns: when, ns since 1970 UTC.
        readings, pictures, others: in the order of arrival.
        marks: frames that are to be acknowledged once they are stored (backfill).
        sealed: segments for the recordings; those batches hold nothing else.
        serial: counts the batches that the outputs were offered, from 1; 0 where it was not.
    """

    received_ns: int
    readings: list[Reading] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    others: list[Opaque] = field(default_factory=list)
    marks: Sequence[FrameMark] = ()
    sealed: list[Sealed] = field(default_factory=list)
    serial: int = 0

    def __len__(self) -> int:
        """Count what it holds."""
        opened = len(self.readings) + len(self.pictures) + len(self.others) + len(self.marks)
        return opened + len(self.sealed)


def content_of(metadata: StreamMetadata) -> Content:
    """Return what the frames of a stream carry."""
    match metadata.extra.get("content"):
        case samples.CONTENT:
            return Content.READINGS
        case pictures.CONTENT:
            return Content.PICTURES
        case _:
            return Content.OPAQUE


def read_frame(frame: Frame, device: str, content: Content, batch: Batch) -> bool:
    """Add what a frame carries to a batch; return False where it is not what the metadata promise.

    Such a frame goes to the batch's others: it is authentic, and nothing is lost.
    """
    # One look at each field, and no enum's member by name: it is done for every frame.
    source, number, tick, payload, flags = frame
    stream, generation = source.metadata.id, source.parameters.generation
    try:
        if content is _READINGS:
            batch.readings += [
                Reading(
                    device,
                    stream,
                    sample.name,
                    sample.value,
                    sample.unit,
                    sample.time_ns,
                    tick,
                    number,
                    generation,
                    flags,
                )
                for sample in samples.decode_samples(payload)
            ]
            return True
        if content is _PICTURES:
            picture = pictures.decode_picture(payload)
            batch.pictures.append(
                Picture(
                    device,
                    stream,
                    picture,
                    tick,
                    number,
                    generation,
                    flags,
                    batch.received_ns,
                )
            )
            return True
    except RemoteProtocolError:
        pass
    batch.others.append(
        Opaque(Names(device, stream, generation), payload, tick, number, flags, batch.received_ns)
    )
    return content is _OPAQUE

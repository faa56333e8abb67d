"""Downloads: a span of a recorded stream as the bytes of one file, made as they are taken."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tickseal.core.errors import ConfigError, StoreError
from tickseal_gateway.frames.readings import Batch, Picture, content_of, read_frame
from tickseal_gateway.outputs.text import HEADS, as_csv, as_json_lines
from tickseal_gateway.recordings.grant_file import GrantEncoder
from tickseal_gateway.recordings.library import Library, Recorded
from tickseal_gateway.recordings.opening import RecordingOpener

#: What a span can be had as: suffix and media type.
TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "mjpeg": "video/x-motion-jpeg",
    "mp4": "video/mp4",
    "grant": "application/octet-stream",
}
_BATCH = 256


class _Form(Protocol):
    def take(self, batch: Batch) -> bytes: ...

    def end(self) -> bytes: ...


def parts_of(
    library: Library, recorded: Recorded, span_ns: tuple[int, int], kind: str
) -> Iterator[bytes]:
    """Yield a file's bytes, no part empty; nothing where the span holds nothing of that kind.

    Args:
        span_ns: half-open, ns TAI.
        kind: of TYPES.
    Raises:
        ConfigError: it needs a package that is not installed.
        StoreError: a recording cannot be read, or a picture not be written.
    """
    pieces = library.pieces(recorded, span_ns)
    if kind == "grant":
        made_of = GrantEncoder()
        magic = b""
        for part in made_of.encode(pieces):
            if made_of.pieces:
                yield magic + part
                magic = b""
            else:
                magic = part
        return
    form = _form(kind)
    opener = RecordingOpener()
    head = HEADS.get(kind, b"")
    for piece in pieces:
        content = content_of(piece.generation.metadata)
        batch = Batch(received_ns=0)
        for frame in opener.frames(piece):
            read_frame(frame, piece.device, content, batch)
            if len(batch) >= _BATCH or batch.pictures:
                if part := form.take(batch):
                    yield head + part
                    head = b""
                batch = Batch(received_ns=0)
        if part := form.take(batch):
            yield head + part
            head = b""
    if part := form.end():
        yield part


def _form(kind: str) -> _Form:
    if kind in ("jsonl", "csv"):
        return _Text(kind)
    return _Pictures() if kind == "mjpeg" else _Video()


class _Text:
    def __init__(self, kind: str) -> None:
        self._format = as_csv if kind == "csv" else as_json_lines

    def take(self, batch: Batch) -> bytes:
        return self._format(batch.readings).encode()

    def end(self) -> bytes:
        return b""


class _Pictures:
    def take(self, batch: Batch) -> bytes:
        return b"".join(
            bytes(each.picture.data)
            for each in batch.pictures
            if each.picture.codec in ("jpeg", "mjpeg")
        )

    def end(self) -> bytes:
        return b""


class _Video:
    """One fragmented MP4, which needs no seeking back."""

    def __init__(self) -> None:
        try:
            from tickseal_gateway.outputs import video  # noqa: PLC0415 - a large package
        except ImportError as error:
            raise ConfigError(
                f"MP4 needs the package av ({error}); install it with: "
                "pip install 'tickseal[video]', or take mjpeg"
            ) from None
        self._module = video
        self._file: video.VideoFile | None = None
        self._out = _Taken()

    def take(self, batch: Batch) -> bytes:
        for picture in batch.pictures:
            self._append(picture)
        return self._out.take()

    def end(self) -> bytes:
        if self._file is not None:
            self._file.close()
        return self._out.take()

    def _append(self, picture: Picture) -> None:
        content = picture.picture
        try:
            if self._file is None:
                if not content.is_key:  # nothing plays from here: wait for one that does
                    return
                self._file = self._module.VideoFile(Path("the download"), content, into=self._out)
            self._file.append(content)
        except (OSError, self._module.UnreadablePictureError) as error:
            raise StoreError(f"cannot make an MP4 of it: {error}") from None


class _Taken:
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)

"""Pictures to files: the latest of each stream, always whole, for other programs to read."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Batch, Picture

#: What a codec's file is called; pictures that need the ones before are no files of their own.
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class PictureFiles:
    """An Output that keeps the newest picture of each stream as a file.

    Args:
        folder: made where there is none.
    """

    name = "pictures"
    keeps_newest = True
    gather_s = 0.1

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, batches: Sequence[Batch]) -> None:
        """Write the newest picture of each stream in these batches; older ones are skipped."""
        newest: dict[str, Picture] = {}
        for batch in batches:
            for picture in batch.pictures:
                newest[picture.stream] = picture
        for picture in newest.values():
            self._write(picture)

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, picture: Picture) -> None:
        suffix = _SUFFIXES.get(picture.picture.codec)
        if suffix is None:
            return
        path = self._folder / f"{file_name(picture.stream)}{suffix}"
        unfinished = path.with_suffix(".unfinished")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_bytes(picture.picture.data)
            unfinished.replace(path)
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror}; make room, or see to its rights"
            ) from None


def file_name(stream_id: str) -> str:
    """Return a file's name for a stream; names that look alike without what is unsafe differ."""
    plain = _UNSAFE.sub("-", stream_id).strip("-")[:64]
    if plain == stream_id:
        return plain
    return f"{plain or 'stream'}-{hashlib.sha256(stream_id.encode()).hexdigest()[:8]}"

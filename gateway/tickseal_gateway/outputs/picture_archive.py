"""Pictures to files, one for each that is kept: FOLDER/STREAM/DATE/TIME.jpg."""

from collections.abc import Sequence
from pathlib import Path

from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Batch, Picture
from tickseal_gateway.outputs.budget import Budget
from tickseal_gateway.outputs.pictures import file_name
from tickseal_gateway.outputs.text import iso

_SUFFIX = ".jpg"
_CODECS = ("jpeg", "mjpeg")


class PictureArchive:
    """An Output that keeps JPEG pictures, at most one in `every_ns` of each stream.

    Args:
        every_ns: 0 for every picture.
        size_most: bytes in the folder; the oldest pictures go.
    """

    keeps_newest = True
    gather_s = 0.1

    def __init__(
        self, folder: Path, *, every_ns: int, size_most: int, name: str = "pictures"
    ) -> None:
        self.name = name
        self._folder = folder
        self._every_ns = every_ns
        self._budget = Budget(folder, _SUFFIX, size_most)
        self._kept_ns: dict[str, int] = {}

    def write(self, batches: Sequence[Batch]) -> None:
        """Write the pictures of batches that are due."""
        for batch in batches:
            for picture in batch.pictures:
                if picture.picture.codec in _CODECS and self._is_due(picture):
                    self._keep(picture)

    def close(self) -> None:
        """Nothing is held."""

    def _is_due(self, picture: Picture) -> bool:
        last_ns = self._kept_ns.get(picture.stream)
        return last_ns is None or abs(picture.picture.time_ns - last_ns) >= self._every_ns

    def _keep(self, picture: Picture) -> None:
        path = timed_path(self._folder, picture, _SUFFIX)
        unfinished = path.with_suffix(".unfinished")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_bytes(picture.picture.data)
            unfinished.replace(path)
            self._budget.add(path)
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror}; make room, or see to its rights"
            ) from None
        self._kept_ns[picture.stream] = picture.picture.time_ns


def timed_path(folder: Path, picture: Picture, suffix: str) -> Path:
    """Return FOLDER/STREAM/DATE/TIME with a suffix, by the time when a picture was captured."""
    day, _, clock = iso(picture.picture.time_ns).partition("T")
    return folder / file_name(picture.stream) / day / f"{clock.replace(':', '-')}{suffix}"

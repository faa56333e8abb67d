"""Players: where opened frames of a recording go, by the name of what is asked for."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Protocol, TypeVar

from tickseal.core.errors import ConfigError, StoreError
from tickseal_gateway.frames.readings import Batch, Picture, Reading
from tickseal_gateway.outputs.text import HEADS, as_csv, as_json_lines, iso

T = TypeVar("T")
#: What a codec's file is called; a video's buffers are no files of their own.
_SUFFIXES = {"jpeg": ".jpg", "mjpeg": ".jpg", "png": ".png", "webp": ".webp"}
_PLAIN = (".jsonl", ".csv")
_MOVING = (".mjpeg", ".mjpg", ".mp4")


class Player(Protocol):
    """One place that opened frames go to.

    Attributes:
        written: readings, pictures and other frames that it took.
        skipped: those that it has no form for.
    """

    written: int
    skipped: int

    def write(self, batch: Batch) -> None:
        """Take frames in."""

    def close(self) -> None:
        """Finish."""


def make_player(out: Path | None, *, force: bool = False) -> Player:
    """Return the player for a path: .jsonl .csv .mjpeg .mp4, or a folder; None for the screen.

    Raises:
        ConfigError: it exists (unless forced), its suffix is unknown, or PyAV is not installed.
    """
    check_out(out, force=force)
    if out is None:
        return _Lines(sys.stdout, as_json_lines)
    if out.suffix == ".mp4":
        return _video(out)
    with_disk = _Disk(out)
    if out.suffix == ".jsonl":
        return _Lines(with_disk(lambda: out.open("w", encoding="utf-8")), as_json_lines)
    if out.suffix == ".csv":
        file = with_disk(lambda: out.open("w", encoding="utf-8", newline=""))
        file.write(HEADS["csv"].decode())
        return _Lines(file, as_csv)
    if out.suffix:
        return _Pictures(with_disk(lambda: out.open("wb")))
    with_disk(lambda: out.mkdir(parents=True, exist_ok=True))
    return _Folder(out)


def check_out(out: Path | None, *, force: bool = False) -> None:
    """Check that make_player() can be asked for a path, without touching it.

    Raises:
        ConfigError: it exists (unless forced), or its suffix is unknown.
    """
    if out is None:
        return
    if out.suffix not in (*_PLAIN, *_MOVING, ""):
        raise ConfigError(
            f"{out}: do not know what {out.suffix} is; name .jsonl, .csv, .mjpeg, .mp4 or a folder"
        )
    if out.exists() and not force and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} is there already; choose another name, or add --force")


class _Disk:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from None


class _Lines:
    """Readings as lines of text."""

    def __init__(self, file: IO[str], form: Callable[[Iterable[Reading]], str]) -> None:
        self.written = self.skipped = 0
        self._file = file
        self._form = form

    def write(self, batch: Batch) -> None:
        self._file.write(self._form(batch.readings))
        self.written += len(batch.readings)
        self.skipped += len(batch.pictures) + len(batch.others)

    def close(self) -> None:
        if self._file is sys.stdout:
            self._file.flush()
        else:
            self._file.close()


class _Pictures:
    """JPEG pictures one after the other: what players call MJPEG."""

    def __init__(self, file: IO[bytes]) -> None:
        self.written = self.skipped = 0
        self._file = file

    def write(self, batch: Batch) -> None:
        for picture in batch.pictures:
            if picture.picture.codec in ("jpeg", "mjpeg"):
                self._file.write(picture.picture.data)
                self.written += 1
            else:
                self.skipped += 1
        self.skipped += len(batch.readings) + len(batch.others)

    def close(self) -> None:
        self._file.close()


class _Folder:
    """Everything: each picture and other frame as a file, all readings in one."""

    def __init__(self, folder: Path) -> None:
        self.written = self.skipped = 0
        self._folder = folder
        self._lines: _Lines | None = None
        self._disk = _Disk(folder)

    def write(self, batch: Batch) -> None:
        if batch.readings:
            if self._lines is None:
                path = self._folder / "readings.jsonl"
                file = self._disk(lambda: path.open("w", encoding="utf-8"))
                self._lines = _Lines(file, as_json_lines)
            self._lines.write(Batch(received_ns=0, readings=batch.readings))
            self.written += len(batch.readings)
        for picture in batch.pictures:
            self._put(_named(picture), bytes(picture.picture.data))
        for other in batch.others:
            self._put(f"{other.generation:016x}-{other.frame:010d}.bin", other.payload)

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()

    def _put(self, name: str, data: bytes) -> None:
        self._disk(lambda: (self._folder / name).write_bytes(data))
        self.written += 1


def _named(picture: Picture) -> str:
    stamp = iso(picture.picture.time_ns).replace(":", "")
    suffix = _SUFFIXES.get(picture.picture.codec, f".{picture.picture.codec}")
    return f"{stamp}-{picture.frame:010d}{suffix}"


def _video(out: Path) -> Player:
    try:
        import av.error  # noqa: PLC0415 - a large package that few need

        from tickseal_gateway.outputs import video  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"{out}: MP4 needs the package av ({error}); install it with: "
            "pip install 'tickseal[video]', or name .mjpeg"
        ) from None

    class Video:
        """Pictures as one MP4, as they came."""

        def __init__(self) -> None:
            self.written = self.skipped = 0
            self._file: video.VideoFile | None = None

        def write(self, batch: Batch) -> None:
            self.skipped += len(batch.readings) + len(batch.others)
            for picture in batch.pictures:
                try:
                    self._append(picture)
                except (OSError, av.error.FFmpegError, video.UnreadablePictureError) as error:
                    raise StoreError(f"cannot write {out}: {error}") from None

        def close(self) -> None:
            if self._file is not None:
                self._file.close()

        def _append(self, picture: Picture) -> None:
            content = picture.picture
            if self._file is None:
                if not content.is_key:  # nothing plays from here: wait for one that does
                    self.skipped += 1
                    return
                self._file = video.VideoFile(out, content)
            self._file.append(content)
            self.written += 1

    return Video()

"""Pictures as MP4 files, as they came: MJPEG and H.264 are muxed, never encoded anew.

The files are fragmented: one that a kill left behind plays up to its last second.
"""

import errno
import io
import logging
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from tickseal.core.errors import StoreError
from tickseal.host.logs import Once
from tickseal.payloads.pictures import Picture as Content
from tickseal_gateway.frames.readings import Batch, Picture
from tickseal_gateway.outputs.budget import Budget
from tickseal_gateway.outputs.picture_archive import timed_path

_logger = logging.getLogger(__name__)
_SUFFIX = ".mp4"
#: FFmpeg's names of the raw formats, by the codec of a picture.
_FORMATS = {"jpeg": "mjpeg", "mjpeg": "mjpeg", "h264": "h264"}
_TIME_BASE = Fraction(1, 90_000)
_TICK_NS = Fraction(1_000_000_000, 90_000)
#: A silence that ends a file, and how far a capture time may be set back within one, ns.
_SILENCE_NS = 60 * 1_000_000_000
_OPTIONS = {
    "movflags": "empty_moov+default_base_moof",
    "frag_duration": "1000000",  # us
    "flush_packets": "1",
}
_DISK_FAULTS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOTDIR, errno.ENOENT, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
#: Files open at once: one a stream.
_OPEN_MOST = 256


class Taker(Protocol):
    """What a file's bytes can go to, in their order."""

    def write(self, data: bytes) -> int:
        """Take some."""


class UnreadablePictureError(Exception):
    """A picture is not what its codec says."""

    errno = None


class VideoFiles:
    """An Output that writes FOLDER/STREAM/DATE/TIME.mp4.

    Args:
        every_ns: how much time a file holds; it ends at the next picture that stands by itself.
        size_most: bytes in the folder; the oldest files go.
    """

    keeps_newest = False
    gather_s = 0.2

    def __init__(self, folder: Path, *, every_ns: int, size_most: int, name: str = "video") -> None:
        self.name = name
        self._folder = folder
        self._every_ns = every_ns
        self._budget = Budget(folder, _SUFFIX, size_most)
        self._open: dict[str, VideoFile] = {}
        self._once = Once(_logger)

    def write(self, batches: Sequence[Batch]) -> None:
        """Append the pictures of batches."""
        for batch in batches:
            for picture in batch.pictures:
                if picture.picture.codec in _FORMATS:
                    self._append(picture)

    def close(self) -> None:
        """Finish all files."""
        for stream in list(self._open):
            self._finish(stream)

    def _append(self, picture: Picture) -> None:
        stream, content = picture.stream, picture.picture
        try:
            file = self._open.get(stream)
            if file is not None and file.ends_before(content, self._every_ns):
                self._finish(stream)
                file = None
            if file is None:
                if not content.is_key:  # nothing plays from here: wait for one that does
                    return
                if len(self._open) >= _OPEN_MOST:
                    self._finish(next(iter(self._open)))
                file = VideoFile(timed_path(self._folder, picture, _SUFFIX), content)
                self._open[stream] = file
            file.append(content)
        except (OSError, av.error.FFmpegError, UnreadablePictureError) as error:
            self._finish(stream)
            # FFmpeg's faults are OSErrors, too: only the disk's are worth another attempt.
            if getattr(error, "errno", None) in _DISK_FAULTS:
                raise StoreError(
                    f"cannot write a video in {self._folder}: {os.strerror(error.errno or 0)}; "
                    "make room, or see to its rights"
                ) from None
            self._once.change(
                stream, str(error), logging.WARNING, "%s: %s: left out of its video", stream, error
            )

    def _finish(self, stream: str) -> None:
        file = self._open.pop(stream, None)
        if file is not None:
            file.close()
            self._budget.add(file.path)


class VideoFile:
    """One MP4 file under way.

    Args:
        path: where.
        first: its first picture, which must stand by itself; append it too.
        into: takes the bytes in place of a file at `path`.
    Raises:
        UnreadablePictureError, FFmpegError, OSError: it cannot be begun.
    """

    def __init__(self, path: Path, first: Content, *, into: "Taker | None" = None) -> None:
        self.path = path
        self._kind = (first.codec, first.width, first.height)
        self._started_ns = first.time_ns
        self._last_pts = -1
        if into is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        template = _template(first)
        self._container: OutputContainer = av.open(
            str(path) if into is None else into, "w", format="mp4", options=_OPTIONS
        )
        try:
            with template:
                stream = template.streams.video[0]
                self._stream: VideoStream = self._container.add_stream_from_template(stream)
            self._stream.time_base = _TIME_BASE
        except BaseException:
            self._container.close()
            raise

    def ends_before(self, content: Content, every_ns: int) -> bool:
        """Tell whether a picture belongs to the next file."""
        passed_ns = content.time_ns - self._started_ns
        last_ns = int(self._last_pts * _TICK_NS)
        return (
            (content.codec, content.width, content.height) != self._kind
            or (content.is_key and passed_ns >= every_ns)
            or passed_ns - last_ns > _SILENCE_NS
            or last_ns - passed_ns > _SILENCE_NS
        )

    def append(self, content: Content) -> None:
        """Append a picture."""
        packet = av.Packet(bytes(content.data))
        # A clock that was set back a little must not stop the video.
        pts = max(self._last_pts + 1, round((content.time_ns - self._started_ns) / _TICK_NS))
        packet.stream = self._stream
        packet.time_base = _TIME_BASE
        packet.pts = packet.dts = pts
        packet.is_keyframe = content.is_key
        self._container.mux_one(packet)
        self._last_pts = pts

    def close(self) -> None:
        """Finish the file."""
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError) as error:
            _logger.warning("%s is cut off: %s", self.path, error)


def _template(first: Content) -> av.container.InputContainer:
    """Return what FFmpeg reads of a first picture: its size, and what a decoder must know."""
    try:
        template = av.open(io.BytesIO(bytes(first.data)), "r", format=_FORMATS[first.codec])
        if template.streams.video[0].width:
            return template
        template.close()
    except (av.error.FFmpegError, ValueError, IndexError):
        pass
    raise UnreadablePictureError(f"a first picture that is not {first.codec}")

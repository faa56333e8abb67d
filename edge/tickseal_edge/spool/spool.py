"""Spool: sealed frames that wait for the gateway, on disk; bounded, the oldest make room.

Made for SD cards: what is appended is gathered in memory and written every few seconds in one go,
each file is only ever appended to, and what is delivered before that is never written at all.
"""

import logging
from collections.abc import Callable, Iterator

from tickseal.core.errors import StoreError
from tickseal.host.logs import Once
from tickseal.streams.generation import Generation
from tickseal_edge.lanes import Lane
from tickseal_edge.spool import spool_file
from tickseal_edge.spool.spool_file import FOOT_BYTES, HEAD_MOST_BYTES, Foot
from tickseal_edge.spool.spool_folder import DiskFullError, Folder
from tickseal_edge.spool.spooled import SpooledGeneration, SpoolFile
from tickseal_edge.streams.streams import SealedFrame

_logger = logging.getLogger("tickseal.edge")

#: Generations of one stream that wait at most: the header tells 256 apart, a gateway holds 64.
_GENERATIONS_MOST = 48
#: A file's size: a delivered one gives its room back, and one is read at a time.
_FILE_BYTES, _FILES = 256 << 10, 1024
#: What may wait in memory while the disk refuses.
_UNWRITTEN_MOST = 4 << 20


class Spool:
    """Frames of generations that wait for the gateway, in the order of sealing.

    Args:
        folder: where the files are; what is there is taken in.
        most_bytes: what it holds at most.
        lane: the thread that does what blocks.
    Attributes:
        held_bytes: what it holds.
        dropped_frames: frames that made room, or were lost with their generation.
        on_complete: is called when a generation can be delivered.
    """

    def __init__(self, folder: Folder, most_bytes: int, lane: Lane) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._file_bytes = max(min(_FILE_BYTES, most_bytes // 8), most_bytes // _FILES)
        self._lane = lane
        self._generations: dict[int, SpooledGeneration] = {}
        self._sequence = 0
        self._cache: tuple[str, list[SealedFrame]] = ("", [])
        self._once = Once(_logger)
        self._is_flushing = False
        self.held_bytes = 0
        self.dropped_frames = 0
        self.on_complete: Callable[[], None] = lambda: None
        self._load()

    # --- Filling ---

    def begin(self, generation: Generation, blob: bytes) -> None:
        """Take in a generation; where a stream has too many, its oldest is dropped.

        Args:
            blob: as in SpooledGeneration.
        """
        same = [one for one in self.generations() if one.handle == generation.handle]
        if len(same) >= _GENERATIONS_MOST:
            self.remove(same[0].number)
        self._generations[generation.number] = SpooledGeneration(
            generation.number, generation.handle, blob
        )

    def keep_end(self, generation: Generation, frames: list[SealedFrame]) -> None:
        """Take in the last frames of a live generation, in which nothing more is sealed."""
        if not frames:
            return
        self.begin(generation, b"")
        for frame in frames:
            self.append(frame)
        self.complete(generation.number)

    def append(self, frame: SealedFrame) -> None:
        """Keep a frame of a generation that was begun; of one that was dropped, count it."""
        spooled = self._generations.get(frame.generation)
        if spooled is None:
            self.dropped_frames += 1
            return
        file = spooled.files[-1] if spooled.files else None
        size = spool_file.frame_bytes(frame)
        if file is None or file.is_whole or file.size + size > self._file_bytes:
            if file is not None:
                self._close(file)
            file = self._new_file(spooled)
        record = spool_file.encode_frame(file.size, frame)
        file.add(record)
        self.held_bytes += len(record)
        if not file.frames:
            file.first = frame.number
        file.last = frame.number
        file.frames += 1
        while self.held_bytes > self._most_bytes:
            self._make_room()

    def complete(self, number: int) -> None:
        """Note that nothing more is sealed in a generation."""
        spooled = self._generations.get(number)
        if spooled is None:
            return
        spooled.is_complete = True
        if spooled.files:
            self._close(spooled.files[-1])
        else:
            del self._generations[number]
        self.on_complete()

    # --- Emptying ---

    def generations(self) -> list[SpooledGeneration]:
        """Return all generations, the oldest first."""
        return list(self._generations.values())

    def get(self, number: int) -> SpooledGeneration | None:
        """Return a generation that waits."""
        return self._generations.get(number)

    def numbers(self, handle: int) -> list[int]:
        """Return the numbers of a stream's generations: a new one's low bits must differ."""
        return [one.number for one in self._generations.values() if one.handle == handle]

    async def chunk(self, number: int, *, frames: int, size: int, ticks: int) -> list[SealedFrame]:
        """Return the first frames of a generation that are not stored yet; empty if there are none.

        Args:
            frames, size, ticks: how many frames, segments' bytes and ticks it spans at most; one
                frame is always returned.
        """
        while spooled := self._generations.get(number):
            if not spooled.files:
                break
            file = spooled.files[0]
            waiting = [
                frame for frame in await self._read(file) if frame.number >= spooled.stored_until
            ]
            if waiting:
                return list(_limited(waiting, frames, size, ticks))
            # Delivered, or damaged on the disk: there is nothing more in it.
            if spooled.files and spooled.files[0] is file:
                self._drop(spooled)
                self._count_damaged(file, spooled.stored_until)
        return []

    def stored_until(self, number: int, frame_until: int) -> None:
        """Delete what lies below frame_until: the gateway has it on its disk."""
        spooled = self._generations.get(number)
        if spooled is None:
            return
        spooled.stored_until = max(spooled.stored_until, frame_until)
        while spooled.files and spooled.files[0].last < spooled.stored_until:
            self._drop(spooled)

    def remove(self, number: int, *, is_delivered: bool = False) -> int:
        """Delete a generation; return how many frames were lost, if it was not delivered."""
        spooled = self._generations.pop(number, None)
        if spooled is None:
            return 0
        lost = 0 if is_delivered else spooled.frames
        while spooled.files:
            self._drop(spooled)
        self.dropped_frames += lost
        return lost

    # --- The disk ---

    async def flush(self) -> None:
        """Put on the disk what waits in memory; where it refuses, keep it and say so once."""
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            for spooled in self.generations():
                for file in list(spooled.files):
                    await self._write(file)
        except DiskFullError as error:
            self._complain(error)
            self._make_room(written_only=True)
        except StoreError as error:
            self._complain(error)
        else:
            self._once.change("disk", "well", logging.DEBUG, "the spool is on the disk")
        finally:
            self._is_flushing = False
        while self._unwritten_bytes() > _UNWRITTEN_MOST:
            self._make_room()

    async def _write(self, file: SpoolFile) -> None:
        if not file.unwritten:
            return
        file.writing = data = b"".join(file.unwritten)
        file.unwritten = []
        try:
            offset = file.written
            await self._lane.run(lambda: self._folder.append(file.name, offset, data))
        except BaseException:
            file.unwritten.insert(0, data)
            raise
        else:
            file.written += len(data)
        finally:
            file.writing = b""

    async def _read(self, file: SpoolFile) -> list[SealedFrame]:
        if self._cache[0] == file.name:
            return self._cache[1]
        data, end = b"", file.written
        memory = file.writing + b"".join(file.unwritten)
        if end:
            try:
                data = await self._lane.run(lambda: self._folder.read(file.name, 0, end))
            except StoreError as error:
                self._complain(error)
        content = spool_file.read(data + memory)
        frames = content.frames if content else []
        if file.is_whole:
            self._cache = (file.name, frames)
        return frames

    def _load(self) -> None:
        for name in self._folder.names():
            self._sequence = max(self._sequence, _sequence(name))
            try:
                self._load_file(name)
            except StoreError as error:
                self._complain(error)

    def _load_file(self, name: str) -> None:
        size = self._folder.size(name)
        content = spool_file.read(self._folder.read(name, 0, HEAD_MOST_BYTES))
        foot = spool_file.read_foot(self._folder.read(name, size - FOOT_BYTES, size), size)
        if content is not None and foot is None:
            # A power cut came between: its frames have to be read.
            content = spool_file.read(self._folder.read(name, 0, size))
            if content is not None and content.frames:
                foot = Foot(
                    first=content.frames[0].number,
                    last=content.frames[-1].number,
                    frames=len(content.frames),
                )
        if content is None or foot is None:
            self._folder.delete(name)
            return
        # Its secrets went with the process that sealed it.
        spooled = self._generations.setdefault(
            content.generation,
            SpooledGeneration(content.generation, content.handle, content.blob, is_complete=True),
        )
        file = SpoolFile(name)
        file.first, file.last, file.frames = foot.first, foot.last, foot.frames
        file.size = file.written = size
        file.is_whole = True
        spooled.files.append(file)
        self.held_bytes += size

    # --- Private ---

    def _new_file(self, spooled: SpooledGeneration) -> SpoolFile:
        self._sequence += 1
        start = spool_file.encode_start(spooled.number, spooled.handle, spooled.blob)
        file = SpoolFile(f"{self._sequence:016x}.spool", start)
        spooled.files.append(file)
        self.held_bytes += len(start)
        return file

    def _close(self, file: SpoolFile) -> None:
        if file.is_whole:
            return
        foot = Foot(first=file.first, last=file.last, frames=file.frames)
        record = spool_file.encode_foot(file.size, foot)
        file.add(record)
        self.held_bytes += len(record)
        file.is_whole = True

    def _drop(self, spooled: SpooledGeneration) -> None:
        file = spooled.files.popleft()
        self.held_bytes -= file.size
        if file.written or file.writing:
            self._lane.submit(lambda: self._folder.delete(file.name))
        file.unwritten = []

    def _make_room(self, *, written_only: bool = False) -> None:
        for spooled in self.generations():
            if spooled.files and (spooled.files[0].written or not written_only):
                lost = spooled.files[0]
                self._drop(spooled)
                self.dropped_frames += lost.frames
                self._once.change(
                    "room", "full", logging.WARNING,
                    "the spool is full (%d bytes): the oldest frames make room", self._most_bytes,
                )  # fmt: skip
                if not spooled.files and spooled.is_complete:
                    del self._generations[spooled.number]
                return

    def _count_damaged(self, file: SpoolFile, stored_until: int) -> None:
        lost = min(file.frames, file.last + 1 - stored_until)
        if lost > 0:
            self.dropped_frames += lost
            _logger.error("%s is damaged on the disk: %d frames are lost", file.name, lost)

    def _unwritten_bytes(self) -> int:
        return sum(
            sum(map(len, file.unwritten))
            for spooled in self._generations.values()
            for file in spooled.files
        )

    def _complain(self, error: StoreError) -> None:
        self._once.change("disk", str(error), logging.ERROR, "%s", error)


def _limited(
    waiting: list[SealedFrame], frames: int, size: int, ticks: int
) -> Iterator[SealedFrame]:
    total = 0
    for place, frame in enumerate(waiting):
        total += sum(map(len, frame.segments))
        if place and (place >= frames or total > size or frame.tick - waiting[0].tick >= ticks):
            return
        yield frame


def _sequence(name: str) -> int:
    try:
        return int(name.partition(".")[0], 16)
    except ValueError:
        return 0

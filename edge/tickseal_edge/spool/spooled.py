"""What a spool knows of its generations and files."""

from collections import deque


class SpoolFile:
    """One file: what is in it, what of that is on disk, and the rest."""

    __slots__ = (
        "first", "frames", "is_whole", "last", "name", "size", "unwritten", "writing", "written",
    )  # fmt: skip

    def __init__(self, name: str, start: bytes = b"") -> None:
        self.name = name
        self.first = self.last = -1
        self.frames = 0
        self.size = len(start)
        self.written = 0
        # Handed to the disk right now; still to be handed over.
        self.writing = b""
        self.unwritten = [start] if start else []
        self.is_whole = False

    def add(self, record: bytes) -> None:
        """Append a record, for now in memory."""
        self.unwritten.append(record)
        self.size += len(record)


class SpooledGeneration:
    """One generation that waits, with its frames; whoever holds it can open none of them.

    Attributes:
        number, handle: of the generation.
        blob: the generation sealed to the gateway; empty for the end of a live one, which
            the gateway may still hold.
        is_complete: nothing more is sealed in it.
        stored_until: frames below are on the gateway's disk.
    """

    def __init__(self, number: int, handle: int, blob: bytes, *, is_complete: bool = False) -> None:
        self.number = number
        self.handle = handle
        self.blob = blob
        self.is_complete = is_complete
        self.stored_until = 0
        self.files: deque[SpoolFile] = deque()

    @property
    def frames(self) -> int:
        """Frames that wait, those of a file delivered in part included."""
        return sum(file.frames for file in self.files)

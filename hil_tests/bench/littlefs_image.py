"""Makes a board's file system out of a folder; over an emulated serial port that takes a minute."""

from pathlib import Path

from littlefs import LittleFS, UserContext

PROGRAM_BYTES = 256
#: The layout on disk that MicroPython's littlefs writes.
DISK_VERSION = 0x0002_0000


def littlefs_image(folder: Path, *, blocks: int, block_bytes: int) -> bytes:
    """Return an image of so many blocks with what is in a folder."""
    context = UserContext(buffsize=blocks * block_bytes)
    files = LittleFS(
        context=context,
        block_size=block_bytes,
        block_count=blocks,
        prog_size=PROGRAM_BYTES,
        disk_version=DISK_VERSION,
    )
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            files.mkdir(name)
        else:
            with files.open(name, "wb") as file:
                file.write(path.read_bytes())
    files.unmount()
    return bytes(context.buffer)

"""What is put into a file system: files, directories and links, with owner and mode."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tickseal_edge.image.programs import ImageError

_NOT_IN_A_PATH = set('"\n\0')
_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, directory or symbolic link.

    Args:
        path: absolute, in the image.
        content: of a file: bytes, or a file that has them; None for a directory or a link.
        link: what a symbolic link points at.
        mode: permissions.
        uid, gid: who owns it.
    """

    path: str
    content: bytes | Path | None = None
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    def __post_init__(self) -> None:
        """Check the path."""
        if not self.path.startswith("/") or _NOT_IN_A_PATH & set(self.path + self.link):
            raise ImageError(f"{self.path!r} is no path that can be put into an image")

    def __repr__(self) -> str:
        """Leave out the content, which may be secret."""
        return f"Entry({self.path!r})"

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return self.content is None and not self.link

    @property
    def blocks_bytes(self) -> int:
        """How much room it takes, about."""
        if self.content is None:
            return 0 if self.link else _BLOCK
        size = len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size
        return -(-size // _BLOCK) * _BLOCK


def directory(path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    """Return a directory."""
    return Entry(path=path, mode=mode, uid=uid, gid=gid)


def tree(source: Path, target: str) -> Iterable[Entry]:
    """Return all that lies in a folder, for a directory of the image; owned by root."""
    yield directory(target)
    for path in sorted(source.rglob("*")):
        place = f"{target}/{path.relative_to(source).as_posix()}"
        if path.is_symlink():
            yield Entry(path=place, link=str(path.readlink()))
        elif path.is_dir():
            yield directory(place)
        else:
            executable = bool(path.stat().st_mode & 0o100)
            yield Entry(path=place, content=path, mode=0o755 if executable else 0o644)

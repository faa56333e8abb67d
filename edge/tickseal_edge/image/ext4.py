"""Reads and changes the ext4 file system inside an image, by debugfs: no root, nothing mounted."""

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tickseal_edge.image.entries import Entry, directory
from tickseal_edge.image.partitions import Partition
from tickseal_edge.image.programs import ImageError, run

_STAT = re.compile(r"Inode: (\d+)\s+Type: (\w+|\S+ \S+)\s+Mode:\s+(\d+)")
_OWNER = re.compile(r"User:\s+(\d+)\s+Group:\s+(\d+)")
_LINK = re.compile(r'Fast link dest: "(.*)"')
_BANNER = re.compile(r"debugfs \d\.\d+")
_KINDS = {"directory": 0o040000, "regular": 0o100000, "symlink": 0o120000}
#: A directory that grows, and the journal's own accounts.
_MARGIN_BYTES = 4 << 20
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What is at a path: "regular", "directory", "symlink" or another kind."""

    kind: str
    mode: int
    uid: int
    gid: int
    link: str


class Ext4:
    """The file system in one partition of an image.

    Args:
        image: the file; it is changed in place.
        partition: where in it.
    Raises (every method):
        ImageError: there is no such file system, or it is damaged or full.
    """

    def __init__(self, image: Path, partition: Partition) -> None:
        self._image = image
        self._device = f"{image}?offset={partition.start}"
        if "?" in str(image):
            raise ImageError(f"{image}: choose a path without a question mark")

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        found = self.stat([path])[path]
        if found is None or found.kind != "regular":
            return None
        return self._ask(f'cat "{path}"')

    def names(self, path: str) -> list[str]:
        """Return what is in a directory; nothing where there is none."""
        if self.stat([path])[path] is None:
            return []
        rows = self._ask(f'ls -p "{path}"').decode(errors="replace").splitlines()
        names = [row.split("/")[5] for row in rows if row.count("/") >= 6]
        return sorted(name for name in names if name not in {".", ".."})

    def stat(self, paths: Sequence[str]) -> dict[str, Stat | None]:
        """Return what is at each path, without following links in the last place."""
        out = self._script([f'stat "{path}"' for path in paths], writes=False)
        answers = re.split(r"^debugfs: +stat .*$", out.decode(errors="replace"), flags=re.M)[1:]
        if len(answers) != len(paths):
            raise ImageError(f"{self._image}: debugfs answered otherwise than expected")
        return dict(zip(paths, map(_parse, answers), strict=True))

    def free(self) -> int:
        """Return how many bytes are free, for everybody or for root."""
        facts = dict(
            line.split(":", 1)
            for line in self._ask("show_super_stats -h").decode(errors="replace").splitlines()
            if ":" in line
        )
        if "needs_recovery" in facts.get("Filesystem features", ""):
            raise ImageError(
                f"{self._image}: its file system was not unmounted; start from the image as it was "
                "downloaded"
            )
        return int(facts["Free blocks"]) * int(facts["Block size"])

    def write(self, entries: Iterable[Entry]) -> None:
        """Put entries in place of what is there; directories that are missing are made.

        A directory that is there keeps its owner and mode, unless an entry names it.
        """
        wanted = {entry.path: entry for entry in entries}
        for path in list(wanted):
            for parent in PurePosixPath(path).parents[:-1]:
                wanted.setdefault(str(parent), directory(str(parent), mode=-1))
        self._see_to_room(wanted.values())
        there = self.stat(sorted(wanted))
        commands: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(sorted(wanted)):
                entry, old = wanted[path], there[path]
                source = Path(folder, str(number))
                if isinstance(entry.content, bytes):
                    source.write_bytes(entry.content)
                elif entry.content is not None:
                    source = entry.content.absolute()
                commands += _commands(entry, old, source)
            self._script(commands, writes=True)
        self._verify(wanted)

    def check(self) -> None:
        """See that the file system is whole."""
        done = run("e2fsck", ["-f", "-n", self._device], fine=range(256))
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip().splitlines()
            raise ImageError("\n".join([f"{self._image}: its file system is damaged:", *said[-5:]]))

    def _see_to_room(self, entries: Iterable[Entry]) -> None:
        needed = sum(entry.blocks_bytes for entry in entries) + _MARGIN_BYTES
        free = self.free()
        if free < needed:
            raise ImageError(
                f"the base image's root file system has {free // _MIB} MiB free, and "
                f"{-(-needed // _MIB)} are needed; take a smaller image (Raspberry Pi OS Lite), or "
                "enlarge it first"
            )

    def _verify(self, wanted: dict[str, Entry]) -> None:
        for path, found in self.stat(sorted(wanted)).items():
            entry = wanted[path]
            kind = "symlink" if entry.link else "directory" if entry.is_directory else "regular"
            if found is None or found.kind != kind:
                raise ImageError(f"{self._image}: {path} could not be written (found: {found})")

    def _ask(self, command: str) -> bytes:
        done = run("debugfs", ["-R", command, self._device])
        self._see_to_errors(done.stderr)
        return done.stdout

    def _script(self, commands: Sequence[str], *, writes: bool) -> bytes:
        with tempfile.NamedTemporaryFile("w", suffix=".debugfs") as file:
            file.write("\n".join(commands) + "\n")
            file.flush()
            done = run("debugfs", [*["-w"] * writes, "-f", file.name, self._device])
        self._see_to_errors(done.stderr, lookups=not writes)
        return done.stdout

    def _see_to_errors(self, stderr: bytes, *, lookups: bool = False) -> None:
        said = [
            line
            for line in stderr.decode(errors="replace").splitlines()
            if line.strip()
            and not _BANNER.match(line)
            and not (lookups and "File not found by ext2_lookup" in line)
        ]
        if said:
            raise ImageError("\n".join([f"{self._image}, its ext4 partition:", *said[:5]]))


def _commands(entry: Entry, old: Stat | None, source: Path) -> list[str]:
    path = PurePosixPath(entry.path)
    kind = "directory" if entry.is_directory else "regular"
    if old is not None and (old.kind == "directory") is not entry.is_directory:
        raise ImageError(f"the base image has {path} as a {old.kind}, and a {kind} is wanted")
    # What is made bears a name in the directory that is the current one.
    commands = [f'cd "{path.parent}"']
    if entry.is_directory:
        if old is None:
            commands.append(f'mkdir "{path.name}"')
        elif entry.mode < 0:
            return []
    else:
        if old is not None:
            commands.append(f'rm "{path.name}"')
        if entry.link:
            return [*commands, f'symlink "{path.name}" "{entry.link}"']
        commands.append(f'write "{source}" "{path.name}"')
    mode = 0o755 if entry.mode < 0 else entry.mode
    return [
        *commands,
        f'set_inode_field "{path}" mode 0{_KINDS[kind] | mode:o}',
        f'set_inode_field "{path}" uid {entry.uid}',
        f'set_inode_field "{path}" gid {entry.gid}',
    ]


def _parse(answer: str) -> Stat | None:
    what, owner, link = _STAT.search(answer), _OWNER.search(answer), _LINK.search(answer)
    if what is None or owner is None:
        return None
    return Stat(
        kind=what[2],
        mode=int(what[3], 8),
        uid=int(owner[1]),
        gid=int(owner[2]),
        link=link[1] if link else "",
    )

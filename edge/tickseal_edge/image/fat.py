"""Reads and changes the FAT file system inside an image, by mtools: no root, nothing mounted."""

import tempfile
from pathlib import Path

from tickseal_edge.image.partitions import Partition
from tickseal_edge.image.programs import ImageError, run

# mtools' own idea of what a disk must look like is stricter than the firmware's.
_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1"}
_MISSING = b"No match"


class Fat:
    """The file system in one partition of an image.

    Args:
        image: the file; it is changed in place.
        partition: where in it.
    Raises (every method):
        ImageError: there is no such file system, or it is full.
    """

    def __init__(self, image: Path, partition: Partition) -> None:
        self._image = image
        self._device = f"{image}@@{partition.start}"

    def read(self, name: str) -> str | None:
        """Return a text; None where there is no such file."""
        content = self.read_bytes(name)
        return None if content is None else content.decode("utf-8", "surrogateescape")

    def read_bytes(self, name: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        done = run(
            "mtype", ["-i", self._device, f"::{name}"], fine=(0, 1), environment=_ENVIRONMENT
        )
        if done.returncode == 0:
            return done.stdout
        if b"not found" in done.stderr or _MISSING in done.stderr:
            return None
        said = done.stderr.decode(errors="replace").strip()
        raise ImageError(f"{self._image}, its FAT partition: {said}")

    def write(self, name: str, text: str) -> None:
        """Write a text in place of what is there."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            run(
                "mcopy",
                ["-o", "-i", self._device, file.name, f"::{name}"],
                environment=_ENVIRONMENT,
            )

    def copy_tree(self, source: Path) -> None:
        """Copy all that lies in a folder."""
        names = [str(path) for path in sorted(source.iterdir())]
        run("mcopy", ["-s", "-i", self._device, *names, "::"], environment=_ENVIRONMENT)

    def make(self, label: str, size: int) -> None:
        """Make an empty FAT32 file system of so many bytes."""
        sectors = str(size // 512)
        run(
            "mformat",
            ["-i", self._device, "-F", "-T", sectors, "-h", "255", "-s", "63", "-v", label, "::"],
            environment=_ENVIRONMENT,
        )

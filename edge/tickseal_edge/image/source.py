"""The base image as it was downloaded: unpacked to a file that may be changed."""

import gzip
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tickseal_edge.image.programs import ImageError
from tickseal_edge.image.progress import Progress

_CHUNK = 1 << 20


def unpack(base: Path, target: Path, progress: Progress) -> None:
    """Write the image in `base` (.img, .img.xz, .zip, .gz) to `target`, sparsely.

    Raises:
        ImageError: it cannot be read, is damaged, or holds no image.
    """
    try:
        size = base.stat().st_size
        with base.open("rb") as packed, _opened(base, packed) as file, target.open("wb") as out:
            while chunk := file.read(_CHUNK):
                if any(chunk):
                    out.write(chunk)
                else:
                    out.seek(len(chunk), 1)
                progress.part(packed.tell(), size)
            out.truncate()
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise ImageError(f"{base} is damaged ({error}); download it again") from None
    except OSError as error:
        raise ImageError(f"cannot unpack {base} to {target}: {error.strerror or error}") from None


@contextmanager
def _opened(base: Path, packed: IO[bytes]) -> Iterator[IO[bytes] | gzip.GzipFile]:
    start = packed.read(6)
    packed.seek(0)
    if start == b"\xfd7zXZ\0":
        with lzma.open(packed) as xz:
            yield xz
    elif start[:2] == b"\x1f\x8b":
        with gzip.open(packed) as gz:
            yield gz
    elif start[:4] == b"PK\3\4":
        with zipfile.ZipFile(packed) as archive:
            images = [name for name in archive.namelist() if name.endswith(".img")]
            if len(images) != 1:
                raise ImageError(f"{base} holds {len(images)} files *.img; it should hold one")
            with archive.open(images[0]) as inner:
                yield inner
    elif start[:4] == b"\x28\xb5\x2f\xfd":
        raise ImageError(f"{base} is packed with zstd; unpack it first: unzstd {base.name}")
    else:
        yield packed

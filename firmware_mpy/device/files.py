"""Small files in flash that are whole or not there, whenever the power goes."""

import os
from hashlib import sha256

from tickseal.core.errors import StoreError

_SUM_BYTES = 8


def exists(path: str) -> bool:
    """Return whether there is such a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def read(path: str) -> bytes:
    """Return what write() has written.

    Raises:
        StoreError: there is no such file, or it is damaged.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise StoreError("cannot read " + path) from None
    content = data[:-_SUM_BYTES]
    if sha256(content).digest()[:_SUM_BYTES] != data[-_SUM_BYTES:]:
        raise StoreError(path + " is damaged")
    return content


def write(path: str, content: bytes) -> None:
    """Replace a file: littlefs renames in one step, so that there is the old or the new one.

    Raises:
        StoreError: the flash takes no more.
    """
    try:
        with open(path + ".new", "wb") as file:
            file.write(content + sha256(content).digest()[:_SUM_BYTES])
        os.rename(path + ".new", path)
        if hasattr(os, "sync"):
            os.sync()
    except OSError as error:
        raise StoreError("cannot write %s: %s" % (path, error)) from None

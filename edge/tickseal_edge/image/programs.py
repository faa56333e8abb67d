"""Programs of the system that images are made with: find them, run them, say what is missing."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tickseal.core.errors import TicksealError

#: Each with the Debian package that has it.
PACKAGES = {
    "arch-test": "arch-test",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mcopy": "mtools",
    "mformat": "mtools",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mtype": "mtools",
}
#: Programs of the system administrator are not in everybody's PATH.
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAID_LINES = 8


class ImageError(TicksealError):
    """An image cannot be made: what was wrong, where, and what to do."""


def need(*names: str) -> None:
    """See that programs are there.

    Raises:
        ImageError: some are missing; the message has the line that installs them.
    """
    missing = [name for name in names if _find(name) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[name] for name in missing}))
        raise ImageError(
            f"this needs {', '.join(missing)}; install it: sudo apt install {packages}"
        )


def run(
    name: str,
    arguments: Sequence[str],
    *,
    fine: Sequence[int] = (0,),
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end.

    Args:
        fine: exit codes that are no failure.
        environment: variables in addition.
    Raises:
        ImageError: it is missing, or it failed; the message ends with what it said.
    """
    need(name)
    done = subprocess.run(  # noqa: S603 - a known program, and no shell
        [str(_find(name)), *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
    )
    if done.returncode not in fine:
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise ImageError("\n".join([f"{name} failed:", *said[-_SAID_LINES:]]))
    return done


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SEARCH_PATH)

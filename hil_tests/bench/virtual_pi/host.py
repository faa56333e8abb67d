"""What the host needs to build and boot the virtual Pi, and how to get it."""

import platform
import shutil
from pathlib import Path

#: Programs, each with the Debian package that has it.
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "genext2fs": "genext2fs",
    "tune2fs": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
#: Programs of the system administrator are not in everybody's PATH.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def what_is_missing() -> str | None:
    """Return why this machine cannot run the virtual Pi and the way out, or None if it can."""
    if platform.machine() != "x86_64":
        return f"the virtual Pi runs on x86_64 hosts only; this is {platform.machine()}"
    packages = sorted(
        {package for program, package in PROGRAMS.items() if find(program) is None}
        | (set() if KEYRING.exists() else {"debian-archive-keyring"})
    )
    if packages:
        return (
            "the virtual Pi needs Debian packages that are not installed; run: "
            f"apt-get install --no-install-recommends {' '.join(packages)}"
        )
    if mirror() is None:
        return (
            f"the virtual Pi is built from the Debian mirror named in {SOURCES[0]} or "
            f"{SOURCES[1]}; neither names one"
        )
    return None


def find(program: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(program) or shutil.which(program, path=SEARCH_PATH)


def mirror() -> str | None:
    """Return the address that this machine itself takes Debian's packages from, or None."""
    for path in SOURCES:
        if not path.exists():
            continue
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["URIs:"]:
                return words[1]
            if words[:1] == ["deb"]:
                return next(word for word in words[1:] if "://" in word)
    return None

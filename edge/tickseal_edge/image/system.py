"""What the base image is: which release, which Python, who may log in."""

import re
from dataclasses import dataclass

from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.programs import ImageError

_OLDEST = (3, 11)
_PYTHON = re.compile(r"python3\.(\d+)$")
_AARCH64 = 183  # ELF's e_machine
_FIRST_USER = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The person's account."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What there is in a base image.

    Args:
        release: for people.
        python: "3.11" or later.
        user: the first one; None where there is none yet.
        has_networkmanager, has_cloud_init, has_picamera2: whether these are installed.
        has_raspi_firmware: whether Debian's package makes config.txt and cmdline.txt, again and
            again, from what is in /etc/default.
        asks_for_user: whether a first boot asks at the screen for a user's name and password.
        hostname: as it is.
        hosts: the text of /etc/hosts.
    """

    release: str
    python: str
    user: User | None
    has_networkmanager: bool
    has_cloud_init: bool
    has_picamera2: bool
    has_raspi_firmware: bool
    asks_for_user: bool
    hostname: str
    hosts: str


def look_at(root: Ext4) -> System:
    """Look at a base image's root file system.

    Raises:
        ImageError: it is not a 64-bit Debian of a release that tickseal runs on.
    """
    names = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root, "/usr/lib/os-release"), re.M)
    release = names[1] if names else "an unknown system"
    versions = [int(found[1]) for name in root.names("/usr/bin") if (found := _PYTHON.match(name))]
    if not versions:
        raise ImageError(f"the base image ({release}) has no Python 3; take Raspberry Pi OS Lite")
    python = max(versions)
    if (3, python) < _OLDEST:
        raise ImageError(
            f"the base image ({release}) has Python 3.{python}, and 3.11 is needed: take Raspberry "
            "Pi OS bookworm or newer"
        )
    program = root.read(f"/usr/bin/python3.{python}") or b""
    if program[:4] != b"\x7fELF" or int.from_bytes(program[18:20], "little") != _AARCH64:
        raise ImageError(
            f"the base image ({release}) is not a 64-bit ARM system; take the one that is named "
            "64-bit (arm64)"
        )
    there = root.stat(
        wanted := [
            "/usr/sbin/NetworkManager",
            "/etc/cloud/cloud.cfg",
            "/usr/lib/python3/dist-packages/picamera2",
            "/etc/default/raspi-firmware",
            "/usr/lib/systemd/system/userconfig.service",
        ]
    )
    networkmanager, cloud_init, picamera2, raspi_firmware, wizard = (
        there[path] is not None for path in wanted
    )
    return System(
        release=release,
        python=f"3.{python}",
        user=_first_user(_text(root, "/etc/passwd")),
        has_networkmanager=networkmanager,
        has_cloud_init=cloud_init,
        has_picamera2=picamera2,
        has_raspi_firmware=raspi_firmware,
        asks_for_user=wizard,
        hostname=_text(root, "/etc/hostname").strip(),
        hosts=_text(root, "/etc/hosts"),
    )


def _first_user(passwd: str) -> User | None:
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2] == str(_FIRST_USER):
            return User(name=fields[0], uid=_FIRST_USER, gid=int(fields[3]), home=fields[5])
    return None


def _text(root: Ext4, path: str) -> str:
    return (root.read(path) or b"").decode("utf-8", "replace")

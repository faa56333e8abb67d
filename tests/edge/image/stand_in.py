"""Stand-ins for Raspberry Pi OS, bookworm and trixie: the layout, and the files that matter here.

Source: pi-gen's stages (partitions, labels, config.txt, cmdline.txt, the first user and its
dialogue, cloud-init on the boot partition) and raspberrypi-sys-mods.
"""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tickseal_edge.image.fat import Fat
from tickseal_edge.image.partitions import Layout, Partition, write_layout
from tickseal_edge.image.programs import PACKAGES

MIB = 1 << 20
BOOT = Partition(start=8 * MIB, size=34 * MIB)
CONFIG = "dtparam=audio=on\ncamera_auto_detect=1\n\n[cm4]\notg_mode=1\n\n[all]\n"
COMMAND_LINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=4b1dc0de-02 rootfstype=ext4 "
    "fsck.repair=yes rootwait\n"
)
UNITS = "/usr/lib/systemd/system"
#: What tests of images need; a machine without it skips them.
MISSING = [name for name in ("debugfs", "mkfs.ext4", "mcopy") if shutil.which(
    name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is None]  # fmt: skip
REASON = f"not installed: {', '.join(MISSING)} (Debian: e2fsprogs, {PACKAGES['mcopy']})"


def elf(machine: int) -> bytes:
    """Return the head of a program for a machine, by ELF's number."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44)


def bookworm() -> dict[str, bytes]:
    """Return the files of Raspberry Pi OS Lite (64-bit), bookworm."""
    return {
        "/usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
        "/usr/bin/python3.11": elf(183),
        "/usr/bin/python3.11-config": b"#!/bin/sh\n",
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000:,,,:/home/pi:/bin/bash\n",
        "/etc/hostname": b"raspberrypi\n",
        "/etc/hosts": b"127.0.0.1\tlocalhost\n::1\t\tlocalhost\n\n127.0.1.1\traspberrypi\n",
        "/home/pi/.bashrc": b"# of the user\n",
        "/usr/sbin/NetworkManager": elf(183),
        "/var/lib/NetworkManager/NetworkManager.state": b"[main]\nWirelessEnabled=false\n",
        f"{UNITS}/userconfig.service": b"[Unit]\nDescription=User configuration dialog\n",
        f"{UNITS}/ssh.service": b"[Unit]\n",
        "/etc/systemd/system/multi-user.target.wants/README": b"",
        "/etc/ssh/sshd_config.d/rename_user.conf": b"Banner /usr/share/userconf-pi/sshd_banner\n",
        "/etc/udev/rules.d/99-com.rules": b"",
        "/usr/lib/sysusers.d/basic.conf": b"",
    }


def trixie() -> dict[str, bytes]:
    """Return the files of Raspberry Pi OS Lite (64-bit), trixie: a newer Python, and cloud-init."""
    files = bookworm()
    del files["/usr/bin/python3.11"]
    return files | {
        "/usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
        "/usr/bin/python3.13": elf(183),
        "/etc/cloud/cloud.cfg": b"users:\n  - default\n",
        "/etc/cloud/cloud.cfg.d/README": b"",
    }


@dataclass(kw_only=True)
class StandIn:
    """One image to be written.

    Args:
        files: of the root file system.
        boot_files: of the boot partition.
        root_mib: size of the root partition.
    """

    files: Mapping[str, bytes] = field(default_factory=bookworm)
    boot_files: Mapping[str, str] = field(
        default_factory=lambda: {"config.txt": CONFIG, "cmdline.txt": COMMAND_LINE}
    )
    root_mib: int = 16

    @property
    def layout(self) -> Layout:
        """Where the partitions lie, as pi-gen places them but smaller."""
        start = BOOT.start + BOOT.size
        return Layout(boot=BOOT, root=Partition(start=start, size=self.root_mib * MIB))

    def write(self, path: Path) -> Path:
        """Write the image and return its path."""
        root = path.with_suffix(".root")
        for name, content in self.files.items():
            target = root / name.removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        layout = self.layout
        with path.open("wb") as file:
            file.truncate(layout.root.start + layout.root.size)
        subprocess.run(
            [
                *("/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "rootfs", "-d", str(root)),
                *("-O", "^huge_file,^64bit", "-E", f"offset={layout.root.start}"),
                *(str(path), f"{self.root_mib}M"),
            ],
            check=True,
            capture_output=True,
        )
        shutil.rmtree(root)
        boot = Fat(path, layout.boot)
        boot.make("bootfs", layout.boot.size)
        for name, text in self.boot_files.items():
            boot.write(name, text)
        write_layout(path, layout, disk_id=0x4B1DC0DE)
        return path

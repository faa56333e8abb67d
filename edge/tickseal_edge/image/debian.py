"""A base image made from Debian's own arm64 packages, for where no Raspberry Pi OS is wanted."""

import hashlib
import os
import platform
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tickseal_edge.image.entries import Entry
from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.fat import Fat
from tickseal_edge.image.partitions import Layout, Partition, write_layout
from tickseal_edge.image.programs import ImageError, need, run
from tickseal_edge.image.progress import Progress
from tickseal_edge.image.wheels import cache_folder

SUITE = "trixie"
PACKAGES = (
    *("linux-image-arm64", "raspi-firmware", "initramfs-tools", "zstd"),
    *("systemd-sysv", "systemd-timesyncd", "udev", "dbus", "kmod", "e2fsprogs"),
    *("cloud-guest-utils", "fdisk"),  # growpart
    *("iproute2", "network-manager", "wpasupplicant", "firmware-brcm80211", "rfkill"),
    *("openssh-server", "sudo", "libnss-mdns"),
    "python3",
)
_LEFT_OUT = ("doc", "info", "locale", "man")
_MIRROR = "http://deb.debian.org/debian"
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_CUSTOMIZE = Path(__file__).with_name("debian-customize")
_FIRMWARE = "boot/firmware"
_MIB = 1 << 20
_BOOT = Partition(start=8 * _MIB, size=512 * _MIB)
#: What a system of its own may grow by until its file system has been grown to the card.
_ROOM_BYTES = 512 * _MIB


def debian_base(progress: Progress, *, refresh: bool) -> Path:
    """Return a base image of Debian for Raspberry Pis, made at the first time.

    Raises:
        ImageError: this machine cannot make it; the message says what it lacks.
    """
    recipe = repr((SUITE, PACKAGES, _LEFT_OUT, _ROOM_BYTES)).encode() + _CUSTOMIZE.read_bytes()
    folder = cache_folder()
    image = folder / f"debian-{SUITE}-{hashlib.sha256(recipe).hexdigest()[:12]}.img"
    if image.exists() and not refresh:
        return image
    need("debugfs", "mke2fs", "mcopy", "mformat", "mmdebstrap", "arch-test")
    _see_to_emulation()
    progress.note("the base image of Debian is made once, which takes ten minutes or more")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        building = Path(name)
        tree = building / "tree.tar"
        with progress.step(f"Debian {SUITE} for arm64, installed"):
            _bootstrap(tree)
        with progress.step("its file systems, written"):
            made = building / "image"
            _assemble(tree, building, made)
        made.replace(image)
    return image


def _bootstrap(tree: Path) -> None:
    script = shlex.quote(str(_CUSTOMIZE))
    hook = f'cp {script} "$1"/customize && chroot "$1" sh /customize && rm "$1"/customize'
    run(
        "mmdebstrap",
        [
            *("--variant=minbase", "--architectures=arm64", "--format=tar"),
            "--components=main,non-free-firmware",
            f"--include={','.join(PACKAGES)}",
            *([f"--keyring={_KEYRING}"] if _KEYRING.exists() else []),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
            '--aptopt=Acquire::Languages "none"',
            f"--customize-hook={hook}",
            *(SUITE, str(tree), _mirror()),
        ],
        # With several threads, dpkg-deb comes to a standstill under user-mode emulation; and the
        # initial RAM disk would be made twice, which takes minutes.
        environment={"DPKG_DEB_THREADS_MAX": "1", "INITRD": "No"},
    )


def _assemble(tree: Path, building: Path, image: Path) -> None:
    """Write partition table, FAT and ext4 of what is in an archive; no root, nothing mounted."""
    unpacked = building / "unpacked"
    unpacked.mkdir()
    with tarfile.open(tree) as archive:
        entries = list(_unpack(archive, unpacked))
    firmware = unpacked / "firmware"
    used = sum(entry.blocks_bytes for entry in entries)
    size = -(-(used * 11 // 10 + _ROOM_BYTES) // (4 * _MIB)) * 4 * _MIB
    layout = Layout(boot=_BOOT, root=Partition(start=_BOOT.start + _BOOT.size, size=size))
    with image.open("wb") as file:
        file.truncate(layout.root.start + layout.root.size)
    write_layout(image, layout, disk_id=int.from_bytes(os.urandom(4), "little"))
    boot = Fat(image, layout.boot)
    # mtools writes labels in capitals, whatever it is given.
    boot.make("BOOTFS", layout.boot.size)
    boot.copy_tree(firmware)
    run(
        "mke2fs",
        [
            *("-q", "-F", "-t", "ext4", "-L", "rootfs", "-b", "4096"),
            # Firmware and tools of older systems know neither.
            *("-O", "^metadata_csum_seed,^orphan_file"),
            *("-E", f"offset={layout.root.start},root_owner=0:0,lazy_itable_init=1"),
            *(str(image), f"{size // 1024}k"),
        ],
    )
    root = Ext4(image, layout.root)
    root.write(entries)
    root.check()
    shutil.rmtree(unpacked)


def _unpack(archive: tarfile.TarFile, folder: Path) -> Iterator[Entry]:
    """Yield all of an archive but devices, which the kernel makes; files lie in `folder` then.

    What is in the firmware's partition is not yielded, but put into `folder`/firmware.
    """
    contents: dict[str, Path] = {}
    for number, member in enumerate(archive):
        name = member.name.removeprefix("./").strip("/")
        packed = archive.extractfile(member) if member.isfile() else None
        if packed is not None:
            source = folder / str(number)
            if name.startswith(f"{_FIRMWARE}/"):
                source = folder / "firmware" / name.removeprefix(f"{_FIRMWARE}/")
                source.parent.mkdir(parents=True, exist_ok=True)
            with source.open("wb") as out:
                shutil.copyfileobj(packed, out)
            contents[name] = source
        elif member.islnk():
            contents[name] = contents[member.linkname.removeprefix("./").strip("/")]
        if not name or name.startswith(f"{_FIRMWARE}/"):
            continue
        if member.isdir() or member.issym() or name in contents:
            yield Entry(
                path=f"/{name}",
                content=contents.get(name),
                link=member.linkname if member.issym() else "",
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
            )


def _see_to_emulation() -> None:
    """See that programs for ARM run here, natively or by an emulator that the kernel starts."""
    if run("arch-test", ["arm64"], fine=(0, 1)).returncode == 0:
        return
    steps = "sudo apt install qemu-user-static"
    if not (_BINFMT / "register").exists():
        steps += f" && sudo mount -t binfmt_misc binfmt_misc {_BINFMT}"
    if not (_BINFMT / "qemu-aarch64").exists():
        steps += (
            f" && cat /usr/lib/binfmt.d/qemu-aarch64.conf | sudo tee {_BINFMT}/register >/dev/null"
        )
    raise ImageError(
        f"--base debian runs programs for ARM, and this {platform.machine()} machine cannot yet: "
        f"{steps}"
    )


def _mirror() -> str:
    """Return the address that this machine itself takes Debian's packages from."""
    for path in _SOURCES:
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            if words[:1] == ["URIs:"] and "debian" in words[1]:
                return words[1]
            if words[:1] == ["deb"]:
                return next((word for word in words[1:] if "://" in word), _MIRROR)
    return _MIRROR

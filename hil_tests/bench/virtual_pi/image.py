"""Builds the virtual Pi's disk, kernel and initial RAM disk, once for each recipe."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hil_tests.bench.virtual_pi import host, wheelhouse

SUITE = "trixie"
PACKAGES = (
    *("linux-image-amd64", "busybox-static", "kmod", "udev", "systemd-sysv", "dbus"),
    *("qemu-guest-agent", "iproute2", "ethtool", "procps", "util-linux-extra", "zstd"),
    *("chrony", "linuxptp", "pps-tools", "i2c-tools", "v4l-utils"),
    *("python3", "python3-venv", "python3-libcamera", "python3-prctl", "openssh-server"),
    *("gcc", "make", "linux-headers-amd64"),  # for our kernel modules
)
LEFT_OUT = ("doc", "info", "locale", "man")
DISK_BYTES = 3 << 30  # sparse

GUEST_FILES = Path(__file__).parent / "guest"
CACHE = wheelhouse.CHECKOUT / ".cache" / "virtual_pi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Files that a guest is started with; none of them is ever written to."""

    disk: Path
    kernel: Path
    initrd: Path


def image() -> Image:
    """Return the image of the present recipe, building it first where the cache lacks it."""
    folder = CACHE / _digest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _forget_old()
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as name:
                building = Path(name)
                building.chmod(0o755)  # mmdebstrap's user may be another one
                _build(building)
                (building / "image").rename(folder)
    return Image(disk=folder / "disk", kernel=folder / "vmlinuz", initrd=folder / "initrd")


def _forget_old() -> None:
    """Remove all but the newest image, and what an interrupted build left."""
    folders = [path for path in CACHE.iterdir() if path.is_dir()]
    whole = [path for path in folders if (path / "disk").exists()]
    newest = max(whole, key=lambda path: path.stat().st_mtime, default=None)
    for path in folders:
        if path != newest:
            shutil.rmtree(path)


def _digest() -> str:
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, LEFT_OUT, DISK_BYTES)).encode())
    recipe.update(repr((wheelhouse.requirements(), wheelhouse.PICAMERA2)).encode())
    for path in (Path(__file__), *sorted(GUEST_FILES.iterdir())):
        recipe.update(path.name.encode() + path.read_bytes())
    return recipe.hexdigest()[:16]


def _build(building: Path) -> None:
    bench = building / "bench"
    shutil.copytree(GUEST_FILES, bench)
    wheelhouse.collect(wheelhouse.requirements(), bench / "wheels")
    (bench / "requirements.txt").write_text("\n".join(wheelhouse.requirements()) + "\n")
    result = building / "image"
    result.mkdir()
    disk = result / "disk"
    _run(
        *("mmdebstrap", "--quiet", "--variant=minbase", "--architectures=amd64", "--format=ext2"),
        f"--keyring={host.KEYRING}",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        '--aptopt=Acquire::Languages "none"',
        f"--customize-hook=copy-in {bench} /",
        '--customize-hook=chroot "$1" /bench/customize',
        f"--customize-hook=copy-out /boot/bench/vmlinuz /boot/bench/initrd {result}",
        *(SUITE, str(disk), str(host.mirror())),
    )
    with disk.open("r+b") as opened:
        opened.truncate(DISK_BYTES)
    _run("resize2fs", str(disk))
    _run("tune2fs", "-j", "-O", "extent,dir_index", "-c", "0", "-i", "0", str(disk))


def _run(program: str, *arguments: str) -> None:
    path = host.find(program)
    if path is None:
        raise RuntimeError(host.what_is_missing() or f"{program} is not installed")
    # INITRD=No: Debian's own initial RAM disk would cost ten seconds, and is not used.
    environment = {**os.environ, "INITRD": "No", "PATH": f"{host.SEARCH_PATH}"}
    command = ["nice", "-n", "10", path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")

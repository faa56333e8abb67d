"""Makes an image: unpacks the base, looks at it, puts files in; nothing is booted or mounted."""

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tickseal_edge.image import contents, firmware, wheels
from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.fat import Fat
from tickseal_edge.image.packages import needed_packages
from tickseal_edge.image.partitions import read_layout
from tickseal_edge.image.programs import ImageError, need
from tickseal_edge.image.progress import Progress
from tickseal_edge.image.request import Request
from tickseal_edge.image.source import unpack
from tickseal_edge.image.system import System, look_at
from tickseal_edge.production.stream_config import CameraStream

_CONFIG, _COMMAND_LINE = "config.txt", "cmdline.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was made.

    Attributes:
        image: the file.
        size_bytes: of it.
        release, python: of the base.
        tickseal: the version that is in.
        is_native: with its hot path in C.
        login: who may log in by SSH, or empty.
        config_lines: what was added to config.txt.
        notes: what a person should know.
    """

    image: str
    size_bytes: int
    board: str
    release: str
    python: str
    tickseal: str
    is_native: bool
    hostname: str
    login: str
    gateways: tuple[str, ...]
    config_lines: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return asdict(self)


def build_image(
    request: Request, base: Path, target: Path, progress: Progress, *, refresh: bool = False
) -> Built:
    """Make an image for one device.

    Args:
        base: an image as it was downloaded; it is not changed.
        target: the file to write, readable by its owner only, since the invite is in it.
        refresh: fetch packages again that the cache has.
    Raises:
        ImageError: it cannot be made; nothing is left in place of `target` then.
    """
    need("debugfs", "e2fsck", "mcopy", "mtype")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        with progress.step(f"{base.name}, unpacked"):
            unpack(base, part, progress)
        built = _fill(request, part, target, progress, refresh=refresh)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return built


def _fill(
    request: Request, image: Path, target: Path, progress: Progress, *, refresh: bool
) -> Built:
    layout = read_layout(image)
    root, boot = Ext4(image, layout.root), Fat(image, layout.boot)
    system = look_at(root)
    config_text = boot.read(_CONFIG)
    if config_text is None:
        raise ImageError("the base image's first partition has no config.txt: is it for a Pi?")
    lines = contents.switched_on(request)
    entries = [
        *contents.service(request),
        *contents.identity(request, system),
        *contents.login(request, system, _known_keys(root, system)),
        *contents.network(request.wifi, system),
        *contents.firmware_defaults(lines, request.wifi, system),
    ]
    extras, packages = needed_packages(request.config)
    wanted = wheels.requirements(extras, [*packages, *request.packages])
    collected = wheels.collect(wanted, system.python, progress, refresh=refresh)
    doing = f"tickseal {wheels.own_version()} and its packages, put in"
    with tempfile.TemporaryDirectory() as folder, progress.step(doing):
        is_native = wheels.install(wanted, system.python, collected, Path(folder))
        root.write([*contents.software(Path(folder), system.python), *entries])
    _write_firmware_files(boot, config_text, lines, request)
    with progress.step("file system, checked"):
        root.check()
    return Built(
        image=str(target),
        size_bytes=image.stat().st_size,
        board=request.board_name,
        release=system.release,
        python=system.python,
        tickseal=wheels.own_version(),
        is_native=is_native,
        hostname=request.hostname or system.hostname,
        login=system.user.name if system.user and request.ssh_keys else "",
        gateways=request.addresses,
        config_lines=tuple(lines),
        notes=tuple(_notes(request, system, is_native=is_native)),
    )


def _known_keys(root: Ext4, system: System) -> bytes:
    if system.user is None:
        return b""
    return root.read(f"{system.user.home}/.ssh/authorized_keys") or b""


def _write_firmware_files(boot: Fat, config: str, lines: list[str], request: Request) -> None:
    boot.write(_CONFIG, firmware.with_lines(config, lines))
    if request.wifi is not None:
        command_line = boot.read(_COMMAND_LINE)
        if command_line is None:
            raise ImageError("the base image's first partition has no cmdline.txt: is it for a Pi?")
        boot.write(_COMMAND_LINE, firmware.with_country(command_line, request.wifi.country))


def _notes(request: Request, system: System, *, is_native: bool) -> list[str]:
    notes = []
    if not is_native:
        notes.append(
            "sealing is in Python there; in C it costs less, if the image is made from a checkout "
            "of tickseal and with Debian's package gcc-aarch64-linux-gnu"
        )
    if request.is_only_loopback:
        notes.append(
            f"the invite names {', '.join(request.addresses)}, which is the device itself; make "
            "one with `tickseal gateway invite --address HOST:PORT`"
        )
    has_camera = any(isinstance(one, CameraStream) for one in request.config.streams)
    if has_camera and not system.has_picamera2:
        notes.append(
            "the base image lacks picamera2; once the device runs: sudo apt install "
            "python3-picamera2 && sudo systemctl restart tickseal-edge"
        )
    if system.has_raspi_firmware and len(contents.switched_on(request)) > 1:
        notes.append(
            "Debian's own kernel may not obey all of the lines for config.txt; for sensors and "
            "cameras on the board's pins take Raspberry Pi OS"
        )
    if not request.ssh_keys:
        notes.append("nobody can log in over the network; --ssh-key FILE.pub would let you in")
    return notes

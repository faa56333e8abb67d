"""What is put into the image: the software, the service, and all that a person would type."""

import uuid
from collections.abc import Iterator
from pathlib import Path

from tickseal_edge.image.entries import Entry, directory, tree
from tickseal_edge.image.programs import ImageError
from tickseal_edge.image.request import STATE, Request, WiFi
from tickseal_edge.image.system import System, User
from tickseal_edge.production.stream_config import (
    CameraStream,
    GPIOStream,
    OneWireStream,
    SPIStream,
)

PREFIX = "/opt/tickseal"
_UNITS = "/etc/systemd/system"
_STARTED = ("tickseal-first-boot.service", "tickseal-enrol.service", "tickseal-edge.service")
_SSHD = "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
_PLAIN_SSID = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")


def system_file(name: str) -> Path:
    """Return a file of edge/systemd or edge/udev; an installed package has them beside itself."""
    package = Path(__file__).parents[1]
    for folder in (package.parent, package):
        for place in ("systemd", "udev"):
            if (path := folder / place / name).is_file():
                return path
    raise ImageError(f"this installation lacks {name}; install tickseal again")


def software(packages: Path, python: str) -> Iterator[Entry]:
    """Return the virtual environment, with packages that are unpacked already.

    Args:
        python: the image's, "3.13".
    """
    # libcamera and lgpio are Debian's packages, and are found there.
    text = f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {python}\n"
    yield Entry(path=f"{PREFIX}/pyvenv.cfg", content=text.encode())
    yield Entry(path=f"{PREFIX}/bin/python", link=f"/usr/bin/python{python}")
    yield Entry(path=f"{PREFIX}/bin/python3", link="python")
    for name, module, function in (
        ("tickseal", "tickseal.cli", "main"),
        ("pip", "pip._internal.cli.main", "main"),
    ):
        text = (
            f"#!{PREFIX}/bin/python\nimport sys\n\nfrom {module} import {function}\n\n"
            f"sys.exit({function}())\n"
        )
        yield Entry(path=f"{PREFIX}/bin/{name}", content=text.encode(), mode=0o755)
    yield from tree(packages, f"{PREFIX}/lib/python{python}/site-packages")


def service(request: Request) -> Iterator[Entry]:
    """Return the service's units, its configuration and the invite, which only root may read."""
    for name, place in (
        ("tickseal.sysusers", "/usr/lib/sysusers.d/tickseal.conf"),
        ("60-tickseal.rules", "/etc/udev/rules.d/60-tickseal.rules"),
        ("tickseal-enrolled.conf", f"{_UNITS}/tickseal-edge.service.d/enrolled.conf"),
        *((unit, f"{_UNITS}/{unit}") for unit in _STARTED),
    ):
        yield Entry(path=place, content=system_file(name).read_bytes())
    for unit in _STARTED:
        yield Entry(path=f"{_UNITS}/multi-user.target.wants/{unit}", link=f"{_UNITS}/{unit}")
    first_boot = system_file("tickseal-first-boot").read_bytes()
    yield Entry(path=f"{PREFIX}/bin/tickseal-first-boot", content=first_boot, mode=0o755)
    yield Entry(path="/etc/tickseal/edge.toml", content=request.config_text.encode())
    yield Entry(path="/etc/tickseal/first-boot", content=b"")
    yield directory(STATE, mode=0o700)
    yield Entry(path=f"{STATE}/invite", content=f"{request.invite}\n".encode(), mode=0o600)
    text = "".join(f"{name}\n" for name in request.board.flash.modules)
    yield Entry(path="/etc/modules-load.d/tickseal.conf", content=text.encode())


def identity(request: Request, system: System) -> Iterator[Entry]:
    """Return the host's name, and what keeps cloud-init from giving another."""
    name = request.hostname
    if not name:
        return
    yield Entry(path="/etc/hostname", content=f"{name}\n".encode())
    lines = [line for line in system.hosts.splitlines() if not line.startswith("127.0.1.1")]
    yield Entry(path="/etc/hosts", content="\n".join([*lines, f"127.0.1.1\t{name}", ""]).encode())
    if system.has_cloud_init:
        text = b"# The name is in /etc/hostname.\npreserve_hostname: true\n"
        yield Entry(path="/etc/cloud/cloud.cfg.d/99-tickseal.cfg", content=text)


def login(request: Request, system: System, known: bytes) -> Iterator[Entry]:
    """Return what lets the holders of the SSH keys in, as the image's first user, and into sudo.

    Args:
        known: the keys that the user has already.
    """
    if not request.ssh_keys:
        return
    user = system.user
    if user is None:
        raise ImageError("the base image has no user with the number 1000 for --ssh-key")
    yield from _authorized(user, request.ssh_keys, known)
    # The user has no password, so sudo cannot ask for it.
    rule = f"{user.name} ALL=(ALL) NOPASSWD: ALL\n".encode()
    yield Entry(path="/etc/sudoers.d/010_tickseal", content=rule, mode=0o440)
    yield Entry(path="/etc/ssh/sshd_config.d/10-tickseal.conf", content=_SSHD.encode())
    wants = f"{_UNITS}/multi-user.target.wants"
    yield Entry(path=f"{wants}/ssh.service", link="/usr/lib/systemd/system/ssh.service")
    if system.asks_for_user:
        # The dialogue at the screen would rename the user. It is masked, since a first boot
        # enables again what is only disabled.
        yield Entry(path=f"{_UNITS}/userconfig.service", link="/dev/null")
        yield Entry(
            path=f"{_UNITS}/getty.target.wants/getty@tty1.service",
            link="/usr/lib/systemd/system/getty@.service",
        )
        yield Entry(path="/etc/ssh/sshd_config.d/rename_user.conf", content=b"")


def network(wifi: WiFi | None, system: System) -> Iterator[Entry]:
    """Return the Wi-Fi connection, and the switch that lets it on the air."""
    if wifi is None:
        return
    if not system.has_networkmanager:
        raise ImageError(
            f"the base image ({system.release}) has no NetworkManager, which --wifi is for: take "
            "Raspberry Pi OS bookworm or newer, or use a cable"
        )
    plain = set(wifi.ssid) <= _PLAIN_SSID
    ssid = wifi.ssid if plain else "".join(f"{byte};" for byte in wifi.ssid.encode())
    security = f"\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={wifi.key}\n" if wifi.key else ""
    text = (
        f"[connection]\nid=tickseal-wifi\nuuid={uuid.uuid4()}\ntype=wifi\n"
        f"\n[wifi]\nmode=infrastructure\nssid={ssid}\n{security}"
        "\n[ipv4]\nmethod=auto\n\n[ipv6]\naddr-gen-mode=default\nmethod=auto\n"
    )
    # NetworkManager leaves aside what others than root could read.
    place = "/etc/NetworkManager/system-connections/tickseal-wifi.nmconnection"
    yield Entry(path=place, content=text.encode(), mode=0o600)
    on = b"[main]\nNetworkingEnabled=true\nWirelessEnabled=true\nWWANEnabled=true\n"
    yield Entry(path="/var/lib/NetworkManager/NetworkManager.state", content=on)


def switched_on(request: Request) -> list[str]:
    """Return the lines of config.txt for this board and what it streams.

    A function that takes a pin is switched on only where the configuration asks for it.
    """
    board, config = request.board, request.config
    kinds = {type(stream) for stream in config.streams}
    lines = [board.i2c.enable] if board.i2c else []
    if board.spi and SPIStream in kinds:
        lines.append(board.spi.enable)
    if board.camera.enable and CameraStream in kinds:
        lines.append(board.camera.enable)
    if board.onewire and OneWireStream in kinds:
        lines.append(board.onewire.enable)
    pins = {one.line for one in config.streams if isinstance(one, GPIOStream)}
    if board.pps and (config.clock.source == "pps" or config.clock.gpsd):
        if board.pps.gpio in pins:
            raise ImageError(f"GPIO {board.pps.gpio} is the board's PPS and a stream's line too")
        lines.append(board.pps.enable)
    return lines


def firmware_defaults(lines: list[str], wifi: WiFi | None, system: System) -> Iterator[Entry]:
    """Return what Debian makes config.txt and cmdline.txt from when it updates the kernel."""
    if not system.has_raspi_firmware:
        return
    text = "".join(f"{line}\n" for line in lines)
    yield Entry(path="/etc/default/raspi-firmware-custom", content=text.encode())
    if wifi is not None:
        text = f"cfg80211.ieee80211_regdom={wifi.country}\n"
        yield Entry(path="/etc/default/raspi-extra-cmdline", content=text.encode())


def _authorized(user: User, keys: tuple[str, ...], known: bytes) -> Iterator[Entry]:
    folder = f"{user.home}/.ssh"
    lines = known.decode("utf-8", "replace").splitlines()
    lines += [key for key in keys if key not in lines]
    yield directory(folder, mode=0o700, uid=user.uid, gid=user.gid)
    text = "".join(f"{line}\n" for line in lines)
    yield Entry(
        path=f"{folder}/authorized_keys",
        content=text.encode(),
        mode=0o600,
        uid=user.uid,
        gid=user.gid,
    )

"""An image holds what a device needs to enrol by itself, and the base is as it was."""

import hashlib
import lzma
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tickseal_edge.image.build import build_image
from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.fat import Fat
from tickseal_edge.image.partitions import read_layout
from tickseal_edge.image.programs import ImageError
from tickseal_edge.image.progress import Progress
from tickseal_edge.image.request import Request, WiFi

from .conftest import INVITE
from .stand_in import COMMAND_LINE, CONFIG, MISSING, REASON, StandIn, bookworm, elf, trixie

pytestmark = pytest.mark.skipif(bool(MISSING), reason=REASON)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFyZSB5b3UgcmVhZGluZyB0aGlzPw me@desk"
UNITS = "/etc/systemd/system"
MakeRequest = Callable[..., Request]


class Opened:
    """A built image."""

    def __init__(self, path: Path) -> None:
        layout = read_layout(path)
        self.root, self.boot = Ext4(path, layout.root), Fat(path, layout.boot)
        self.root.check()

    def text(self, path: str) -> str:
        content = self.root.read(path)
        assert content is not None, path
        return content.decode()


@pytest.fixture
def build(tmp_path: Path, quiet: Progress, no_index: object) -> Callable[..., Opened]:
    """Build from a stand-in, or from a file."""

    def build(request: Request, base: StandIn | Path | None = None) -> Opened:
        path = base if isinstance(base, Path) else tmp_path / "base.img"
        if not isinstance(base, Path):
            (base or StandIn()).write(path)
        build_image(request, path, tmp_path / "edge.img", quiet)
        return Opened(tmp_path / "edge.img")

    return build


def test_the_device_enrols_by_itself(
    build: Callable[..., Opened], make_request: MakeRequest
) -> None:
    image = build(make_request())
    invite = image.root.stat(["/var/lib/tickseal-edge/invite"])["/var/lib/tickseal-edge/invite"]
    assert image.text("/var/lib/tickseal-edge/invite").strip() == INVITE
    assert invite is not None
    assert (invite.mode & 0o777, invite.uid) == (0o600, 0)
    for unit in ("tickseal-first-boot", "tickseal-enrol", "tickseal-edge"):
        link = f"{UNITS}/multi-user.target.wants/{unit}.service"
        assert image.root.stat([link])[link].link == f"{UNITS}/{unit}.service"  # type: ignore[union-attr]
        assert "[Service]" in image.text(f"{UNITS}/{unit}.service")
    assert "identity.json" in image.text(f"{UNITS}/tickseal-edge.service.d/enrolled.conf")
    assert 'state = "/var/lib/tickseal-edge"' in image.text("/etc/tickseal/edge.toml")
    assert 'most = "256MiB"' in image.text("/etc/tickseal/edge.toml")


@pytest.mark.parametrize(("files", "python"), [(bookworm(), "3.11"), (trixie(), "3.13")])
def test_the_software_is_for_the_python_of_the_image(
    build: Callable[..., Opened], make_request: MakeRequest, files: dict[str, bytes], python: str
) -> None:
    image = build(make_request(), StandIn(files=files))
    packages = f"/opt/tickseal/lib/python{python}/site-packages/tickseal"
    assert image.text(f"{packages}/__init__.py") == '"""tickseal."""\n'
    assert image.text(f"{packages}/data with spaces.txt") == "x" * 10_000
    link = "/opt/tickseal/bin/python"
    assert image.root.stat([link])[link].link == f"/usr/bin/python{python}"  # type: ignore[union-attr]
    assert image.text("/opt/tickseal/bin/tickseal").startswith(f"#!{link}\n")
    assert "home = /usr/bin\n" in image.text("/opt/tickseal/pyvenv.cfg")


@pytest.mark.parametrize("kind", ["img", "xz", "zip"])
def test_a_base_is_taken_as_it_was_downloaded(
    tmp_path: Path, quiet: Progress, no_index: object, make_request: MakeRequest, kind: str
) -> None:
    plain = StandIn().write(tmp_path / "base.img")
    base = plain
    if kind == "xz":
        base = tmp_path / "base.img.xz"
        base.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    elif kind == "zip":
        base = tmp_path / "base.zip"
        with zipfile.ZipFile(base, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "raspios.img")
            archive.writestr("raspios.info", "about it")
    before = hashlib.sha256(base.read_bytes()).digest()
    target = tmp_path / "edge.img"
    built = build_image(make_request(), base, target, quiet)
    assert hashlib.sha256(base.read_bytes()).digest() == before
    assert (built.python, built.release) == ("3.11", "Debian GNU/Linux 12 (bookworm)")
    assert Opened(target).text("/home/pi/.bashrc") == "# of the user\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600, "the invite is in it"
    assert target.stat().st_size == plain.stat().st_size


def test_who_has_the_key_gets_in_and_nobody_is_asked_for_a_name(
    build: Callable[..., Opened], make_request: MakeRequest
) -> None:
    files = bookworm() | {"/home/pi/.ssh/authorized_keys": b"ssh-rsa AAAA earlier\n"}
    image = build(make_request(ssh_keys=(KEY,)), StandIn(files=files))
    keys = "/home/pi/.ssh/authorized_keys"
    assert image.text(keys) == f"ssh-rsa AAAA earlier\n{KEY}\n"
    found = image.root.stat([keys, "/home/pi/.ssh", "/etc/sudoers.d/010_tickseal"])
    assert [(one.uid, one.gid, one.mode & 0o777) for one in found.values() if one] == [
        (1000, 1000, 0o600),
        (1000, 1000, 0o700),
        (0, 0, 0o440),
    ]
    assert "PasswordAuthentication no" in image.text("/etc/ssh/sshd_config.d/10-tickseal.conf")
    links = [f"{UNITS}/userconfig.service", f"{UNITS}/multi-user.target.wants/ssh.service"]
    assert [one.link for one in image.root.stat(links).values() if one] == [
        "/dev/null",
        "/usr/lib/systemd/system/ssh.service",
    ]


def test_wifi_is_on_and_its_password_is_nowhere(
    build: Callable[..., Opened], make_request: MakeRequest, tmp_path: Path
) -> None:
    wifi = WiFi(ssid="IEEE", password="password", country="GB")
    image = build(make_request(wifi=wifi))
    place = "/etc/NetworkManager/system-connections/tickseal-wifi.nmconnection"
    # IEEE 802.11, annex J.4.2, the first test vector.
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert f"ssid=IEEE\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={key}\n" in image.text(place)
    found = image.root.stat([place])[place]
    assert found is not None
    assert (found.mode & 0o777, found.uid) == (0o600, 0)
    state = image.text("/var/lib/NetworkManager/NetworkManager.state")
    assert "WirelessEnabled=true" in state
    line = f"{COMMAND_LINE.strip()} cfg80211.ieee80211_regdom=GB\n"
    assert image.boot.read("cmdline.txt") == line
    assert b"=password" not in (tmp_path / "edge.img").read_bytes()


def test_a_network_with_any_name_is_found(
    build: Callable[..., Opened], make_request: MakeRequest
) -> None:
    image = build(make_request(wifi=WiFi(ssid="Café; 2", password="", country="DE")))
    text = image.text("/etc/NetworkManager/system-connections/tickseal-wifi.nmconnection")
    assert "ssid=67;97;102;195;169;59;32;50;\n" in text
    assert "wifi-security" not in text


def test_the_name_is_kept_by_cloud_init(
    build: Callable[..., Opened], make_request: MakeRequest
) -> None:
    image = build(make_request(hostname="garden"), StandIn(files=trixie()))
    assert image.text("/etc/hostname") == "garden\n"
    assert (
        image.text("/etc/hosts") == "127.0.0.1\tlocalhost\n::1\t\tlocalhost\n\n127.0.1.1\tgarden\n"
    )
    assert "preserve_hostname: true" in image.text("/etc/cloud/cloud.cfg.d/99-tickseal.cfg")


def test_the_board_switches_on_what_the_streams_need(
    build: Callable[..., Opened], make_request: MakeRequest, no_index: list[list[str]]
) -> None:
    config = """
        [clock]
        source = "pps"
        [[streams]]
        kind = "i2c"
        profile = "bme280"
        [[streams]]
        kind = "ds18b20"
        [[streams]]
        kind = "camera"
    """
    image = build(make_request(config=config))
    added = (image.boot.read("config.txt") or "").removeprefix(CONFIG)
    assert added.split("\n") == [
        "", "# tickseal: begin", "[all]", "dtparam=i2c_arm=on", "camera_auto_detect=1",
        "dtoverlay=w1-gpio,gpiopin=4", "dtoverlay=pps-gpio,gpiopin=18", "# tickseal: end", "",
    ]  # fmt: skip
    assert image.text("/etc/modules-load.d/tickseal.conf") == "i2c-dev\n"
    assert image.text("/etc/tickseal/edge.toml").startswith('state = "/var/lib/tickseal-edge"\n')
    (wanted,) = no_index
    assert "adafruit-circuitpython-bme280" in wanted
    assert any(one.startswith("adafruit-blinka") for one in wanted)


@pytest.mark.parametrize(
    ("stand_in", "message"),
    [
        (StandIn(files=bookworm() | {"/usr/bin/python3.11": elf(40)}), "64-bit"),
        (
            StandIn(files={"/usr/bin/python3.9": elf(183), "/etc/passwd": b""}),
            "3.11 is needed",
        ),
        (StandIn(files={"/etc/passwd": b""}), "no Python 3"),
        (StandIn(root_mib=5), "are needed"),
        (StandIn(boot_files={"readme.txt": "x"}), "no config.txt"),
    ],
    ids=["32-bit", "old", "no Python", "no room", "no firmware"],
)
def test_a_base_that_will_not_do_is_refused_and_nothing_is_left(
    build: Callable[..., Opened], make_request: MakeRequest, tmp_path: Path,
    stand_in: StandIn, message: str,
) -> None:  # fmt: skip
    with pytest.raises(ImageError, match=message):
        build(make_request(), stand_in)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.img"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: data[:100], "no partition table"),
        (lambda data: lzma.compress(data, preset=0)[:5000], "damaged"),
        (lambda data: data[: 42 << 20] + bytes(len(data) - (42 << 20)), "debugfs|ext4"),
    ],
    ids=["cut off", "short", "packed and cut off", "no file system"],
)
def test_a_damaged_download_is_refused(
    build: Callable[..., Opened], make_request: MakeRequest, tmp_path: Path,
    spoil: Callable[[bytes], bytes], message: str,
) -> None:  # fmt: skip
    base = StandIn().write(tmp_path / "base.img")
    base.write_bytes(spoil(base.read_bytes()))
    with pytest.raises(ImageError, match=message):
        build(make_request(), base)
    assert not list(tmp_path.glob("*edge.img*"))

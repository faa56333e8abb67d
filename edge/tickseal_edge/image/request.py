"""What a person asks for: the board, the invite, who may log in, Wi-Fi, the configuration."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from tickseal.core.errors import ConfigError
from tickseal.invite import InviteToken
from tickseal_edge.boards import Board
from tickseal_edge.config import EdgeConfig, load_config

#: Where the unit lets the service write, and where the invite waits for the first boot.
STATE = "/var/lib/tickseal-edge"
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I)
_COUNTRY = re.compile(r"[A-Z]{2}")
_PUBLIC_KEY = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?")
_LOOPBACK = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class WiFi:
    """A network to join.

    Args:
        ssid: its name, 1..32 bytes.
        password: 8..63 characters, or empty where the network is open.
        country: two letters; its rules are obeyed.
    """

    ssid: str
    password: str = field(default="", repr=False)
    country: str

    def __post_init__(self) -> None:
        """Check all three."""
        if not 1 <= len(self.ssid.encode()) <= 32:
            raise ConfigError("the name of a Wi-Fi network has 1 to 32 bytes: see --wifi")
        if self.password and not 8 <= len(self.password) <= 63:
            raise ConfigError(
                f"a Wi-Fi password has 8 to 63 characters; this one has {len(self.password)}"
            )
        if not _COUNTRY.fullmatch(self.country):
            raise ConfigError(
                "Wi-Fi stays off until it is known where it is used: add --wifi-country with the "
                "two letters of the country, such as GB"
            )

    @property
    def key(self) -> str:
        """The key in 64 digits, which is what is stored (IEEE 802.11, annex J.4.1); or empty."""
        if not self.password:
            return ""
        ssid, password = self.ssid.encode(), self.password.encode()
        return hashlib.pbkdf2_hmac("sha1", password, ssid, 4096, 32).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that is asked for.

    Args:
        board, board_name: what the card is for.
        invite: the token.
        config_text: of /etc/tickseal/edge.toml.
        config: the same, read.
        ssh_keys: public keys, one a line.
        wifi: a network to join; None for a cable.
        hostname: empty to keep the base image's.
        packages: wanted from PyPI besides what the configuration needs.
    """

    board: Board
    board_name: str
    invite: str = field(repr=False)
    config_text: str
    config: EdgeConfig
    ssh_keys: tuple[str, ...] = ()
    wifi: WiFi | None = None
    hostname: str = ""
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what has not been checked yet."""
        InviteToken.parse(self.invite)
        if self.hostname and not _HOSTNAME.fullmatch(self.hostname):
            raise ConfigError(
                f"--hostname {self.hostname!r}: letters, digits and hyphens, 63 at most"
            )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the device will look for the gateway."""
        return InviteToken.parse(self.invite).addresses

    @property
    def is_only_loopback(self) -> bool:
        """Whether no other machine can reach the gateway at these addresses."""
        return all(one.removeprefix("[").startswith(_LOOPBACK) for one in self.addresses)


def read_config(path: Path | None, default: Path, board: Board) -> tuple[str, EdgeConfig]:
    """Return the text of the device's configuration, with its state where the unit allows it.

    Args:
        path: the person's; None for `default`, with a spool of the size that suits the board.
    Raises:
        ConfigError: it says something that is not allowed, or keeps its state elsewhere.
    """
    config = load_config(path or default)
    text = (path or default).read_text("utf-8")
    if path is None:
        return f'{text}\n[spool]\nmost = "{board.limits.spool_mib}MiB"\n', config
    if not config.state:
        text = f'state = "{STATE}"\n{text}'
    elif config.state != STATE:
        raise ConfigError(
            f'{path}: state = "{config.state}"; on a device it is "{STATE}": leave the line out'
        )
    return text, config


def read_public_key(text: str) -> list[str]:
    """Return the SSH keys that a file, or the text itself, holds.

    Raises:
        ConfigError: it is no public key.
    """
    where = "--ssh-key"
    if not _PUBLIC_KEY.fullmatch(text.strip()):
        where = text
        try:
            text = Path(text).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--ssh-key: cannot read {where}: {error}") from None
    keys = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if not keys or any("PRIVATE KEY" in key for key in keys):
        raise ConfigError(f"{where} holds no public key; give the file that ends with .pub")
    for key in keys:
        if not _PUBLIC_KEY.fullmatch(key):
            raise ConfigError(f"{where}: {key[:30]!r}... is no public key of SSH")
    return keys

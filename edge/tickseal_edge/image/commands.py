"""Make a card's image for a Raspberry Pi that enrols by itself."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tickseal.core.errors import ConfigError
from tickseal.host.enrolment import read_invite
from tickseal_edge.boards import load_boards
from tickseal_edge.image.build import Built, build_image
from tickseal_edge.image.contents import system_file
from tickseal_edge.image.debian import debian_base
from tickseal_edge.image.progress import Progress
from tickseal_edge.image.request import Request, WiFi, read_config, read_public_key

_EXAMPLES = """\b
Examples:
  tickseal image build --board rpi4 --invite TOKEN \\
      --base raspios-lite-arm64.img.xz -o edge.img --ssh-key ~/.ssh/id_ed25519.pub
  tickseal image build --board rpi-zero-2-w --invite @token.txt --base raspios.img.xz \\
      -o edge.img --wifi Garden --wifi-country GB --config greenhouse.toml --hostname garden
  tickseal image build --board rpi4 --invite TOKEN --base debian -o edge.img
\b
The Wi-Fi password is asked for, or taken from the variable TICKSEAL_WIFI_PASSWORD.
"""
_PASSWORD = "TICKSEAL_WIFI_PASSWORD"  # noqa: S105 - the name of a variable

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)


@app.callback()
def image() -> None:
    """Make images for SD cards."""


@app.command(epilog=_EXAMPLES)
def build(  # noqa: PLR0917 - typer names them
    board: Annotated[str, typer.Option(help="What the card is for: rpi4, rpi-zero-2-w, ...")],
    invite: Annotated[
        str,
        typer.Option(
            help="From `tickseal gateway invite`; @FILE, or - for standard input, reads it."
        ),
    ],
    base: Annotated[
        str,
        typer.Option(
            metavar="IMAGE|debian",
            help="Raspberry Pi OS (64-bit) as downloaded: .img, .img.xz, .zip, .gz; or `debian`: "
            "made here from Debian's own packages.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The image to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="edge.toml; without: telemetry."),
    ] = None,
    ssh_key: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Public key that may log in; may be repeated."),
    ] = None,
    wifi: Annotated[str, typer.Option(metavar="SSID", help="Wi-Fi network to join.")] = "",
    wifi_country: Annotated[str, typer.Option(metavar="CC", help="Such as GB, DE, US.")] = "",
    hostname: Annotated[str, typer.Option(help="Without: the base image's.")] = "",
    package: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another package from PyPI; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Download again what the cache has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Put tickseal, a configuration and an invite into an image."""
    boards = load_boards()
    if board not in boards or boards[board].flash.method != "sd-card":
        known = ", ".join(name for name, one in boards.items() if one.flash.method == "sd-card")
        raise ConfigError(f"--board {board}: not a board with an SD card; known: {known}")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already; add --force to replace it")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"{output}: no folder {output.absolute().parent}")
    text, settings = read_config(config, system_file("edge.toml"), boards[board])
    request = Request(
        board=boards[board],
        board_name=board,
        invite=read_invite(invite),
        config_text=text,
        config=settings,
        ssh_keys=tuple(key for one in ssh_key or [] for key in read_public_key(one)),
        wifi=_read_wifi(wifi, wifi_country),
        hostname=hostname,
        packages=tuple(package or ()),
    )
    progress = Progress(quiet=as_json)
    path = _find_base(base, request, progress, refresh=refresh)
    built = build_image(request, path, output, progress, refresh=refresh)
    typer.echo(json.dumps(built.as_json()) if as_json else _as_text(built))


def _find_base(base: str, request: Request, progress: Progress, *, refresh: bool) -> Path:
    if base == "debian":
        if not request.board.flash.debian:
            raise ConfigError(
                f"--base debian: Debian's kernel does not run {request.board.name} well enough; "
                "take Raspberry Pi OS"
            )
        return debian_base(progress, refresh=refresh)
    path = Path(base).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--base {base}: no such file; download Raspberry Pi OS Lite (64-bit) from "
            "raspberrypi.com/software/operating-systems, or give `debian`"
        )
    return path


def _read_wifi(ssid: str, country: str) -> WiFi | None:
    if not ssid:
        return None
    password = os.environ.get(_PASSWORD)
    if password is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"the password of the Wi-Fi {ssid!r}: put it into the variable {_PASSWORD} (empty "
                "where the network is open)"
            )
        password = typer.prompt(f"Password of {ssid}", hide_input=True, default="", err=True)
    return WiFi(ssid=ssid, password=password, country=country.upper())


def _as_text(built: Built) -> str:
    login = f"ssh {built.login}@{built.hostname}.local" if built.login else "nobody"
    lines = [
        f"image     {built.image}, {built.size_bytes / 1e9:.2f} GB, for {built.board}",
        f"base      {built.release}, Python {built.python}",
        f"holds     tickseal {built.tickseal}, an invite to {', '.join(built.gateways)}",
        f"switched  {', '.join(built.config_lines) or 'nothing'}",
        f"login     {login}",
        *(f"note      {note}" for note in built.notes),
        "next      flash it to a card, put the card into the device, and switch it on; it enrols",
        "          by itself. The invite is in the image: delete the file when it is flashed.",
    ]
    return "\n".join(lines)

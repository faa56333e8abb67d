"""Play what a gateway recorded: readings, pictures, video."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from tickseal.core.errors import ConfigError
from tickseal_gateway.commands import printing
from tickseal_gateway.commands.instants import past_instant
from tickseal_gateway.config import Config, load
from tickseal_gateway.recordings import playing
from tickseal_gateway.recordings.keys import KEY_FILE, read_key
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.recordings.opening import Completeness
from tickseal_gateway.recordings.players import Player, make_player

app = typer.Typer(rich_markup_mode=None)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The gateway's configuration.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="The gateway's state directory.")
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help="14:00, 2026-11-24T14:00, or 5min for ago.")
]
ToOption = Annotated[str, typer.Option("--to", metavar="TIME", help="Likewise; or now.")]
OutOption = Annotated[
    Path | None,
    typer.Option("-o", "--out", help=".jsonl .csv .mjpeg .mp4 or a folder; else the screen."),
]
_EXAMPLES = """\b
Examples:
  tickseal play                                                 what is recorded
  tickseal play garden/temperature --from 14:00 --to 14:05
  tickseal play yard/camera --from 14:00 --to 14:05 -o yard.mp4
  tickseal play yard/camera --from 5min --to now -o pictures/
"""


@app.command(epilog=_EXAMPLES)
def play(  # noqa: PLR0917 - options, given by name
    stream: Annotated[
        str | None, typer.Argument(metavar="STREAM", help="Without one: list what there is.")
    ] = None,
    since: FromOption = "1h",
    to: ToOption = "now",
    out: OutOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Play what a gateway recorded: readings, pictures, video."""
    library = open_library(load(config).with_overrides(state=state))
    if stream is None:
        _list(library, as_json=as_json)
        return
    span_ns = span_of(since, to)
    recorded = library.find(stream)
    pieces = library.pieces(recorded, span_ns)
    player = make_player(out, force=force)
    found = playing.play(pieces, player)
    report(found, player, out, as_json=as_json)


def open_library(settings: Config) -> Library:
    """Return the recordings of a gateway, which may be running."""
    return Library(settings.recordings_path, read_key(settings.state_path / KEY_FILE))


def span_of(since: str, to: str) -> tuple[int, int]:
    """Return what --from and --to mean, ns TAI.

    Raises:
        ConfigError: one is no instant, or they are in the wrong order.
    """
    now_ns = time.time_ns()
    first_ns = past_instant(since, now_ns, option="--from")
    until_ns = past_instant(to, now_ns, option="--to")
    if first_ns >= until_ns:
        raise ConfigError(f"--from {since} is not before --to {to}")
    return playing.to_tai(first_ns), playing.to_tai(until_ns)


def report(found: list[Completeness], player: Player, out: Path | None, *, as_json: bool) -> None:
    """Say what came of it: on the error output where the frames themselves are on the screen."""
    if as_json:
        typer.echo(json.dumps(playing.as_json(found, player, out)), err=out is None)
        return
    typer.echo(playing.as_text(found), err=out is None)
    if player.skipped:
        typer.echo(
            f"{player.skipped} frames have no form in {out or 'lines of text'}; name a folder "
            "with -o for all that there is",
            err=out is None,
        )
    if out is not None and player.written:
        typer.echo(f"written to {out}")


def _list(library: Library, *, as_json: bool) -> None:
    rows = library.streams()
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {"stream": row.id, "device": row.device, "hours": len(row.files),
                     "bytes": row.size}
                    for row in rows
                ]
            )
        )  # fmt: skip
        return
    if not rows:
        typer.echo("nothing is recorded yet")
        return
    typer.echo(
        printing.table(
            ("stream", "device", "first hour", "last hour", "hours", "size"),
            (
                (
                    row.id,
                    row.device,
                    _hour(row.span_ns[0]),
                    _hour(row.span_ns[1] - 3600 * 10**9),
                    len(row.files),
                    printing.size(row.size),
                )
                for row in rows
            ),
        )
    )


def _hour(tai_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:00", time.localtime(tai_ns // 10**9))

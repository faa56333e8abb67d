"""Open such a file, offline, and say what is missing."""

from pathlib import Path
from typing import Annotated

import typer

from tickseal_gateway.recordings import playing
from tickseal_gateway.recordings.grant_file import read_grant_file
from tickseal_gateway.recordings.play import OutOption, report
from tickseal_gateway.recordings.players import make_player

app = typer.Typer(rich_markup_mode=None)
_EXAMPLES = """\b
Examples:
  tickseal open yard.grant                             readings, and a report
  tickseal open yard.grant -o pictures/
  tickseal open yard.grant --recordings recordings/    where the file holds the keys alone
"""


@app.command("open", epilog=_EXAMPLES)
def open_grant(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    out: OutOption = None,
    recordings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the sealed recordings.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Open such a file, offline, and say what is missing."""
    pieces = read_grant_file(file, recordings)
    player = make_player(out, force=force)
    found = playing.play(pieces, player)
    report(found, player, out, as_json=as_json)

"""Make a file that opens a span of a recorded stream elsewhere."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tickseal.core.errors import StoreError
from tickseal_gateway.commands import printing
from tickseal_gateway.config import load
from tickseal_gateway.recordings.grant_file import GrantEncoder, write_grant_file
from tickseal_gateway.recordings.play import (
    ConfigOption,
    FromOption,
    StateOption,
    ToOption,
    open_library,
    span_of,
)

app = typer.Typer(rich_markup_mode=None)
_EXAMPLES = """\b
Examples:
  tickseal grant yard/camera --from 14:00 --to 14:05 -o yard.grant
  tickseal grant yard/camera --from 14:00 --to 14:05 -o yard.grant --keys-only
"""


@app.command(epilog=_EXAMPLES)
def grant(  # noqa: PLR0917 - options, given by name
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="As `tickseal play` lists it.")],
    since: FromOption,
    to: ToOption,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="A new file.")],
    keys_only: Annotated[
        bool, typer.Option("--keys-only", help="Without the segments: hand the recordings too.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Make a file that opens a span of a recorded stream elsewhere."""
    library = open_library(load(config).with_overrides(state=state))
    recorded, span_ns = library.find(stream), span_of(since, to)
    made_of = GrantEncoder(with_segments=not keys_only)
    write_grant_file(out, made_of.encode(library.pieces(recorded, span_ns)))
    if not made_of.pieces:
        out.unlink()
        raise StoreError(f"nothing was recorded of {stream!r} in that span")
    if as_json:
        made = {"out": str(out), "segments": made_of.segments, "bytes": made_of.size}
        typer.echo(json.dumps(made))
        return
    what = "the keys alone" if keys_only else f"{made_of.segments} segments and their keys"
    typer.echo(
        f"{out}: {what}, {printing.size(made_of.size)}\nWhoever has this file can open this span "
        "of the stream, and nothing else. They run:  tickseal open FILE"
    )

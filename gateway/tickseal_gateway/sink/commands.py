"""A Data Sink on another machine: enrol it, read streams there."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.core.errors import EnrolmentError, StoreError
from tickseal.host.control_socket import ask, converse
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.enrolment import read_invite
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.logs import set_up_logging
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal_gateway.commands import printing
from tickseal_gateway.commands.asking import ConfigOption, JsonOption, StateOption
from tickseal_gateway.recordings import playing
from tickseal_gateway.recordings.grant_file import read_grant_file
from tickseal_gateway.recordings.play import FromOption, OutOption, ToOption, report, span_of
from tickseal_gateway.recordings.players import check_out, make_player
from tickseal_gateway.sink.config import load

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)


@app.command(epilog="Example: tickseal sink enrol tks1_...")
def enrol(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN",
            help="As `tickseal gateway invite --sink` printed it; @FILE, or - for standard input.",
        ),
    ],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the identity that this sink has.")
    ] = False,
) -> None:
    """Enrol this sink with a gateway: once, by a one-time invite."""
    from tickseal_gateway.sink.enrolment import enrol_sink  # noqa: PLC0415 - only needed here

    settings = load(config, state)
    invite = InviteToken.parse(read_invite(token))
    with StateDirectory.open(settings.state_path) as directory:
        if DeviceIdentity.exists(directory) and not force:
            raise EnrolmentError(
                "this sink is enrolled already; add --force to replace its identity"
            )
        identity = asyncio.run(
            enrol_sink(invite, name=settings.sink.name, state=directory, clock=KernelClock())
        )
    if as_json:
        typer.echo(json.dumps({"sink": identity.name, "addresses": identity.addresses}))
        return
    typer.echo(
        f"enrolled as {identity.name}; on the gateway say what it may read:\n"
        f"  tickseal gateway allow {identity.name} STREAM\nthen here: tickseal sink run"
    )


@app.command(epilog="Example: tickseal sink run --config sink.toml")
def run(
    config: ConfigOption = None,
    state: StateOption = None,
    level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    as_json: JsonOption = False,
) -> None:
    """Open and store what the gateway allows, until Ctrl-C."""
    from tickseal_gateway.sink import service  # noqa: PLC0415 - heavy, and only needed here

    set_up_logging(level, as_json=as_json)
    settings = load(config, state)

    def announce(status: dict[str, Any]) -> None:
        if as_json:
            typer.echo(json.dumps({"event": "ready", **status}))
        else:
            typer.echo(f"sink {status['sink']['name']} runs; state {settings.state_path}")
        sys.stdout.flush()

    asyncio.run(service.run(settings, announce))


_RECALL_EXAMPLES = """\b
Examples:
  tickseal sink recall yard/camera --from 14:00 --to 14:05 -o yard.mp4
  tickseal sink recall garden/temperature --from 1h -o readings.csv
  tickseal sink recall yard/camera --from 1h --grant yard.grant
"""


@app.command(epilog=_RECALL_EXAMPLES)
def recall(  # noqa: PLR0917 - options, given by name
    stream: Annotated[str, typer.Argument(metavar="STREAM")],
    since: FromOption,
    to: ToOption = "now",
    out: OutOption = None,
    grant: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the grant file, unopened.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch and open what the gateway recorded."""
    span_ns = span_of(since, to)
    check_out(out, force=force)
    if grant is not None and grant.exists():
        raise StoreError(f"{grant} is there already; choose another name")
    request = {"do": "recall", "stream": stream, "from_ns": span_ns[0], "until_ns": span_ns[1]}
    path: Path | None = None
    for progress in converse(load(config, state).state_path, request, service="sink"):
        if "path" in progress:
            path = Path(progress["path"])
            break
    if path is None:
        raise StoreError("the sink ended before the recording was whole")
    if grant is not None:
        shutil.move(path, grant)
        typer.echo(f"{grant}: open it with: tickseal open FILE")
        return
    try:
        # Read first: where that fails, no output has been begun.
        pieces = read_grant_file(path)
        player = make_player(out, force=force)
        report(playing.play(pieces, player), player, out, as_json=as_json)
    finally:
        path.unlink(missing_ok=True)


@app.command()
def status(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show what the running sink reads."""
    answer = ask(load(config, state).state_path, {"do": "status"}, service="sink")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    gateway = answer["gateway"]
    where = f"{gateway['name'] or 'the gateway'} at {gateway['address']}"
    typer.echo(
        f"{answer['sink']['name']}: "
        + (f"connected to {where}" if gateway["is_up"] else gateway["problem"])
    )
    rows = answer["streams"]
    if rows:
        typer.echo(
            printing.table(
                ("stream", "device", "granted for", "frames", "bytes", "missing", "refused"),
                (
                    (
                        row["id"],
                        row["device"],
                        printing.age(row["granted_s"]) if row["granted_s"] else "-",
                        row["frames"],
                        printing.size(row["payload_bytes"]),
                        row["missing"],
                        printing.counts(row["refusals"]),
                    )
                    for row in rows
                ),
            )
        )

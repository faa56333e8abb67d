"""The gateway: run it, invite devices, look after them."""

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.configuration.quantities import parse_duration
from tickseal.core.errors import ConfigError, StoreError
from tickseal.host.control_socket import NotRunningError, ask
from tickseal.host.logs import set_up_logging
from tickseal.sessions.control import Role
from tickseal_gateway.commands import devices, printing
from tickseal_gateway.commands.asking import (
    SERVICE,
    ConfigOption,
    JsonOption,
    StateOption,
    do,
    settings,
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(devices.app)

_INVITE_EXAMPLES = """\b
Examples:
  tickseal gateway invite --name garden
  tickseal gateway invite --expires 1d --address gateway.example.org:4710
  tickseal gateway invite --classical            for a microcontroller
  tickseal gateway invite --sink --name office   for `tickseal sink enrol` on another machine
  tickseal gateway invite --count 20 --name bed --expires 7d -o codes.html
"""
_RUN_EXAMPLES = """\b
Examples:
  tickseal gateway run
  tickseal gateway run --config gateway.toml --json
"""


@app.callback()
def gateway() -> None:
    """The gateway, Stream Controller and Data Sink: run it, invite devices, look after them."""


@app.command(epilog=_RUN_EXAMPLES)
def run(
    config: ConfigOption = None,
    state: StateOption = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for TCP and UDP; 0 for any free one.")
    ] = None,
    level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    as_json: JsonOption = False,
) -> None:
    """Run the gateway until Ctrl-C."""
    from tickseal_gateway import service  # noqa: PLC0415 - heavy, and only needed here

    if level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"--level is debug, info, warning or error, not {level!r}")
    set_up_logging(level, as_json=as_json)
    chosen = settings(config, state, port)
    asyncio.run(service.run(chosen, _announce_json if as_json else _announce))


@app.command(epilog=_INVITE_EXAMPLES)
def invite(  # noqa: PLR0917 - options, given by name
    name: Annotated[str | None, typer.Option(help="What the device will be called.")] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="Such as 30min, 1h, 7d.")] = "1h",
    classical: Annotated[
        bool, typer.Option("--classical", help="For a microcontroller: without ML-KEM-768.")
    ] = False,
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Where the device reaches the gateway; repeatable."),
    ] = None,
    sink: Annotated[bool, typer.Option("--sink", help="For a sink, which reads streams.")] = False,
    count: Annotated[
        int, typer.Option(min=1, max=1000, help="For a fleet: one a device, NAME-1, NAME-2, ...")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.html", help="A sheet of QR codes to print."),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a one-time token that enrols a device, and its QR code."""
    try:
        lifetime_ns = parse_duration(expires)
    except ValueError as error:
        raise ConfigError(f"--expires {expires!r}: {error}; for example 1h") from None
    arguments: dict[str, object] = {
        "lifetime_ns": lifetime_ns,
        "hybrid": not classical,
        "addresses": address or [],
    }
    role = Role.SINK if sink else Role.SOURCE
    chosen = settings(config, state)
    names = [name] if count == 1 else [name and f"{name}-{n}" for n in range(1, count + 1)]
    if out is not None and out.exists():
        raise ConfigError(f"{out} is there already; choose another name")
    if out is not None and not os.access(out.parent, os.W_OK):
        raise ConfigError(f"nothing can be written into {out.parent}; choose another folder")

    def make(one: str | None) -> dict[str, Any]:
        request = {"do": "invite", "role": role.value, "name": one, **arguments}
        made: dict[str, Any] = do(
            chosen, request, lambda admin: admin.invite(role=role, name=one, **arguments)
        )
        return made

    _show_invites([make(one) for one in names], out, as_json=as_json, is_sink=sink)


def _show_invites(
    invites: list[dict[str, Any]], out: Path | None, *, as_json: bool, is_sink: bool
) -> None:
    made, command = invites[0], "sink" if is_sink else "edge"
    if out is not None:
        from tickseal_gateway.commands.invite_sheet import sheet, write_sheet  # noqa: PLC0415 - seldom

        write_sheet(out, sheet(invites, command=command))
    if as_json:
        typer.echo(json.dumps(invites if invites[1:] else made))
        return
    if out is not None:
        typer.echo(f"{out}: {len(invites)} codes to print. Keep it secret until they are used.")
        return
    if invites[1:]:
        for one in invites:
            typer.echo(f"{one['name'] or '-'} {one['token']}")
        return
    typer.echo(_qr_code(made["token"]))
    typer.echo(made["token"])
    way = f"On the device:  tickseal {command} enrol TOKEN"
    if not (made["hybrid"] or is_sink):
        way = "With the board plugged in:  tickseal mcu flash --invite TOKEN"
    typer.echo(
        f"\n{way}\n"
        f"Enrols {made['name'] or 'one device'}, once, within "
        f"{printing.until(made['expires_ns'])}, by {', '.join(made['addresses'])}. "
        "Keep it secret until then."
    )


@app.command()
def invites(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the invites with which somebody may still enrol."""
    rows = do(settings(config, state), {"do": "invites"}, lambda admin: admin.invites())
    typer.echo(json.dumps(rows) if as_json else printing.invites(rows))


@app.command()
def withdraw(
    invite_id: Annotated[str, typer.Argument(metavar="ID", help="As `invites` lists it.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Make an open invite worthless."""
    request: dict[str, object] = {"do": "withdraw", "id": invite_id}
    do(settings(config, state), request, lambda admin: admin.withdraw(invite_id))
    typer.echo(f"the invite {invite_id} enrols nobody any more")


@app.command()
def streams(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the streams that flow through the running gateway."""
    rows = ask(settings(config, state).state_path, {"do": "status"}, service=SERVICE)["streams"]
    typer.echo(json.dumps(rows) if as_json else printing.streams(rows))


@app.command()
def status(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show devices, streams, refusals and alarms."""
    snapshot = ask(settings(config, state).state_path, {"do": "status"}, service=SERVICE)
    typer.echo(json.dumps(snapshot) if as_json else printing.status(snapshot))


@app.command()
def page(
    forget_password: Annotated[
        bool, typer.Option("--forget-password", help="Remove its password, from the next start on.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print the link to the page with which a browser may command."""
    where = settings(config, state).state_path
    if forget_password:
        (where / "page" / "password.json").unlink(missing_ok=True)
        typer.echo("the page has no password from the gateway's next start on")
        return
    link = _page_link(where)
    if link is None:
        raise NotRunningError(
            f"no page is served from {where}; see [page], and: tickseal gateway run"
        )
    typer.echo(link)


def _qr_code(token: str) -> str:
    import segno  # noqa: PLC0415 - only needed here

    drawn = io.StringIO()
    segno.make(token, error="l", micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue()


def _announce(event: str, snapshot: dict[str, Any]) -> None:
    gateway, totals = snapshot["gateway"], snapshot["totals"]
    if event == "ready":
        lines = [
            f"tickseal gateway {gateway['name']} is running",
            f"  devices reach it at  {', '.join(gateway['addresses'])}  (TCP and UDP)",
            f"  identity             {gateway['fingerprint']}",
            f"  state                {gateway['state']}",
            *([f"  page                 {_page(gateway)}"] if gateway["page"] else []),
            "  enrol a device       tickseal gateway invite",
        ]
        typer.echo("\n".join(lines))
    else:
        typer.echo(
            f"stopped: {totals['frames']} frames opened, {printing.size(totals['payload_bytes'])}, "
            f"{totals['missing']} missing; segments refused: {printing.counts(totals['refusals'])}"
        )
    sys.stdout.flush()


def _page(gateway: dict[str, Any]) -> str:
    """Return the page's address: on a terminal with the token that may command, never for a log."""
    link = _page_link(Path(gateway["state"])) if sys.stdout.isatty() else None
    if link is not None:
        return link
    return f"{gateway['page']}  (to command: tickseal gateway page)"


def _page_link(state: Path) -> str | None:
    try:
        return (state / "page" / "link").read_text("ascii").strip()
    except FileNotFoundError:  # no page is served
        return None
    except OSError as error:
        raise StoreError(f"cannot read {state}/page/link: {error.strerror}") from None


def _announce_json(event: str, snapshot: dict[str, Any]) -> None:
    typer.echo(json.dumps({"event": event, **snapshot}))
    sys.stdout.flush()

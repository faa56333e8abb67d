"""Run the gateway: the Stream Controller and Data Sink; enrol, list, revoke, look at devices."""

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.control import Role
from tickseal.core.errors import ConfigError
from tickseal.host.control_socket import NotRunningError, ask
from tickseal.host.logs import set_up_logging
from tickseal.host.state import StateDirectory
from tickseal.quantities import parse_duration
from tickseal_gateway import printing
from tickseal_gateway.config import Config, load
from tickseal_gateway.instants import coming_instant, past_instant

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration; has a default for all."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State directory, in place of the configured one."),
]
_SERVICE = "gateway"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_INVITE_EXAMPLES = """\b
Examples:
  tickseal gateway invite --name garden
  tickseal gateway invite --expires 1d --address gateway.example.org:4710
  tickseal gateway invite --classical            for a microcontroller
  tickseal gateway invite --sink --name office   for `tickseal sink enrol` on another machine
"""
_ALLOW_EXAMPLES = """\b
Examples:
  tickseal gateway allow office garden/temperature
  tickseal gateway allow office 'garden/*' --until 7d
  tickseal gateway allow office yard/camera --until 2027-01-31T18:00
  tickseal gateway allow office yard/camera --since 1d        recordings, too
"""
_RUN_EXAMPLES = """\b
Examples:
  tickseal gateway run
  tickseal gateway run --config gateway.toml --json
"""
_REKEY_EXAMPLES = """\b
Examples:
  tickseal gateway rekey garden
  tickseal gateway rekey --all
"""


@app.callback()
def gateway() -> None:
    """Run the gateway: Stream Controller and Data Sink; enrol, list, revoke, look at devices."""


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
    settings = _settings(config, state, port)
    asyncio.run(service.run(settings, _announce_json if as_json else _announce))


@app.command(epilog=_INVITE_EXAMPLES)
def invite(  # noqa: PLR0917 - options, given by name
    name: Annotated[str | None, typer.Option(help="What the device will be called.")] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="Such as 30min, 1h, 7d.")] = "1h",
    classical: Annotated[
        bool, typer.Option(help="Without ML-KEM-768, for microcontrollers; pinned for good.")
    ] = False,
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Where the device reaches the gateway; repeatable."),
    ] = None,
    sink: Annotated[bool, typer.Option("--sink", help="For a sink, which reads streams.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a one-time token, as text and as QR code, that enrols one device."""
    try:
        lifetime_ns = parse_duration(expires)
    except ValueError as error:
        raise ConfigError(f"--expires {expires!r}: {error}; for example 1h") from None
    arguments: dict[str, object] = {
        "lifetime_ns": lifetime_ns,
        "name": name,
        "hybrid": not classical,
        "addresses": address or [],
    }
    role = Role.SINK if sink else Role.SOURCE
    settings = _settings(config, state)
    made = _do(
        settings,
        {"do": "invite", "role": role.value, **arguments},
        lambda admin: admin.invite(role=role, **arguments),
    )
    if as_json:
        typer.echo(json.dumps(made))
        return
    typer.echo(_qr_code(made["token"]))
    typer.echo(made["token"])
    typer.echo(
        f"\nOn the device:  tickseal {'sink' if sink else 'edge'} enrol TOKEN\n"
        f"For {made['name'] or 'one device'}, once, for {printing.until(made['expires_ns'])}, "
        f"{'hybrid' if made['hybrid'] else 'classical'}; it reaches the gateway at "
        f"{', '.join(made['addresses'])}. Keep the token secret until it is used."
    )


@app.command()
def invites(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the invites with which somebody may still enrol."""
    rows = _do(_settings(config, state), {"do": "invites"}, lambda admin: admin.invites())
    typer.echo(json.dumps(rows) if as_json else printing.invites(rows))


@app.command()
def withdraw(invite_id: str, config: ConfigOption = None, state: StateOption = None) -> None:
    """Make an open invite worthless, by its id: its token fell into wrong hands."""
    request: dict[str, object] = {"do": "withdraw", "id": invite_id}
    _do(_settings(config, state), request, lambda admin: admin.withdraw(invite_id))
    typer.echo(f"the invite {invite_id} is worthless now")


@app.command()
def devices(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the devices, and their health while the gateway runs."""
    rows = _do(_settings(config, state), {"do": "devices"}, lambda admin: admin.devices())
    typer.echo(json.dumps(rows) if as_json else printing.devices(rows))


@app.command()
def streams(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the streams that flow through the running gateway."""
    rows = ask(_settings(config, state).state_path, {"do": "status"}, service=_SERVICE)["streams"]
    typer.echo(json.dumps(rows) if as_json else printing.streams(rows))


@app.command()
def status(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show what the running gateway does: devices, streams, refusals, alarms."""
    snapshot = ask(_settings(config, state).state_path, {"do": "status"}, service=_SERVICE)
    typer.echo(json.dumps(snapshot) if as_json else printing.status(snapshot))


@app.command()
def page(
    forget_password: Annotated[
        bool, typer.Option(help="Remove the page's password; it holds until the gateway restarts.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Print the address of the running gateway's page, by which a browser may command."""
    where = _settings(config, state).state_path
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


@app.command()
def approve(name: str, config: ConfigOption = None, state: StateOption = None) -> None:
    """Let a device that waits (policy approve = true) open streams."""
    _do(_settings(config, state), {"do": "approve", "name": name}, lambda a: a.approve(name))
    typer.echo(f"{name} may open streams")


@app.command()
def rename(
    name: str, new_name: str, config: ConfigOption = None, state: StateOption = None
) -> None:
    """Give a device another name."""
    request: dict[str, object] = {"do": "rename", "name": name, "new_name": new_name}
    _do(_settings(config, state), request, lambda admin: admin.rename(name, new_name))
    typer.echo(f"{name} is now {new_name}")


@app.command()
def revoke(name: str, config: ConfigOption = None, state: StateOption = None) -> None:
    """Refuse a device for good: its session and streams end at once."""
    _do(_settings(config, state), {"do": "revoke", "name": name}, lambda a: a.revoke(name))
    typer.echo(f"{name} is revoked")


@app.command(epilog=_ALLOW_EXAMPLES)
def allow(  # noqa: PLR0917 - options, given by name
    sink: str,
    stream: Annotated[str, typer.Argument(help="A stream's id; * at the end for all that follow.")],
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 7d, 18:00; for ever without it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Recordings too, from then on, such as 1d ago, 14:00."),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Let a sink on another machine read a stream, or many."""
    now_ns = time.time_ns()
    until_ns = None if until is None else coming_instant(until, now_ns, option="--until")
    since_ns = None if since is None else past_instant(since, now_ns, option="--since")
    request: dict[str, object] = {"do": "allow", "name": sink, "stream": stream}
    _do(
        _settings(config, state),
        {**request, "until_ns": until_ns, "since_ns": since_ns},
        lambda admin: admin.allow(sink, stream, until_ns, since_ns),
    )
    typer.echo(f"{sink} may read {stream}")


@app.command()
def disallow(
    sink: str, stream: str, config: ConfigOption = None, state: StateOption = None
) -> None:
    """Take an allowance back: what the sink holds opens nothing that is sealed from now on."""
    request: dict[str, object] = {"do": "disallow", "name": sink, "stream": stream}
    _do(_settings(config, state), request, lambda admin: admin.disallow(sink, stream))
    typer.echo(f"{sink} may not read {stream} any more")


@app.command()
def allowances(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List which sink may read which streams, and until when."""
    rows = _do(_settings(config, state), {"do": "allowances"}, lambda admin: admin.allowances())
    typer.echo(json.dumps(rows) if as_json else printing.allowances(rows))


@app.command(epilog=_REKEY_EXAMPLES)
def rekey(
    name: Annotated[str | None, typer.Argument()] = None,
    everything: Annotated[bool, typer.Option("--all", help="All devices.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Let a device, or all, begin a new generation of keys for each stream."""
    if (name is None) is not everything:
        raise ConfigError("say one device by its name, or --all")
    asked = ask(
        _settings(config, state).state_path, {"do": "rekey", "name": name}, service=_SERVICE
    )
    typer.echo(f"asked for new keys of {asked} streams")


def _settings(config: Path | None, state: Path | None, port: int | None = None) -> Config:
    return load(config).with_overrides(state=state, port=port)


def _do(
    settings: Config,
    request: dict[str, object],
    do_it: Callable[[Any], Any],
) -> Any:
    """Ask the running gateway; where none runs, do it on its state directory."""
    try:
        return ask(settings.state_path, request, service=_SERVICE)
    except NotRunningError:
        from tickseal_gateway.administration import Administration  # noqa: PLC0415 - heavy
        from tickseal_gateway.service import open_registry  # noqa: PLC0415

        with StateDirectory.open(settings.state_path) as directory:
            identity, registry = open_registry(settings, directory)
            try:
                port = settings.gateway.port
                return do_it(Administration(settings, identity, registry, port=port))
            finally:
                registry.close()


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
    except OSError:  # no page is served
        return None


def _announce_json(event: str, snapshot: dict[str, Any]) -> None:
    typer.echo(json.dumps({"event": event, **snapshot}))
    sys.stdout.flush()

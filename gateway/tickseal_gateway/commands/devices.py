"""What people do with devices: list, approve, rename, tag, limit, rekey, revoke; allow sinks."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from tickseal.core.errors import ConfigError
from tickseal.host.control_socket import ask
from tickseal_gateway.commands import printing
from tickseal_gateway.commands.asking import (
    SERVICE,
    ConfigOption,
    JsonOption,
    StateOption,
    do,
    settings,
)
from tickseal_gateway.commands.instants import coming_instant, past_instant
from tickseal_gateway.registry.limits import Limits, parse_limit

app = typer.Typer(rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `devices` lists it.")]
SinkArgument = Annotated[str, typer.Argument(metavar="SINK", help="As `devices` lists it.")]
_ALLOW_EXAMPLES = """\b
Examples:
  tickseal gateway allow office garden/temperature
  tickseal gateway allow office 'garden/*' --until 7d
  tickseal gateway allow office yard/camera --until 2027-01-31T18:00
  tickseal gateway allow office yard/camera --since 1d        recordings, too
"""
_TAG_EXAMPLES = """\b
Examples:
  tickseal gateway tag garden +greenhouse +south
  tickseal gateway tag garden -south
"""
_LIMIT_EXAMPLES = """\b
Examples:
  tickseal gateway limit garden --rate 100kB --frames 20
  tickseal gateway limit garden --streams 4 --storage 2GB
  tickseal gateway limit garden --rate none
"""
_REKEY_EXAMPLES = """\b
Examples:
  tickseal gateway rekey garden
  tickseal gateway rekey --all
"""


@app.command(epilog="Example: tickseal gateway devices --tag greenhouse")
def devices(
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only those with it; repeatable.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the devices, and how they are."""
    rows = do(settings(config, state), {"do": "devices"}, lambda admin: admin.devices())
    rows = [row for row in rows if set(tag or ()) <= set(row["tags"])]
    if tag and not rows and not as_json:
        typer.echo(f"no device has {'all of the tags' if tag[1:] else 'the tag'} {' '.join(tag)}")
        return
    typer.echo(json.dumps(rows) if as_json else printing.devices(rows))


@app.command()
def approve(name: NameArgument, config: ConfigOption = None, state: StateOption = None) -> None:
    """Let a device that waits for it open streams."""
    do(settings(config, state), {"do": "approve", "name": name}, lambda a: a.approve(name))
    typer.echo(f"{name} may open streams")


@app.command()
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Give a device another name."""
    request: dict[str, object] = {"do": "rename", "name": name, "new_name": new_name}
    do(settings(config, state), request, lambda admin: admin.rename(name, new_name))
    typer.echo(f"{name} is now {new_name}")


@app.command(
    epilog=_TAG_EXAMPLES,
    # No short options here, not even -h: -TAG would be taken for a few of them.
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
def tag(
    device: NameArgument,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[+TAG|-TAG]...", help="To give, to take away.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE")] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a device tags, or take some away."""
    add = [each.removeprefix("+") for each in changes or () if not each.startswith("-")]
    remove = [each.removeprefix("-") for each in changes or () if each.startswith("-")]
    request: dict[str, object] = {"do": "tag", "name": device, "add": add, "remove": remove}
    tags = do(
        settings(config, state), request, lambda admin: list(admin.tag(device, add, remove).tags)
    )
    typer.echo(json.dumps(tags) if as_json else f"{device}: {' '.join(tags) or 'no tags'}")


@app.command(epilog=_LIMIT_EXAMPLES)
def limit(  # noqa: PLR0917 - options, given by name
    device: NameArgument,
    rate: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Bytes a second of all its streams.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="N", help="Frames a second of all its streams.")
    ] = None,
    streams: Annotated[str | None, typer.Option(metavar="N", help="Streams open at once.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of its readings, and of recordings; the oldest go."),
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Limit what a device may send and store; "none" lifts a limit."""
    given = {
        "bytes_per_s": (rate, True),
        "frames_per_s": (frames, False),
        "streams": (streams, False),
        "storage_bytes": (storage, True),
    }
    changes = {
        name: parse_limit(text, is_size=is_size)
        for name, (text, is_size) in given.items()
        if text is not None
    }
    request: dict[str, object] = {"do": "limit", "name": device, "limits": changes}
    made = do(
        settings(config, state),
        request,
        lambda admin: admin.limit(device, changes).limits.to_json(),
    )
    words = str(Limits(**made)) or "no limits of its own"
    typer.echo(json.dumps(made) if as_json else f"{device}: {words}")


@app.command()
def revoke(name: NameArgument, config: ConfigOption = None, state: StateOption = None) -> None:
    """End all that a device does, now, and refuse it for good."""
    do(settings(config, state), {"do": "revoke", "name": name}, lambda a: a.revoke(name))
    typer.echo(f"{name} is revoked")


@app.command(epilog=_ALLOW_EXAMPLES)
def allow(  # noqa: PLR0917 - options, given by name
    sink: SinkArgument,
    stream: Annotated[
        str,
        typer.Argument(metavar="STREAM", help="A stream's id; * at the end for all that follow."),
    ],
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
    """Let a sink on another machine read streams."""
    now_ns = time.time_ns()
    until_ns = None if until is None else coming_instant(until, now_ns, option="--until")
    since_ns = None if since is None else past_instant(since, now_ns, option="--since")
    request: dict[str, object] = {"do": "allow", "name": sink, "stream": stream}
    do(
        settings(config, state),
        {**request, "until_ns": until_ns, "since_ns": since_ns},
        lambda admin: admin.allow(sink, stream, until_ns, since_ns),
    )
    typer.echo(f"{sink} may read {stream}")


@app.command()
def disallow(
    sink: SinkArgument,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="As it was allowed.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Take that back: nothing sealed from now on opens for the sink."""
    request: dict[str, object] = {"do": "disallow", "name": sink, "stream": stream}
    do(settings(config, state), request, lambda admin: admin.disallow(sink, stream))
    typer.echo(f"{sink} may not read {stream} any more")


@app.command()
def allowances(
    config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List which sink may read what, and until when."""
    rows = do(settings(config, state), {"do": "allowances"}, lambda admin: admin.allowances())
    typer.echo(json.dumps(rows) if as_json else printing.allowances(rows))


@app.command(epilog=_REKEY_EXAMPLES)
def rekey(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All devices.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Let a device, or all, make new keys for each stream now."""
    if (name is None) is not everything:
        raise ConfigError("say which device, by its name, or --all")
    asked = ask(settings(config, state).state_path, {"do": "rekey", "name": name}, service=SERVICE)
    typer.echo(f"asked for new keys of {asked} streams")

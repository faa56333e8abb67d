"""The Data Source on this device: enrol it with a gateway, run it."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tickseal.core.errors import EnrolmentError
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.logs import set_up_logging
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal_edge.config import load_config
from tickseal_edge.enrolment import enrol_device
from tickseal_edge.identity import Identity
from tickseal_edge.service import EdgeService

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file; without one: host telemetry.", metavar="FILE"),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command(epilog="Example: tickseal edge enrol tks1_...")
def enrol(
    token: Annotated[str, typer.Argument(help="The invite, as `tickseal gateway invite` gave it.")],
    config: ConfigOption = None,
    as_json: JSONOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the identity that this device has.")
    ] = False,
) -> None:
    """Enrol this device with a gateway: once, by a one-time invite."""
    settings = load_config(config)
    invite = InviteToken.parse(token)
    with StateDirectory.open(settings.state_path) as state:
        if Identity.exists(state) and not force:
            raise EnrolmentError(
                f"this device is enrolled already ({Identity.load(state).device}); "
                "add --force to replace its identity"
            )
        private_key = X25519PrivateKey.generate().private_bytes_raw()
        identity = asyncio.run(
            enrol_device(invite, private_key, name=settings.name, state=state, clock=KernelClock())
        )
    if as_json:
        typer.echo(json.dumps({"device": identity.device, "addresses": identity.addresses}))
    else:
        typer.echo(f"enrolled as {identity.device}; now run: tickseal edge run")


@app.command(epilog="Example: tickseal edge run --config edge.toml")
def run(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Log as JSON lines.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Read, seal and stream until stopped."""
    settings = load_config(config)
    set_up_logging("debug" if verbose else "info", as_json=as_json)
    with StateDirectory.open(settings.state_path) as state:
        asyncio.run(_run(EdgeService(settings, state)))


async def _run(service: EdgeService) -> None:
    task = asyncio.ensure_future(service.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@app.command("config", epilog="Example: tickseal edge config --config edge.toml")
def check_config(config: ConfigOption = None) -> None:
    """Check a configuration and say what it means."""
    settings = load_config(config)
    typer.echo(f"device   {settings.name}")
    typer.echo(f"state    {settings.state_path}")
    for stream in settings.streams:
        typer.echo(
            f"stream   {stream.id}: {stream.kind}, {stream.rate_hz:g} frames a second, "
            f"key {stream.renewal.name.lower().replace('_', ' ')}, "
            f"ticks of {stream.interval_ns / 1e6:g} ms, over {stream.link}"
        )
    if settings.state_path.exists() and os.access(settings.state_path, os.R_OK):
        enrolled = (settings.state_path / "identity.json").exists()
        typer.echo(f"enrolled {'yes' if enrolled else 'no'}")

"""A Data Source: enrol this device, stream, see how it is."""

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tickseal.core.errors import EnrolmentError
from tickseal.host.control_socket import NotRunningError, ask
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.enrolment import read_invite
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal_edge.boards import load_boards, this_board
from tickseal_edge.clock.build import build_clock
from tickseal_edge.clock.report import as_text as clock_as_text
from tickseal_edge.config import load_config
from tickseal_edge.doctor.devices import check_devices, check_running_devices
from tickseal_edge.doctor.findings import Level
from tickseal_edge.doctor.findings import as_json as findings_as_json
from tickseal_edge.doctor.findings import as_text as findings_as_text
from tickseal_edge.doctor.gateway import ask_service, check_gateway, check_running
from tickseal_edge.doctor.machine import (
    check_board,
    check_clock,
    check_disk,
    check_python,
    check_service,
    check_suite,
)
from tickseal_edge.enrolment import enrol_device, load_identity
from tickseal_edge.relay import relay
from tickseal_edge.sensors.profiles import PROFILES
from tickseal_edge.status import as_text
from tickseal_edge.streams.memory import forget_streams

_CLOCK_POLLS, _CLOCK_POLL_S = 3, 1.0

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file; without one: host telemetry.", metavar="FILE"),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command(epilog="Example: tickseal edge enrol tks1_...")
def enrol(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN",
            help="As `tickseal gateway invite` gave it; @FILE, or - for standard input, reads it.",
        ),
    ],
    config: ConfigOption = None,
    as_json: JSONOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the identity that this device has.")
    ] = False,
) -> None:
    """Enrol this device with a gateway: once, by a one-time invite."""
    settings = load_config(config)
    invite = InviteToken.parse(read_invite(token))
    with StateDirectory.open(settings.state_path) as state:
        if DeviceIdentity.exists(state) and not force:
            raise EnrolmentError(
                f"this device is enrolled already ({load_identity(state).name}); "
                "add --force to replace its identity"
            )
        private_key = X25519PrivateKey.generate().private_bytes_raw()
        identity = asyncio.run(
            enrol_device(
                invite,
                private_key,
                name=settings.name,
                software=_software(),
                state=state,
                clock=KernelClock(),
            )
        )
        forget_streams(state)
    if as_json:
        typer.echo(json.dumps({"device": identity.name, "addresses": identity.addresses}))
    else:
        with_config = f" --config {config}" if config else ""
        typer.echo(f"enrolled as {identity.name}; now run: tickseal edge run{with_config}")


@app.command(epilog="Example: tickseal edge run --config edge.toml")
def run(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Log as JSON lines.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Read, seal and stream until stopped."""
    load_config(config)
    arguments = [f"--software={_software()}"]
    if config is not None:
        arguments.append(f"--config={config}")
    arguments += ["--json"] * as_json + ["--verbose"] * verbose
    # This process is full of what a command line needs: the service gets a small one.
    os.execv(sys.executable, [sys.executable, "-m", "tickseal_edge", *arguments])  # noqa: S606


@app.command(epilog="Example: tickseal edge status --json")
def status(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Show connection, streams, clock and spool of what runs here."""
    answer = ask(load_config(config).state_path, {"do": "status"}, service="edge")
    typer.echo(json.dumps(answer) if as_json else as_text(answer))


@app.command(epilog="Example: tickseal edge clock --json")
def clock(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Show what tells this device the time, and how well."""
    settings = load_config(config)
    try:
        answer = ask(settings.state_path, {"do": "clock"}, service="edge")
    except NotRunningError:
        ensemble = build_clock(settings.clock)
        for _ in range(_CLOCK_POLLS):  # a line of pulses shows by its second one
            ensemble.poll()
            time.sleep(_CLOCK_POLL_S)
        answer = ensemble.status()
        ensemble.close()
    typer.echo(json.dumps(answer) if as_json else clock_as_text(answer))


@app.command(epilog="Example: tickseal edge doctor --config edge.toml")
def doctor(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Check the whole device, and say how to mend what is wrong."""
    settings = load_config(config)
    boards = load_boards()
    name = this_board(boards)
    board = boards[name]
    findings = [
        *check_board(name, board),
        *check_python(),
        *check_suite(settings, board),
        *check_disk(settings),
        *check_service(),
        *check_clock(settings, build_clock(settings.clock)),
    ]
    state = ask_service(settings)
    if state is not None:
        findings += [*check_running(state), *check_running_devices(state["streams"])]
    else:
        findings += check_gateway(settings, _software(), KernelClock())
        findings += check_devices(settings.streams, board)
    typer.echo(json.dumps(findings_as_json(findings)) if as_json else findings_as_text(findings))
    if any(one.level is Level.BAD for one in findings):
        raise typer.Exit(1)


@app.command(epilog="Example: tickseal edge profiles")
def profiles(as_json: JSONOption = False) -> None:
    """List the sensors that are known by name."""
    rows = [
        {
            "profile": name,
            "buses": ["i2c", *["spi"] * bool(profile.spi_driver)],
            "address": f"{profile.address:#04x}",
            "readings": [f"{one.name} [{one.unit}]" for one in profile.readings],
            "package": profile.package,
        }
        for name, profile in PROFILES.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(
            f"{row['profile']:8} {', '.join(row['buses'])} at {row['address']}: "
            f"{', '.join(row['readings'])}\n{'':8} pip install {row['package']}"
        )
    typer.echo(
        'Others by driver = "module:class". Kinds of their own: ds18b20 (1-Wire), gpio (pulses).'
    )


app.command("relay", epilog="Example: tickseal edge relay --gateway 192.168.1.5:4710")(relay)


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


def _software() -> str:
    return f"tickseal {version('tickseal')}"

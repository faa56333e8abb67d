"""Microcontrollers with MicroPython: flash them, look after them."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Annotated

import typer

from tickseal.core.errors import LinkError
from tickseal.host.boards import microcontrollers
from tickseal.host.enrolment import read_invite
from tickseal.links.serial import SerialServer
from tickseal.links.serial_link import SerialLink
from tickseal.links.serial_port import SerialSettings
from tickseal_flash import build, flashing, ports, simulation

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)

PortOption = Annotated[
    str, typer.Option("--port", "-p", help="Its serial port; auto: the only such board there is.")
]
BoardOption = Annotated[
    str, typer.Option("--board", "-b", help="Its kind; `tickseal mcu list` names them.")
]


@app.command(epilog="Example: tickseal mcu flash --board pico --invite tks1_...")
def flash(  # noqa: PLR0917 - options
    port: PortOption = ports.AUTO,
    board: BoardOption = "pico",
    invite: Annotated[
        str | None,
        typer.Option(help="From `tickseal gateway invite --classical`, or @FILE; once a board."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What it calls itself; by default the kind of board.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="config.json for it.", metavar="FILE")
    ] = None,
    new_identity: Annotated[
        bool, typer.Option("--new-identity", help="Erase who it is; needs an invite.")
    ] = False,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Its firmware has the program: `tickseal mcu build`.")
    ] = False,
) -> None:
    """Put tickseal on a board that runs MicroPython, and start it."""
    kind = ports.kind_of(board)
    token = flashing.check_invite(read_invite(invite)) if invite else None
    settings = (
        flashing.load_config(config) if config else flashing.default_config(kind, name or board)
    )
    remote = ports.Mpremote(ports.choose_port(port, kind), kind)
    flashing.flash(
        remote,
        settings,
        invite=token,
        new_identity=new_identity,
        say=typer.echo,
        is_frozen=frozen,
    )


@app.command("build")
def build_files(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Source and manifest.py for a firmware of your own.")
    ] = False,
) -> None:
    """Write a board's program into a folder, for tools of your own."""
    files = build.frozen() if frozen else build.files()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        typer.echo(f"{len(content):7} bytes  {folder / name}")


@app.command("list")
def list_boards(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show what is plugged in, and which kinds of boards are known."""
    found = ports.plugged_in()
    waiting = ports.awaiting_firmware()
    if as_json:
        rows = [
            {
                "port": one.found.port,
                "usb": "{:04x}:{:04x}".format(*(one.found.usb or (0, 0))),
                "boards": [board.id for board in one.boards],
                "bootloader": one.is_bootloader,
            }
            for one in found
        ]
        rows += [
            {"port": None, "usb": None, "boards": [one.id], "bootloader": True} for one in waiting
        ]
        typer.echo(json.dumps(rows))
        return
    for one in found:
        kinds = " or ".join(board.name for board in one.boards) or "not a known board"
        usb = "{:04x}:{:04x}".format(*(one.found.usb or (0, 0)))
        state = "  (no MicroPython yet)" if one.is_bootloader else ""
        typer.echo(f"{one.found.port}  {usb}  {kinds}{state}  {one.found.description}")
    for board in waiting:
        typer.echo(f"no port yet  {board.name}, without MicroPython: {board.firmware_how}")
        typer.echo(f"             MicroPython for it: {board.firmware}")
    if not found and not waiting:
        typer.echo("no USB serial port is there")
    known = ", ".join(f"{board.id} ({board.name})" for board in microcontrollers().values())
    typer.echo(f"known kinds: {known}")


@app.command()
def logs(
    port: PortOption = ports.AUTO,
    board: BoardOption = "pico",
    seconds: Annotated[float | None, typer.Option(help="End after so long.")] = None,
) -> None:
    """Show what a board prints. Meanwhile it streams to nobody."""
    chosen = ports.choose_port(port, ports.kind_of(board))

    async def nobody(link: SerialLink) -> None:
        while link.is_open:
            await asyncio.sleep(1)

    async def hear() -> None:
        server = SerialServer(
            SerialSettings(port=chosen), nobody, lambda _port, line: typer.echo(line)
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await server.run(once=True)

    asyncio.run(hear())


@app.command()
def doctor(port: PortOption = ports.AUTO, board: BoardOption = "pico") -> None:
    """Find out why a board does not stream, and say what to do. Stops it; it starts again."""
    kind = ports.kind_of(board)
    chosen = ports.choose_port(port, kind)
    remote = ports.Mpremote(chosen, kind)
    typer.echo(f"port     {chosen}: MicroPython answers")
    report = flashing.examine(remote)
    for line in report.lines:
        typer.echo(line)
    remote.run("reset")
    if report.problems:
        raise LinkError("; ".join(report.problems))
    typer.echo("all is well: the board can stream; is its gateway or relay running?")


@app.command(epilog="Example: tickseal mcu simulate --state board --invite tks1_...")
def simulate(
    state: Annotated[
        Path, typer.Option(metavar="DIR", help="Its flash, its log, and `cable`, its serial port.")
    ] = Path(".board"),
    invite: Annotated[
        str | None, typer.Option(help="From `tickseal gateway invite --classical`, or @FILE; once.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it calls itself.")] = "simulated",
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="config.json for it.", metavar="FILE")
    ] = None,
) -> None:
    """Run a board's program on this machine, without a board."""
    token = flashing.check_invite(read_invite(invite)) if invite else None
    settings = flashing.load_config(config) if config else simulation.default_config(name)
    # Ended as Ctrl-C ends it: the board too, and its terminal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with simulation.running(state, settings, token) as board:
        typer.echo(f"board   MicroPython on {board.cable}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            board.process.wait()
            raise LinkError(f"the board ended by itself; see {board.log}")

"""The command `tickseal`: finds sub-commands by entry point, and loads only the one that is run."""

import ast
import errno
import importlib.util
import os
import sys
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

# Plain help and errors: the boxes of rich cost time and memory, and swallow text in [brackets].
os.environ.setdefault("TYPER_USE_RICH", "0")

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tickseal.core.errors import TicksealError

if TYPE_CHECKING:
    from typer._click import Command, Context

GROUP = "tickseal.commands"
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
_COMPLETION = {"install_completion", "show_completion"}

#: As a new user meets them; others follow by name.
_ORDER = ("demo", "gateway", "edge", "mcu", "image", "sink", "top", "play", "grant", "open")

_EXAMPLES = """\b
Examples:
  tickseal demo --seconds 10         a gateway and a Data Source here, streaming
  tickseal gateway run               the Stream Controller and Data Sink
  tickseal gateway invite            a one-time token that enrols one device
  tickseal edge enrol TOKEN          on the device: who it is, and which gateway
  tickseal edge run                  on the device: seal and send its streams
"""


class CommandError(TicksealError):
    """A sub-command cannot be loaded: a part of the installation is missing or broken."""


class _Commands(TyperGroup):
    """Lists every registered command, but imports a command's module only to run it."""

    def list_commands(self, ctx: "Context") -> list[str]:
        known = [name for name in _ORDER if name in _registered()]
        return known + sorted(_registered().keys() - set(known))

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        entry = _registered().get(cmd_name)
        return TyperCommand(cmd_name, callback=None, help=_summary(entry)) if entry else None

    def resolve_command(
        self, ctx: "Context", args: list[str]
    ) -> "tuple[str | None, Command | None, list[str]]":
        is_unknown = args[0] not in _registered() and not ctx.resilient_parsing
        if is_unknown and (homes := _homes(args[0])):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {' or '.join(homes)}?")
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or command is None:
            return name, command, rest
        try:
            return name, _load(_registered()[name]), rest
        except ImportError as error:
            if ctx.resilient_parsing:  # the shell asks for completions: an error would land in them
                return name, command, rest
            raise CommandError(_explain(name, error)) from error

    def invoke(self, ctx: "Context") -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:  # imported where it is used
            raise CommandError(_explain(ctx.invoked_subcommand or "", error)) from error


@cache
def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _summary(entry: EntryPoint) -> str:
    """Return the first line of a module's docstring without running the module."""
    try:
        spec = importlib.util.find_spec(entry.module)
        if spec is None or spec.origin is None:
            return "(not installed)"
        docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8")))
    except (ImportError, OSError, SyntaxError, ValueError):
        return "(not installed)"
    return (docstring or "").partition("\n")[0]


def _load(entry: EntryPoint) -> "Command":
    try:
        application = entry.load()
    except AttributeError as error:
        raise ImportError(str(error)) from error
    if not isinstance(application, typer.Typer):
        raise ImportError(f"{entry.value} is not a typer application")
    command = get_command(application)
    command.params = [param for param in command.params if param.name not in _COMPLETION]
    return command


def _homes(name: str) -> list[str]:
    """Return commands that may be meant by a name that is none: alike, or in a group."""
    homes = [f"'tickseal {alike}'" for alike in get_close_matches(name, _registered())]
    for group, entry in _registered().items():
        try:
            command = _load(entry)
        except ImportError:
            continue
        if name in getattr(command, "commands", ()):
            homes.append(f"'tickseal {group} {name}'")
    return homes


def _explain(name: str, error: ImportError) -> str:
    extras = metadata("tickseal").get_all("Provides-Extra") or []
    install = f"pip install 'tickseal[{name if name in extras else 'edge,gateway'}]'"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None:
        return f"the command {name!r} is broken ({error}); install it again: {install}"
    if missing.startswith("tickseal"):
        return f"this installation lacks {missing}, for {name!r}; install it again: {install}"
    return f"the command {name!r} needs the package {missing}; install it with: {install}"


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    epilog=_EXAMPLES,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tickseal {version('tickseal')}")
        raise typer.Exit


@app.callback()
def tickseal(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Stream data from edge devices, every frame sealed under a key of its own."""


def main() -> NoReturn:
    """Run the command line; exit with 0, 1 (an error), 2 (wrong usage) or 130 (Ctrl-C).

    With TICKSEAL_DEBUG set to anything, an error shows where it came from.
    """
    try:
        app(prog_name="tickseal")
    except TicksealError as error:
        if os.environ.get("TICKSEAL_DEBUG"):
            raise
        prefix = "tickseal: " if "\n" not in str(error) else ""
        typer.echo(f"{prefix}{error}", err=True)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or it is tried at the end
        typer.echo("tickseal: the disk is full: make room, then run it again", err=True)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    raise AssertionError("typer always exits")


if __name__ == "__main__":
    main()

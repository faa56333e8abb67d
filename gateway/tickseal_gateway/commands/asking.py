"""Asking: how commands reach the running gateway, or its state directory where none runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tickseal.host.control_socket import NotRunningError, ask
from tickseal.host.state import StateDirectory
from tickseal_gateway.config import Config, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration; has a default for all."),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State directory, in place of the configured one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
SERVICE = "gateway"


def settings(config: Path | None, state: Path | None, port: int | None = None) -> Config:
    """Return the configuration that options choose."""
    return load(config).with_overrides(state=state, port=port)


def do(
    chosen: Config,
    request: dict[str, object],
    do_it: Callable[[Any], Any],
) -> Any:
    """Ask the running gateway; where none runs, do it on its state directory."""
    try:
        return ask(chosen.state_path, request, service=SERVICE)
    except NotRunningError:
        from tickseal_gateway.controller.administration import Administration  # noqa: PLC0415 - heavy
        from tickseal_gateway.service import open_registry  # noqa: PLC0415

        with StateDirectory.open(chosen.state_path) as directory:
            identity, registry = open_registry(chosen, directory)
            try:
                port = chosen.gateway.port
                return do_it(Administration(chosen, identity, registry, port=port))
            finally:
                registry.close()

"""The process of the service: its arguments, its signals, its exit code."""

import asyncio
import getopt
import logging
import os
import signal
import sys
from pathlib import Path

from tickseal.core.errors import ConfigError, TicksealError
from tickseal.host.logs import set_up_logging
from tickseal.host.state import StateDirectory
from tickseal_edge.config import load_config
from tickseal_edge.service import EdgeService

_logger = logging.getLogger("tickseal.edge")
_EXIT_ERROR, _EXIT_INTERRUPTED = 1, 130
_OPTIONS = ["config=", "json", "verbose", "software="]


def main(arguments: list[str]) -> int:
    """Run the service; return the exit code."""
    try:
        given = dict(getopt.getopt(arguments, "", _OPTIONS)[0])
    except getopt.GetoptError as error:
        sys.stderr.write(f"tickseal: {error}; use the command tickseal edge run\n")
        return _EXIT_ERROR
    set_up_logging("debug" if "--verbose" in given else "info", as_json="--json" in given)
    try:
        path = Path(given["--config"]) if "--config" in given else None
        config = load_config(path)
        with StateDirectory.open(config.state_path) as state:
            service = EdgeService(config, state, software=given.get("--software", "tickseal"))
            asyncio.run(_run(service, path))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_ERROR
    except TicksealError as error:
        if os.environ.get("TICKSEAL_DEBUG"):
            raise
        _logger.error("%s", error)  # noqa: TRY400 - no traceback
        return _EXIT_ERROR
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0


async def _run(service: EdgeService, path: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reload() -> None:
        try:
            service.reload(load_config(path))
        except ConfigError as error:
            _logger.error("the configuration stays as it was: %s", error)  # noqa: TRY400

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await service.run(stop)

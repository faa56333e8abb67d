"""Logging for both applications: plain lines, journald's levels, or JSON; changes said once."""

import json
import logging
import os
import sys
import time
from collections import OrderedDict
from typing import TextIO

#: journald reads a leading <N> as the level (sd-daemon(3)).
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
#: Keys may come from the network, so they are bounded; the least recently said is forgotten.
_KEYS_MAX = 1024


class _PlainFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime


class _JournalFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


def set_up_logging(
    level: str = "info", *, as_json: bool = False, stream: TextIO | None = None
) -> None:
    """Send all log records to a stream, replacing what was set up before.

    Args:
        level: debug, info, warning or error.
        as_json: one JSON object a line instead of text.
        stream: where to, by default standard error; there, under systemd (JOURNAL_STREAM), lines
            carry journald's level and no time.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    if as_json:
        handler.setFormatter(_JSONFormatter())
    elif stream is None and "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter())
    else:
        handler.setFormatter(_PlainFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # The event loop's own debugging is of no use to users.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class Once:
    """Logs a state when it changes, never each time that it is seen.

    Args:
        logger: where to.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._states: OrderedDict[str, object] = OrderedDict()

    def change(self, key: str, state: object, level: int, message: str, *values: object) -> bool:
        """Log the message if the key's state is not what it was; return whether it was logged.

        Args:
            key: what has the state, such as a stream id.
            state: its state now; compared with ==.
            level: logging.INFO and so on.
            message, values: as for logging.
        """
        if key in self._states and self._states[key] == state:
            self._states.move_to_end(key)
            return False
        self._states[key] = state
        self._states.move_to_end(key)
        if len(self._states) > _KEYS_MAX:
            self._states.popitem(last=False)
        self._logger.log(level, message, *values)
        return True

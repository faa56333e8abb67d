"""Tells a person how far long work has come: a line a step, on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_REDRAW_S = 0.2
_MIB = 1 << 20
#: Covers what a redrawn line had at its end.
_REST = " " * 12


class Progress:
    """Writes steps; on a terminal, a step's line is redrawn while it goes on.

    Args:
        quiet: say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._redraws = not quiet and sys.stderr.isatty()
        self._text = ""
        self._drawn = 0.0

    @contextmanager
    def step(self, text: str) -> Iterator["Progress"]:
        """Name what is being done; say how long it took."""
        began = time.monotonic()
        self._text = text
        if self._redraws:
            self._write(f"{text} ...")
        try:
            yield self
        except BaseException:
            if self._redraws:
                self._write("\n")
            raise
        back = "\r" if self._redraws else ""
        self._write(f"{back}{text}, {time.monotonic() - began:.1f} s{_REST if back else ''}\n")

    def part(self, done: int, total: int | None) -> None:
        """Tell how many bytes are done, and of how many if that is known."""
        now = time.monotonic()
        if not self._redraws or now - self._drawn < _REDRAW_S:
            return
        self._drawn = now
        share = f"{100 * done // total} %" if total else f"{done // _MIB} MiB"
        self._write(f"\r{self._text} ... {share} ")

    def note(self, text: str) -> None:
        """Say something that a person should know."""
        self._write(f"note: {text}\n")

    def _write(self, text: str) -> None:
        if not self._quiet:
            sys.stderr.write(text)
            sys.stderr.flush()

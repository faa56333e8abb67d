"""Commands of the bench's computer, from the bench's file, that move what is around a device."""

import subprocess
from collections.abc import Mapping

from hil_tests.bench.capabilities import LackingError
from hil_tests.bench.shell import PATIENCE_S, DeviceError

_MOST_S = PATIENCE_S


class Commands:
    """One table of a bench's file.

    Args:
        name: of the table.
        table: its keys; those that are command lines may have fields in braces.
    """

    def __init__(self, name: str, table: Mapping[str, object] | None) -> None:
        self._name = name
        if table is None:
            raise LackingError(f"this bench has no {name}; describe it by a table [{name}]")
        self._table = table

    def text(self, key: str, default: str | None = None) -> str:
        """Return what a key says.

        Raises:
            LackingError: it says nothing.
        """
        value = self._table.get(key, default)
        if value is None:
            raise LackingError(f"this bench cannot do it: [{self._name}] has no {key}")
        return str(value)

    def run(self, key: str, **fields: object) -> str:
        """Run the command line of a key; return what it prints.

        Raises:
            LackingError: there is none.
            DeviceError: it failed.
        """
        line = self.text(key).format(**fields)
        try:
            done = subprocess.run(
                line, shell=True, capture_output=True, text=True, timeout=_MOST_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{line!r} was not done within {_MOST_S:g} s") from None
        if done.returncode != 0:
            said = (done.stderr + done.stdout)[-1000:].strip()
            raise DeviceError(f"[{self._name}] {key}: {line!r} exited {done.returncode}: {said}")
        return done.stdout

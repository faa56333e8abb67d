"""The golden vectors, element by element: a board's memory does not hold a whole file.

tests/vectors writes one scalar a line, indented by one space a level.
"""

import gc
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

if hasattr(gc, "threshold"):
    # MicroPython: to collect little and often keeps a small heap from falling into pieces.
    gc.threshold(8192)

VECTORS = __file__.rsplit("/", 2)[0] + "/vectors/"


def entries(file: str, part: str) -> "Iterator[tuple[str, Any]]":
    """Yield the keys and values of a map of maps; keys are empty where the part is a list."""
    # No pathlib on MicroPython.
    with open(VECTORS + file) as opened:  # noqa: PTH123
        lines = iter(opened)
        for line in lines:
            if line.startswith(' "%s": ' % part):
                break
        for line in lines:
            if line[:2] in (" ]", " }"):
                return
            key, _, text = line.strip().rpartition(": ")
            yield key[1:-1], _value(text, lines)


def elements(file: str, part: str) -> "Iterator[Any]":
    """Yield the elements of a list of maps."""
    for _, value in entries(file, part):
        yield value


def _value(text: str, lines: "Iterator[str]") -> "Any":
    """Return the value that begins with a text, and take its further lines."""
    if text not in ("{", "["):
        return json.loads(text)
    found: "Any" = {} if text == "{" else []
    for line in lines:
        one = line.strip().rstrip(",")
        if one in ("}", "]"):
            break
        if text == "[":
            found.append(_value(one, lines))
            continue
        key, _, rest = one.partition('": ')
        found[key[1:]] = _value(rest, lines)
    return found


def raises(error: type, function: "Any", *arguments: "Any", **named: "Any") -> bool:
    """Whether a call raises this error."""
    try:
        function(*arguments, **named)
    except error:
        return True
    return False

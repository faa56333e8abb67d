"""Tags: words by which people group devices."""

import re
from collections.abc import Iterable

from tickseal.core.errors import TicksealError

_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
_MOST = 16


class TagError(TicksealError):
    """What was asked for is no tag, or too many."""


def changed_tags(
    tags: Iterable[str], *, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return tags after a change, in the order of the alphabet.

    Raises:
        TagError: one is malformed, or there would be too many.
    """
    add, remove = set(add), set(remove)
    for tag in sorted(add | remove):
        if not _TAG.fullmatch(tag):
            raise TagError(
                f"{tag!r} is no tag: 1 to 32 lower-case letters, digits, '.', '_' or '-'"
            )
    made = tuple(sorted((set(tags) | add) - remove))
    if len(made) > _MOST:
        raise TagError(f"a device has at most {_MOST} tags")
    return made

"""Marks that narrow what a configuration key may hold, placed inside `Annotated`.

A mark either checks what the annotated type has read (Between, Length), or is a notation of its
own (Duration, Size), which takes the TOML value itself. Applications may add both kinds.
"""

from collections.abc import Callable, Sized

from tickseal.configuration.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


class Mark:
    """The base of all marks.

    Attributes:
        is_notation: whether `read` takes the TOML value instead of what the annotated type read.
        suffix: the end of the field's name that its key does not have, since the text has the unit.
    """

    is_notation = False
    suffix = ""

    def allowed(self, base: str) -> str:
        """Return what is allowed, in words; `base` is what was allowed before this mark."""
        raise NotImplementedError

    def read(self, value: object) -> object:
        """Return the value to keep.

        Raises:
            ValueError: the value is not allowed; the message is not shown, `allowed` is.
        """
        raise NotImplementedError


class Between(Mark):
    """A number from `lowest` to `highest`, both included."""

    def __init__(self, lowest: float, highest: float) -> None:
        self._lowest, self._highest = lowest, highest

    def allowed(self, base: str) -> str:
        """Name both ends."""
        return f"{base} from {self._lowest} to {self._highest}"

    def read(self, value: object) -> object:
        """Accept what lies between the ends."""
        if not isinstance(value, int | float) or not self._lowest <= value <= self._highest:
            raise ValueError
        return value


class Length(Mark):
    """Text, or a list, of `lowest` to `highest` characters or elements."""

    def __init__(self, lowest: int, highest: int) -> None:
        self._lowest, self._highest = lowest, highest

    def allowed(self, base: str) -> str:
        """Name both ends."""
        span = f"{self._lowest} to {self._highest}"
        noun, comma, rest = base.partition(",")
        return f"{noun} of {span} {'characters' if noun == 'text' else 'elements'}{comma}{rest}"

    def read(self, value: object) -> object:
        """Accept what has such a length."""
        if not isinstance(value, Sized) or not self._lowest <= len(value) <= self._highest:
            raise ValueError
        return value


class Duration(Mark):
    """Nanoseconds, written with their unit: `interval_ns` is set by interval = "100ms"."""

    is_notation = True
    suffix = "_ns"

    def __init__(self, lowest: str = "0ns", highest: str = "36500d") -> None:
        self._lowest, self._highest = parse_duration(lowest), parse_duration(highest)

    def allowed(self, base: str) -> str:
        """Show the notation and both ends."""
        lowest, highest = format_duration(self._lowest), format_duration(self._highest)
        return f'a duration such as "100ms" or "2s", from "{lowest}" to "{highest}"'

    def read(self, value: object) -> int:
        """Return nanoseconds."""
        return _bounded(value, parse_duration, self._lowest, self._highest)


class Size(Mark):
    """Bytes, written with their unit: `spool_bytes` is set by spool = "8MiB"."""

    is_notation = True
    suffix = "_bytes"

    def __init__(self, lowest: str = "0B", highest: str = "1024TiB") -> None:
        self._lowest, self._highest = parse_size(lowest), parse_size(highest)

    def allowed(self, base: str) -> str:
        """Show the notation and both ends."""
        lowest, highest = format_size(self._lowest), format_size(self._highest)
        return f'a size such as "512KiB" or "8MiB", from "{lowest}" to "{highest}"'

    def read(self, value: object) -> int:
        """Return bytes."""
        return _bounded(value, parse_size, self._lowest, self._highest)


def _bounded(value: object, parse: Callable[[str], int], lowest: int, highest: int) -> int:
    if not isinstance(value, str):
        raise ValueError
    amount = parse(value)
    if not lowest <= amount <= highest:
        raise ValueError
    return amount

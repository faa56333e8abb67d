"""Limits: what one device may have."""

import json
from dataclasses import asdict, dataclass, fields, replace

from tickseal.configuration.quantities import format_size, parse_size
from tickseal.core.errors import StoreError, TicksealError

_LARGEST = 1 << 50


class LimitError(TicksealError):
    """What was asked for is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one device may have; None for as much as everybody.

    Args:
        streams: open at once.
        frames_per_s, bytes_per_s: of all its streams together; bytes of payload.
        storage_bytes: of its readings, and of its recordings; the oldest go.
    Raises:
        LimitError: one is not 1..2^50.
    """

    streams: int | None = None
    frames_per_s: int | None = None
    bytes_per_s: int | None = None
    storage_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check each."""
        for name, value in asdict(self).items():
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (is_whole and 1 <= value <= _LARGEST):
                raise LimitError(f"the limit of {name} is a whole number from 1 on, or none")

    def __str__(self) -> str:
        """Say them in words; empty where there are none."""
        words = (
            self.streams and f"{self.streams} streams",
            self.frames_per_s and f"{self.frames_per_s} frames/s",
            self.bytes_per_s and f"{format_size(self.bytes_per_s)}/s",
            self.storage_bytes and f"{format_size(self.storage_bytes)} stored",
        )
        return ", ".join(word for word in words if word)

    def to_json(self) -> dict[str, object]:
        """Return those that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def changed(self, changes: dict[str, int | None]) -> "Limits":
        """Return them with some set anew, or taken away (None).

        Raises:
            LimitError: a name is none of theirs, or a value out of range.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise LimitError(f"no limit is called {unknown[0]!r}; {', '.join(sorted(known))}")
        return replace(self, **changes)

    def encode(self) -> str:
        """Return them as the registry keeps them."""
        return json.dumps(self.to_json(), sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> "Limits":
        """Return what encode() made.

        Raises:
            StoreError: any text that it did not make.
        """
        try:
            return cls().changed(json.loads(text))
        except (ValueError, TypeError, LimitError):
            raise StoreError("the registry holds limits that are none: set them anew") from None


#: As much as everybody.
NO_LIMITS = Limits()


def parse_limit(text: str, *, is_size: bool) -> int | None:
    """Return a limit as people write it: a number, a size such as 100kB, or none.

    Raises:
        LimitError: it is neither.
    """
    text = text.strip().removesuffix("/s")
    if text == "none":
        return None
    try:
        return parse_size(text) if is_size and not text.isdecimal() else int(text)
    except ValueError:
        example = "100kB" if is_size else "20"
        raise LimitError(f"{text!r} is no limit; write for example {example}, or none") from None

"""Durations and sizes as people write them, "100ms" and "8MiB", read without rounding."""

import re
from typing import Final

_DURATION_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_SIZE_UNITS: Final = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
    "TB": 10**12,
    "TiB": 2**40,
}
_QUANTITY = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))? ?([a-zA-Zµ]{1,3})", re.ASCII)
_LARGEST: Final = 2**63 - 1  # what a signed 64-bit field holds: 292 years of nanoseconds


def parse_duration(text: str) -> int:
    """Return the nanoseconds that a text such as "100ms", "1.5s", "2min" or "1h" means.

    Raises:
        ValueError: no number with one of the units ns us µs ms s min h d, not a whole number of
            nanoseconds, or more than 2^63 - 1 of them.
    """
    return _parse(text, _DURATION_UNITS)


def parse_size(text: str) -> int:
    """Return the bytes that a text such as "512KiB", "8MiB" or "2GB" means.

    Raises:
        ValueError: no number with one of the units B kB KiB MB MiB GB GiB TB TiB, not a whole
            number of bytes, or more than 2^63 - 1 of them.
    """
    return _parse(text, _SIZE_UNITS)


def format_duration(nanoseconds: int) -> str:
    """Write a duration in the largest unit that needs no fraction, so that it reads back equal."""
    return _format(nanoseconds, _DURATION_UNITS)


def format_size(size: int) -> str:
    """Write a number of bytes in the largest unit that needs no fraction."""
    return _format(size, _SIZE_UNITS)


def _parse(text: str, units: dict[str, int]) -> int:
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[3] not in units:
        raise ValueError(f"not a number with one of the units {', '.join(units)}")
    decimals = found[2] or ""
    scale: int = 10 ** len(decimals)
    amount, rest = divmod(int(found[1] + decimals) * units[found[3]], scale)
    if rest or amount > _LARGEST:
        raise ValueError("not a whole number of the smallest unit, or too many of them")
    return amount


def _format(amount: int, units: dict[str, int]) -> str:
    if amount == 0:
        return "0" + min(units, key=lambda unit: units[unit])
    fitting = [unit for unit, worth in units.items() if amount % worth == 0]
    unit = max(fitting, key=lambda unit: units[unit])
    return f"{amount // units[unit]}{unit}"

"""The native hot path: does the same as the pure one, over the system's libcrypto."""

import os
from typing import NamedTuple


class Acceleration(NamedTuple):
    """Whether segments are sealed and opened natively.

    Attributes:
        is_native: native, or else in Python; the bytes are the same.
        library: the libcrypto in use, such as "OpenSSL 3.0.19 27 Jan 2026"; empty in Python.
        reason: why it is not native; empty where it is.
    """

    is_native: bool
    library: str
    reason: str


def _find() -> Acceleration:
    if os.environ.get("TICKSEAL_PURE", "0") not in {"", "0"}:
        return Acceleration(False, "", "TICKSEAL_PURE is set")
    try:
        import tickseal.native.hotpath as hotpath  # noqa: PLC0415, PLR0402  # tells apart the next two
    except ModuleNotFoundError:
        return Acceleration(False, "", "it was not compiled when tickseal was installed")
    except ImportError as error:
        return Acceleration(False, "", str(error))
    return Acceleration(True, hotpath.LIBCRYPTO, "")


_FOUND = _find()
IS_NATIVE = _FOUND.is_native


def acceleration() -> Acceleration:
    """Return whether segments are sealed and opened natively, and why not."""
    return _FOUND

"""What `bench/seal.py` measures beside tickseal: one module a peer, the same two functions in each.

`describe()` says what it is, with its version. `prepare(payload, count)` returns two functions: the
first seals the payload count times and keeps the result, the second opens all of it, in order.
Importing a module whose package is not installed raises ImportError.
"""

#: Wire units of at most this many payload bytes, where a peer sends datagrams.
SEGMENT_BYTES = 1200


def split(payload: bytes) -> list[bytes]:
    """Return a payload in parts of SEGMENT_BYTES, the last one shorter."""
    return [payload[at : at + SEGMENT_BYTES] for at in range(0, len(payload), SEGMENT_BYTES)]

"""Comparison of secrets, for an interpreter without hmac.compare_digest."""


def equal(left: bytes, right: bytes) -> bool:
    """Return whether two byte strings are equal, in steps that depend on their lengths only.

    A loop over bytes takes 1 ms for 32 bytes on an RP2040. These few operations on long integers
    take as long wherever the difference lies, since a bit above it keeps every integer full length.
    """
    if len(left) != len(right):
        return False
    bits = 8 * len(left)
    difference = (int.from_bytes(left, "big") | 1 << bits) ^ int.from_bytes(right, "big")
    return difference - 1 >> bits == 0

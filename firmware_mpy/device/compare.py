"""Comparison of secrets, for an interpreter without hmac.compare_digest."""


def equal(left: bytes, right: bytes) -> bool:
    """Return whether two byte strings are equal, in steps that depend on their lengths only."""
    if len(left) != len(right):
        return False
    difference = 0
    for i in range(len(left)):
        difference |= left[i] ^ right[i]
    return difference == 0

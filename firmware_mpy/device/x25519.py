"""X25519 (RFC 7748) with the interpreter's own big integers.

Every call performs the same sequence of operations: no branch and no index into memory that is
larger than a pair depends on the scalar. The time of a single big-integer operation still varies
with its operands, as MicroPython's integers do, so this is for a link whose other end cannot time
it to the microsecond: a serial cable.
"""

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_P = 2**255 - 19
_LOW = 2**255 - 1
_A24 = 121665
_KEY_BYTES = 32
_BASE = b"\x09" + bytes(31)
#: A product leaves 1.5 MB behind. Collected as often as the program wants it otherwise, that takes
#: a Pico several times as long as the arithmetic: here it is left until the heap is full.
_collect_each: "Any" = getattr(gc, "threshold", lambda *_: -1)  # CPython has none


def _square_times(x: int, times: int) -> int:
    low = _LOW
    for _ in range(times):
        x = x * x
        x = (x & low) + (x >> 255) * 19
        x = (x & low) + (x >> 255) * 19
    return x


def _invert(z: int) -> int:
    # z^(p-2) in 254 squarings and 11 products; pow() with three arguments takes 253 products.
    z2 = z * z % _P
    z9 = _square_times(z2, 2) * z % _P
    z11 = z9 * z2 % _P
    z_5 = z11 * z11 * z9 % _P  # z^(2^5 - 1), and so on below
    z_10 = _square_times(z_5, 5) * z_5 % _P
    z_20 = _square_times(z_10, 10) * z_10 % _P
    z_40 = _square_times(z_20, 20) * z_20 % _P
    z_50 = _square_times(z_40, 10) * z_10 % _P
    z_100 = _square_times(z_50, 50) * z_50 % _P
    z_200 = _square_times(z_100, 100) * z_100 % _P
    z_250 = _square_times(z_200, 50) * z_50 % _P
    return _square_times(z_250, 5) * z11 % _P


def scalar_mult(scalar: bytes, point: bytes) -> bytes:
    """Return the u-coordinate of scalar times point, 32 bytes.

    All zeros means that the point is of low order: the caller must refuse that.

    Args:
        scalar: 32 bytes, clamped here as RFC 7748 section 5 does.
        point: 32 bytes, little-endian; the top bit is ignored.
    Raises:
        ValueError: an argument is not 32 bytes long.
    Source: RFC 7748 section 5.
    """
    if len(scalar) != _KEY_BYTES or len(point) != _KEY_BYTES:
        raise ValueError("X25519 takes a scalar and a point of 32 bytes each")
    usual = _collect_each()
    _collect_each(-1)
    try:
        return _ladder(scalar, point)
    finally:
        _collect_each(usual)


def _ladder(scalar: bytes, point: bytes) -> bytes:
    k = int.from_bytes(scalar, "little") & (2**255 - 8) | 2**254
    bits = k.to_bytes(32, "big")
    low = _LOW
    u = (int.from_bytes(point, "little") & low) % _P
    # The two points of the ladder, (x, z) for u times the bits so far and for one more.
    x2, z2, x3, z3 = 1, 0, u, 1
    swapped = 0
    for position in range(1, 256):
        bit = bits[position >> 3] >> (7 - (position & 7)) & 1
        x, z, swap = (x2, x3), (z2, z3), bit ^ swapped
        x2, x3, z2, z3 = x[swap], x[swap ^ 1], z[swap], z[swap ^ 1]
        swapped = bit
        # 2^255 is 19 here: what lies above goes below 19-fold, a third of a remainder's work. Once
        # leaves some bits too many, which are let be (x2 < 2^262, x3 < 2^264, z3 < 2^268), twice
        # at most one.
        a, b = x2 + z2, x2 - z2
        da, cb = a * (x3 - z3), b * (x3 + z3)
        da, cb = (da & low) + (da >> 255) * 19, (cb & low) + (cb >> 255) * 19
        da, cb = (da & low) + (da >> 255) * 19, (cb & low) + (cb >> 255) * 19
        a, b = a * a, b * b
        a, b = (a & low) + (a >> 255) * 19, (b & low) + (b >> 255) * 19
        a, b = (a & low) + (a >> 255) * 19, (b & low) + (b >> 255) * 19
        x3, z3 = da + cb, da - cb
        x3, z3 = x3 * x3, z3 * z3
        z3 = ((z3 & low) + (z3 >> 255) * 19) * u
        x3, z3 = (x3 & low) + (x3 >> 255) * 19, (z3 & low) + (z3 >> 255) * 19
        e = a - b
        x2, z2 = a * b, e * (a + _A24 * e)
        x2, z2 = (x2 & low) + (x2 >> 255) * 19, (z2 & low) + (z2 >> 255) * 19
        z2 = (z2 & low) + (z2 >> 255) * 19
    x, z = (x2, x3), (z2, z3)
    return (x[swapped] * _invert(z[swapped]) % _P).to_bytes(32, "little")


def public_key(private_key: bytes) -> bytes:
    """Return the public key of a private key, 32 bytes each.

    Source: RFC 7748 section 6.1.
    """
    return scalar_mult(private_key, _BASE)

"""X25519, as RFC 7748 has it."""

from binascii import unhexlify

from device import primitives, x25519
from official import cases
from refusal import refuses

# The u-coordinates of the points of order 1, 2, 4 and 8, also as they look unreduced.
LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)


def iterate(times):
    k = u = b"\x09" + bytes(31)
    for _ in range(times):
        k, u = x25519.scalar_mult(k, u), k
    return k


def test_gives_the_official_products():
    for scalar, u, product in cases("x25519"):
        assert x25519.scalar_mult(scalar, u) == product


def test_gives_the_official_product_after_one_iteration():
    times, result = next(cases("x25519_iterated"))
    assert iterate(times) == result


def test_gives_the_official_product_after_1000_iterations():
    times, result = list(cases("x25519_iterated"))[1]
    assert times == 1000
    assert iterate(times) == result


def test_two_sides_agree_as_in_the_official_example():
    for private, public, peer_public, shared in cases("x25519_agreement"):
        assert x25519.public_key(private) == public
        assert primitives.x25519_public(private) == public
        assert primitives.x25519(private, peer_public) == shared


def test_refuses_every_point_of_low_order():
    private = bytes(range(32))
    for point in LOW_ORDER:
        assert x25519.scalar_mult(private, unhexlify(point)) == bytes(32)
        assert refuses(primitives.x25519, private, unhexlify(point))


def test_ignores_the_top_bit_of_a_point():
    private, point = bytes(range(32)), bytearray(range(1, 33))
    clear = x25519.scalar_mult(private, bytes(point))
    point[31] |= 0x80
    assert x25519.scalar_mult(private, bytes(point)) == clear


def test_refuses_arguments_of_the_wrong_size():
    assert refuses(x25519.scalar_mult, bytes(31), bytes(32))
    assert refuses(x25519.scalar_mult, bytes(32), bytes(33))
    assert refuses(primitives.x25519, bytes(32), b"")

"""Addresses as peers and as sites."""

import pytest

from tickseal.links.base import Address, plain_address
from tickseal.links.sockets import site


@pytest.mark.parametrize(
    ("address", "plain", "place"),
    [
        (("192.0.2.7", 5), ("192.0.2.7", 5), "192.0.2.7"),
        (("::ffff:192.0.2.7", 5, 0, 0), ("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), ("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::"),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1%eth0", 5), "fe80::"),
        (("::1", 5, 0, 0), ("::1", 5), "::"),
    ],
)
def test_names_who_sent(address: Address, plain: tuple[str, int], place: str) -> None:
    assert plain_address(address) == plain
    assert site(address) == place

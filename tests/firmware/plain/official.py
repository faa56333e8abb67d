"""Official test vectors of the primitives; each group in official.json names its source."""

import json
from binascii import unhexlify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def cases(group: str) -> "Iterator[list[bytes | int]]":
    """Yield the cases of a group, its hexadecimal fields as bytes."""
    with open(__file__.rsplit(".", 1)[0] + ".json") as file:
        found = json.load(file)[group]["cases"]
    for case in found:
        yield [unhexlify(field) if isinstance(field, str) else field for field in case]

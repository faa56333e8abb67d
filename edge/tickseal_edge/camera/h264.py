"""H.264 as encoders give it: which access units can be decoded without the ones before."""

_IDR = 5


def is_key(unit: bytes | memoryview) -> bool:
    """Tell whether an access unit (Annex B) holds an IDR picture."""
    data = bytes(unit)
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        kind = data[at + 3] & 31
        if kind == _IDR:
            return True
        if 1 <= kind < _IDR:  # a slice of another picture: what follows is no IDR
            return False
        at = data.find(b"\0\0\1", at + 3)
    return False

"""AES-128-CCM with an 8-byte tag (RFC 3610, M = 8), over the port's AES in C.

The CBC-MAC is cryptolib's CBC, whose last block it is; the counter mode is cryptolib's ECB over a
batch of counter blocks, XORed as one big integer.
"""

from cryptolib import aes

from device.compare import equal

KEY_BYTES = 16
TAG_BYTES = 8

# L, the bytes that hold the payload's length, is 2 to 8; and aad with a 2-byte length only.
_NONCE_MIN = 7
_NONCE_MAX = 13
_AAD_LIMIT = 0xFF00

_ECB = 1
_CBC = 2
_BLOCK = 16
#: Bytes worked on at once: bounds the memory, and keeps a batch's counters in their low byte.
_BATCH = 256


def _mac(key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
    length_bytes = 15 - len(nonce)
    flags = (0x40 if aad else 0) | (TAG_BYTES - 2) // 2 << 3 | length_bytes - 1
    head = bytes((flags,)) + nonce + len(payload).to_bytes(length_bytes, "big")
    if aad:
        head += len(aad).to_bytes(2, "big") + aad
        head += bytes(-len(head) % _BLOCK)
    cipher = aes(key, _CBC, bytes(_BLOCK))
    last = cipher.encrypt(head)
    for at in range(0, len(payload), _BATCH):
        batch = payload[at : at + _BATCH]
        last = cipher.encrypt(batch + bytes(-len(batch) % _BLOCK))
    return last[-_BLOCK:]


def _counter_mode(key: bytes, nonce: bytes, text: bytes) -> bytes:
    length_bytes = 15 - len(nonce)
    cipher = aes(key, _ECB)
    parts = []
    for at in range(0, len(text), _BATCH):
        batch = text[at : at + _BATCH]
        first = at // _BLOCK
        block = bytes((length_bytes - 1,)) + nonce + first.to_bytes(length_bytes, "big")
        size = len(batch)
        counters = bytearray(block * ((size + _BLOCK - 1) // _BLOCK))
        number = first & 0xFF
        for low in range(_BLOCK - 1, len(counters), _BLOCK):
            counters[low] = number
            number += 1
        stream = int.from_bytes(cipher.encrypt(counters)[:size], "big")
        parts.append((int.from_bytes(batch, "big") ^ stream).to_bytes(size, "big"))
    return b"".join(parts)


def _check(key: bytes, nonce: bytes, aad: bytes, size: int) -> None:
    if len(key) != KEY_BYTES or not _NONCE_MIN <= len(nonce) <= _NONCE_MAX:
        raise ValueError("AES-128-CCM takes a key of 16 bytes and a nonce of 7 to 13")
    if len(aad) >= _AAD_LIMIT or size >> 8 * (15 - len(nonce)):
        raise ValueError("aad must be under 65280 bytes, the payload as short as the nonce asks")


def seal(key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
    """Return ciphertext || tag.

    Args:
        key: 16 bytes.
        nonce: 7 to 13 bytes, 12 in tickseal; never twice under one key.
        aad: what is authenticated only, under 65280 bytes.
        payload: under 2^(8 (15 - len(nonce))) bytes.
    Raises:
        ValueError: a length is not allowed.
    Source: RFC 3610 section 2.
    """
    _check(key, nonce, aad, len(payload))
    # Counter block 0 masks the MAC, the blocks from 1 on the payload.
    out = _counter_mode(key, nonce, _mac(key, nonce, aad, payload) + payload)
    return out[_BLOCK:] + out[:TAG_BYTES]


def open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Return the payload of what `seal` returned.

    Raises:
        ValueError: a length is not allowed, or the tag does not verify.
    Source: RFC 3610 section 2.5.
    """
    size = len(sealed) - TAG_BYTES
    if size < 0:
        raise ValueError("shorter than its tag")
    _check(key, nonce, aad, size)
    masked = sealed[size:] + bytes(_BLOCK - TAG_BYTES) + sealed[:size]
    out = _counter_mode(key, nonce, masked)
    payload = out[_BLOCK:]
    if not equal(out[:TAG_BYTES], _mac(key, nonce, aad, payload)[:TAG_BYTES]):
        raise ValueError("the tag does not verify")
    return payload

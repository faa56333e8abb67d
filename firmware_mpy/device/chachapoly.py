"""ChaCha20-Poly1305 (RFC 8439) in pure Python, for the handshake.

A row of the ChaCha20 state, for several blocks at once, is one big integer: its 32-bit words lie
64 bits apart, so that one addition adds them all and its carries fall into the gaps. That is 80
big-integer operations for two rounds of up to five blocks, where words one by one take over 500
for a single block.
"""

from device.compare import equal

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

_LANE = 64
# Five blocks at once: the one that Poly1305 takes its key from, and 256 bytes of text.
_BATCH = 5
_WORD = 0xFFFFFFFF
_CONSTANTS = b"expand 32-byte k"
_P1305 = 2**130 - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def _row(words: bytes, repeat: int, width: int) -> int:
    row = 0
    for i in range(4):
        row |= int.from_bytes(words[4 * i : 4 * i + 4], "little") * repeat << width * i
    return row


def _blocks(key: bytes, nonce: bytes, counter: int, count: int) -> bytes:
    width = _LANE * count
    repeat = counters = 0
    for i in range(count):
        repeat |= 1 << _LANE * i
        counters |= (counter + i & _WORD) << _LANE * i
    word = _WORD * repeat
    mask = word | word << width | word << 2 * width | word << 3 * width
    one = (1 << width) - 1
    two = (1 << 2 * width) - 1
    three = (1 << 3 * width) - 1
    two_width, three_width = 2 * width, 3 * width
    start = (
        _row(_CONSTANTS, repeat, width),
        _row(key[:16], repeat, width),
        _row(key[16:], repeat, width),
        _row(bytes(4) + nonce, repeat, width) | counters,
    )
    a, b, c, d = start
    for _ in range(10):
        for diagonal in (True, False):
            a = a + b & mask
            d = (d ^ a) << 16
            d = (d | d >> 32) & mask
            c = c + d & mask
            b = (b ^ c) << 12
            b = (b | b >> 32) & mask
            a = a + b & mask
            d = (d ^ a) << 8
            d = (d | d >> 32) & mask
            c = c + d & mask
            b = (b ^ c) << 7
            b = (b | b >> 32) & mask
            c = c >> two_width | (c & two) << two_width
            if diagonal:
                b = b >> width | (b & one) << three_width
                d = d >> three_width | (d & three) << width
            else:
                b = b >> three_width | (b & three) << width
                d = d >> width | (d & one) << three_width
    out = bytearray(64 * count)
    for row in range(4):
        lanes = ((a, b, c, d)[row] + start[row] & mask).to_bytes(32 * count, "little")
        at = 0
        for to in range(16 * row, 16 * row + 16, 4):
            for block in range(to, 64 * count, 64):
                out[block : block + 4] = lanes[at : at + 4]
                at += 8
    return bytes(out)


def keystream(key: bytes, nonce: bytes, counter: int, count: int) -> bytes:
    """Return `count` blocks of 64 bytes of ChaCha20 key stream.

    Args:
        key: 32 bytes.
        nonce: 12 bytes.
        counter: number of the first block, u32.
    Source: RFC 8439 section 2.4.
    """
    parts = []
    for done in range(0, count, _BATCH):
        parts.append(_blocks(key, nonce, counter + done, min(_BATCH, count - done)))
    return b"".join(parts)


def poly1305(key: bytes, message: bytes) -> bytes:
    """Return the 16-byte Poly1305 tag of a message under a one-time key of 32 bytes.

    Source: RFC 8439 section 2.5.
    """
    r = int.from_bytes(key[:16], "little") & _CLAMP
    total = 0
    for at in range(0, len(message), 16):
        block = message[at : at + 16]
        total = (total + int.from_bytes(block + b"\x01", "little")) * r % _P1305
    total += int.from_bytes(key[16:], "little")
    return (total & (1 << 128) - 1).to_bytes(16, "little")


def _tag(key: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    lengths = len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    padded = aad + bytes(-len(aad) % 16) + ciphertext + bytes(-len(ciphertext) % 16)
    return poly1305(key, padded + lengths)


def _check(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError("ChaCha20-Poly1305 takes a key of 32 bytes and a nonce of 12")


def _xor(text: bytes, stream: bytes) -> bytes:
    size = len(text)
    mixed = int.from_bytes(text, "little") ^ int.from_bytes(stream[:size], "little")
    return mixed.to_bytes(size, "little")


def seal(key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
    """Return ciphertext || tag.

    Args:
        key: 32 bytes.
        nonce: 12 bytes, never twice under one key.
    Raises:
        ValueError: the key or the nonce has the wrong size.
    Source: RFC 8439 section 2.8.
    """
    _check(key, nonce)
    stream = keystream(key, nonce, 0, 1 + (len(payload) + 63) // 64)
    ciphertext = _xor(payload, stream[64:])
    return ciphertext + _tag(stream[:32], aad, ciphertext)


def open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Return the payload of what `seal` returned.

    Raises:
        ValueError: the tag does not verify, or the key or the nonce has the wrong size.
    Source: RFC 8439 section 2.8.
    """
    _check(key, nonce)
    size = len(sealed) - TAG_BYTES
    if size < 0:
        raise ValueError("shorter than its tag")
    stream = keystream(key, nonce, 0, 1 + (size + 63) // 64)
    ciphertext = sealed[:size]
    if not equal(_tag(stream[:32], aad, ciphertext), sealed[size:]):
        raise ValueError("the tag does not verify")
    return _xor(ciphertext, stream[64:])

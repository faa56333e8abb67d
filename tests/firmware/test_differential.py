"""On random input the device's primitives, run by MicroPython, agree with those of the library."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tickseal import primitives
from tickseal.core.constants import AES_128_CCM_8, CHACHA20_POLY1305, SUITE_KEY_BYTES

Case = list[str | int | None]


def aead_cases(rng: random.Random, suite: int, count: int) -> Iterator[Case]:
    """Each sealing, its opening, and an opening with one bit of one part changed."""
    for _ in range(count):
        key, nonce = rng.randbytes(SUITE_KEY_BYTES[suite]), rng.randbytes(12)
        aad, payload = rng.randbytes(rng.randrange(80)), rng.randbytes(rng.randrange(600))
        sealed = primitives.seal(suite, key, nonce, aad, payload)
        parts = [key, nonce, aad, sealed]
        yield ["seal", suite, key.hex(), nonce.hex(), aad.hex(), payload.hex(), sealed.hex()]
        yield ["open", suite, *(part.hex() for part in parts), payload.hex()]
        index = rng.choice([i for i, part in enumerate(parts) if part])
        hit = bytearray(parts[index])
        hit[rng.randrange(len(hit))] ^= 1 << rng.randrange(8)
        parts[index] = bytes(hit)
        yield ["open", suite, *(part.hex() for part in parts), None]


def cases(rng: random.Random) -> Iterator[Case]:
    yield from aead_cases(rng, AES_128_CCM_8, 300)
    yield from aead_cases(rng, CHACHA20_POLY1305, 60)
    for _ in range(200):
        key, message = rng.randbytes(rng.randrange(140)), rng.randbytes(rng.randrange(200))
        yield ["hmac", 0, key.hex(), message.hex(), primitives.hmac(key)(message).hex()]
        yield ["sha256", 0, message.hex(), primitives.sha256(message).hex()]
    for _ in range(60):
        private, public = rng.randbytes(32), rng.randbytes(32)
        shared = primitives.x25519(private, public)
        yield ["x25519", 0, private.hex(), public.hex(), shared.hex()]


def test_micropython_and_the_library_agree_on_random_input(
    micropython: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    lines = [json.dumps(case) for case in cases(random.Random(seed))]
    script = Path(__file__).parent / "differential.py"
    result = micropython(script, stdin="\n".join(lines) + "\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{len(lines)} checked"], f"seed {seed}"

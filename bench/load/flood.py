"""Floods a gateway as fast as this process can; says after a word how much it offered.

Settings: kind (handshakes, forged, silent, oversize), port, sites (addresses of loopback that it
comes from), handle, generation, tick (of the stream that it forges, with ticks of 100 ms).
"""

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from load import settings, tell, wait

_BURST = 32


def connections(given: Any, first: bytes, *, keep: int = 0) -> Iterator[int]:
    """Connect, say something that leads nowhere, and go; or stay, so many at once."""
    kept: list[socket.socket] = []
    for number in range(1 << 40):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            sock.settimeout(0.05)
            sock.bind((f"127.0.1.{1 + number % given['sites']}", 0))
            sock.connect(("127.0.0.1", given["port"]))
            sock.send(first)
        kept.append(sock)
        if len(kept) > keep:
            kept.pop(0).close()
        yield 1


def datagrams(given: Any, make: Callable[[], bytes]) -> Iterator[int]:
    """Send datagrams."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.1.1", 0))
    sock.connect(("127.0.0.1", given["port"]))
    while True:
        for _ in range(_BURST):
            with contextlib.suppress(OSError):
                sock.send(make())
        yield _BURST


def main() -> None:
    """Flood until told to stop."""
    given = settings()
    head = b"\x10\x03" + bytes([given["generation"]]) + given["handle"].to_bytes(4, "big")

    first_tick, started = given["tick"], time.monotonic()
    # Frame numbers that nobody has seen, so that each costs the gateway a key.
    numbers = itertools.count(1 << 20)
    rest = b"\0\0" + os.urandom(80)

    def forged() -> bytes:
        tick = first_tick + int((time.monotonic() - started) * 10)
        return head + tick.to_bytes(8, "big")[-3:] + next(numbers).to_bytes(4, "big") + rest

    noise = os.urandom(1248)
    floods: dict[str, Callable[[], Iterator[int]]] = {
        "handshakes": lambda: connections(given, b"\x04\xe1\x02" + noise),
        "silent": lambda: connections(given, b"\x04", keep=400),
        "oversize": lambda: datagrams(given, lambda: head + bytes(65_000)),
        "forged": lambda: datagrams(given, forged),
    }
    stop = threading.Event()
    threading.Thread(target=lambda: (wait(), stop.set()), daemon=True).start()
    began, offered = time.monotonic(), 0
    for some in floods[given["kind"]]():
        offered += some
        if stop.is_set():
            break
    tell(offered_per_s=offered / (time.monotonic() - began))


if __name__ == "__main__":
    main()

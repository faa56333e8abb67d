"""Floods a gateway as fast as this process can; says after a word how much it offered.

Settings: kind (one of FLOODS), port, sites (addresses of loopback that it comes from), key (the
gateway's public key in hex), handle, generation, tick (of the stream that it forges, with ticks of
100 ms), most (a second; 0: all that it can).
"""

import contextlib
import ctypes
import itertools
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from load import settings, tell, wait
from tickseal.core import constants
from tickseal.handshake import Initiator

#: linux/in.h: the source port is chosen when connecting, which is quicker.
_IP_BIND_ADDRESS_NO_PORT = 24
#: Connections that are kept open for a moment, so that the gateway sees what they say.
_OPEN = 1024
#: Datagrams to a system call, and different ones that are sent in turn.
_BURST, _POOL = 256, 16_384


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """A struct mmsghdr: one datagram of sendmmsg()."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.POINTER(_IoVector)),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Datagrams:
    """Equal-sized datagrams beside each other in memory, sent many to a system call.

    Attributes:
        memory: all of them, to be changed in place.
    """

    def __init__(self, one: bytes, count: int) -> None:
        self.memory = bytearray(one * count)
        start = ctypes.addressof((ctypes.c_char * len(self.memory)).from_buffer(self.memory))
        self._vectors = (_IoVector * count)()
        self._messages = (_Message * count)()
        for number in range(count):
            self._vectors[number] = _IoVector(start + number * len(one), len(one))
            self._messages[number].vector = ctypes.pointer(self._vectors[number])
            self._messages[number].vectors = 1
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, sock: socket.socket, start: int, count: int) -> int:
        """Send some of them; return how many the kernel took."""
        first = ctypes.byref(self._messages, start * ctypes.sizeof(_Message))
        return max(0, int(self._send(sock.fileno(), first, count, 0)))


def _datagrams(given: Any, datagrams: Datagrams, count: int, renew: Callable[[], None]) -> Any:
    sockets = []
    for number in range(min(given["sites"], 64)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        sock.bind((f"127.0.1.{1 + number}", 0))
        sock.connect(("127.0.0.1", given["port"]))
        sockets.append(sock)
    burst, renewed = min(count, _BURST), 0.0
    for turn in itertools.count():
        if time.monotonic() - renewed > 1:
            renewed = time.monotonic()
            renew()
        at = turn * burst % (count - count % burst)
        yield datagrams.send(sockets[turn % len(sockets)], at, burst)


def forged(given: Any) -> Iterator[int]:
    """Send segments of a real stream and of now that nobody sealed: each costs a key."""
    head = b"\x10\x03" + bytes([given["generation"]]) + given["handle"].to_bytes(4, "big")
    one = head + bytes(9) + os.urandom(80)
    datagrams = Datagrams(one, _POOL)
    started = time.monotonic()
    # Frame numbers that nobody has seen.
    numbers = itertools.count(1 << 20)

    def renew() -> None:
        # The low 24 bits of the tick, then 32 of the frame number.
        tick = (given["tick"] + int((time.monotonic() - started) * 10)) << 32 & (1 << 56) - 1
        memory, size = datagrams.memory, len(one)
        for at in range(7, len(memory), size):
            memory[at : at + 7] = (tick | next(numbers)).to_bytes(7, "big")

    return _datagrams(given, datagrams, _POOL, renew)  # type: ignore[no-any-return]


def oversize(given: Any) -> Iterator[int]:
    """Send the largest datagrams that there are."""
    head = b"\x10\x03" + bytes([given["generation"]]) + given["handle"].to_bytes(4, "big")
    datagrams = Datagrams(head + bytes(65_000), 8)
    return _datagrams(given, datagrams, 8, lambda: None)  # type: ignore[no-any-return]


def _connections(given: Any, says: list[bytes], keep: int) -> Iterator[int]:
    """Connect without waiting, say something that leads nowhere, and go a moment later."""
    kept: deque[socket.socket] = deque()
    linger = struct.pack("ii", 1, 0)
    for number in itertools.count():
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.1.{1 + number % given['sites']}", 0))
            sock.connect_ex(("127.0.0.1", given["port"]))
            sock.send(says[number % len(says)])
        kept.append(sock)
        if len(kept) > keep:
            kept.popleft().close()
        yield 1


def _record(kind: int, body: bytes) -> bytes:
    return (len(body) + 1).to_bytes(2, "big") + bytes([kind]) + body


def handshakes(given: Any) -> Iterator[int]:
    """Offer first messages of noise, of other protocols, and of sizes that are not allowed."""
    says = [
        _record(constants.RECORD_HYBRID, os.urandom(1248)),
        _record(constants.RECORD_CLASSICAL, os.urandom(96)),
        b"\xff\xff\x02" + bytes(1200),
        b"GET / HTTP/1.1\r\n\r\n",
    ]
    return _connections(given, says, _OPEN)


def strangers(given: Any) -> Iterator[int]:
    """Offer first messages that are what they should be, of devices that nobody knows."""
    says = []
    for number in range(64):
        initiator = Initiator(
            private=os.urandom(32), gateway_public=bytes.fromhex(given["key"]), psk=bytes(32),
            hybrid=number % 2 == 0, random_bytes=os.urandom,
        )  # fmt: skip
        says.append(_record(*initiator.first_record()))
    return _connections(given, says, _OPEN)


def slow(given: Any) -> Iterator[int]:
    """Keep connections that say a byte at a time, and never enough; replace those that are gone."""
    drip = _record(constants.RECORD_HYBRID, os.urandom(1248))
    kept: list[tuple[socket.socket, int] | None] = [None] * 4096
    for turn in itertools.count():
        at = turn % len(kept)
        one = kept[at]
        if one is None:
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.bind((f"127.0.1.{1 + turn % given['sites']}", 0))
                sock.connect_ex(("127.0.0.1", given["port"]))
            kept[at] = (sock, 0)
            yield 1
            continue
        sock, said = one
        try:
            sock.send(drip[said : said + 1])
            kept[at] = (sock, said + 1)
        except BlockingIOError:
            pass
        except OSError:
            sock.close()
            kept[at] = None
        yield 0
        if not at:
            time.sleep(0.01)


#: By name.
FLOODS: dict[str, Callable[[Any], Iterator[int]]] = {
    "handshakes": handshakes,
    "strangers": strangers,
    "slow": slow,
    "forged": forged,
    "oversize": oversize,
}


def main() -> None:
    """Flood until told to stop."""
    given = settings()
    flood = FLOODS[given["kind"]](given)
    stop = threading.Event()
    threading.Thread(target=lambda: (wait(), stop.set()), daemon=True).start()
    began, offered = time.monotonic(), 0
    for turn, some in enumerate(flood):
        offered += some
        if given["most"] and not turn % 16:
            ahead_s = offered / given["most"] - (time.monotonic() - began)
            if ahead_s > 0:
                time.sleep(ahead_s)
        if stop.is_set():
            break
    tell(offered_per_s=offered / (time.monotonic() - began))


if __name__ == "__main__":
    main()

"""Seals frames of many streams in turn, and sends them over UDP as fast as the socket takes them.

Settings: port, streams, frames, size (payload bytes; 0: one reading), t0_ns, grouped (many
datagrams of equal size a call, by UDP GSO), plain (AES-256-GCM under one key, for plain)).
"""

import socket
import struct
import time
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from load import PAST_NS, PLAIN_KEY, generations, parameters, settings, tell, wait
from tickseal import FrameSealer
from tickseal.host.kernel_clock import KernelClock
from tickseal.payloads.samples import Sample, encode_samples

_UDP_SEGMENT = 103
_GROUP_BYTES = 65_000


def _payload(size: int, number: int) -> bytes:
    if size:
        return number.to_bytes(4, "big") * (size // 4)
    # Of one length all, since no such value has a shorter float.
    value, now_ns = 20.1 + number / 128, 1_700_000_000_300_000_007 + number * 10**6
    return encode_samples([Sample(name="temperature", value=value, unit="Cel", time_ns=now_ns)])


def _sealed(given: dict[str, int]) -> Iterator[bytes]:
    if given["plain"]:
        aead = AESGCM(PLAIN_KEY)
        for number in range(given["frames"]):
            nonce = number.to_bytes(12, "big")
            yield nonce + aead.encrypt(nonce, _payload(given["size"], number), None)
        return
    wanted = parameters(given["t0_ns"], past_ns=PAST_NS)
    sealers = [
        FrameSealer(generation)
        for generation in generations(given["streams"], wanted, readings=not given["size"])
    ]
    tick = wanted.tick_at(KernelClock().now().midpoint_ns)
    for number in range(given["frames"]):
        yield from sealers[number % len(sealers)].seal(_payload(given["size"], number), tick)


def _send(sock: socket.socket, frames: list[bytes], *, grouped: bool) -> None:
    if not grouped:
        for frame in frames:
            sock.send(frame)
        return
    size = len(frames[0])
    group = min(64, _GROUP_BYTES // size)
    control = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))]
    for at in range(0, len(frames), group):
        part = frames[at : at + group]
        sock.sendmsg(part, control if len(part) > 1 else [])


def main() -> None:
    """Seal, wait for a word, send."""
    given = settings()
    frames = list(_sealed(given))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    sock.connect(("127.0.0.1", given["port"]))
    tell(sealed=len(frames), bytes=sum(map(len, frames)))
    wait()
    began = time.process_time_ns()
    _send(sock, frames, grouped=bool(given["grouped"]))
    tell(sent=len(frames), cpu_us=(time.process_time_ns() - began) / 1000)
    wait()


if __name__ == "__main__":
    main()

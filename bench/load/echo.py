"""Answers each datagram at once, on a port for each way that bench/latency.py compares.

Sealed and plain ones are read by UDPLink as the gateway's are, the others by asyncio's
DatagramProtocol: plain ones, and ones under AES-256-GCM.
Settings: t0_ns, answers (the port of loopback that each way answers to). Says its ports.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tickseal_gateway.ingest.table import StreamTable

from load import PLAIN_KEY, settings, tell, wait
from load.sink import fill
from tickseal.host.kernel_clock import KernelClock
from tickseal.links.udp import UDPLink


class Echo(asyncio.DatagramProtocol):
    """Gives what comes to a function, by asyncio's own way."""

    def __init__(self, take: Callable[[list[bytes]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take one."""
        self._take([data])


def answering(port: int, count: Callable[[list[bytes]], int]) -> Callable[[list[bytes]], None]:
    """Return what answers a port as often as a batch of datagrams counts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))

    def take(segments: list[bytes]) -> None:
        for _ in range(count(segments)):
            sock.send(b"!")

    return take


async def run(given: Any) -> None:
    """Answer until told to stop."""
    loop = asyncio.get_running_loop()
    table, clock = StreamTable(), KernelClock()
    fill(table, {"streams": 1, "t0_ns": given["t0_ns"], "stored": False})
    sealed = await UDPLink.listen("127.0.0.1", 0)
    plain = await UDPLink.listen("127.0.0.1", 0)
    answers = given["answers"]
    decrypt = AESGCM(PLAIN_KEY).decrypt
    ports = {"sealed": sealed.address[1], "plain": plain.address[1]}
    counts: dict[str, Callable[[list[bytes]], int]] = {
        "asyncio": len,
        "AES-GCM": lambda batch: len([decrypt(one[:12], one[12:], None) for one in batch]),
    }
    for way, count in counts.items():
        take = answering(answers[way], count)
        transport, _ = await loop.create_datagram_endpoint(
            partial(Echo, take), local_addr=("127.0.0.1", 0)
        )
        ports[way] = transport.get_extra_info("sockname")[1]
    tasks = [
        loop.create_task(plain.deliver(answering(answers["plain"], len))),
        loop.create_task(
            sealed.deliver(
                answering(answers["sealed"], lambda batch: len(table.take(batch, clock.now())))
            )
        ),
    ]
    tell(**ports)
    told = asyncio.Event()
    threading.Thread(
        target=lambda: (wait(), loop.call_soon_threadsafe(told.set)), daemon=True
    ).start()
    await told.wait()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(settings()))

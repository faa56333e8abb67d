"""Answers each datagram at once, on three ports: after opening it, plainly, and plainly by asyncio.

The first two are read by UDPLink as the gateway's is, the third by asyncio's DatagramProtocol.
Settings: t0_ns, answers (the port of loopback that each way answers to). Says its ports.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

from tickseal_gateway.table import StreamTable

from load import settings, tell, wait
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
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Echo(answering(answers["asyncio"], len)), local_addr=("127.0.0.1", 0)
    )
    tasks = [
        loop.create_task(plain.deliver(answering(answers["plain"], len))),
        loop.create_task(
            sealed.deliver(
                answering(answers["sealed"], lambda batch: len(table.take(batch, clock.now())))
            )
        ),
    ]
    tell(
        sealed=sealed.address[1],
        plain=plain.address[1],
        asyncio=transport.get_extra_info("sockname")[1],
    )
    told = asyncio.Event()
    threading.Thread(
        target=lambda: (wait(), loop.call_soon_threadsafe(told.set)), daemon=True
    ).start()
    await told.wait()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(settings()))

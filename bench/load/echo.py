"""Answers each datagram at once, on three ports: after opening it, plainly, and plainly by asyncio.

Settings: t0_ns. Says its ports.
"""

import asyncio
import threading
from typing import Any

from tickseal_gateway.table import StreamTable

from load import settings, tell, wait
from load.sink import fill
from tickseal.host.kernel_clock import KernelClock
from tickseal.links.udp import UDPLink


class Echo(asyncio.DatagramProtocol):
    """Answers by asyncio's own way."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer."""
        self._transport.sendto(b"!", addr)


async def answer(link: UDPLink, table: StreamTable | None) -> None:
    """Answer for ever: each datagram, or each frame that was opened."""
    clock = KernelClock()
    while True:
        for data, address in await link.receive():
            if table is None or len(table.take([data], clock.now())):
                await link.send([b"!"], address)


async def run(given: Any) -> None:
    """Answer until told to stop."""
    loop = asyncio.get_running_loop()
    table = StreamTable()
    fill(table, {"streams": 1, "t0_ns": given["t0_ns"], "stored": False})
    sealed = await UDPLink.listen("127.0.0.1", 0)
    plain = await UDPLink.listen("127.0.0.1", 0)
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    tasks = [loop.create_task(answer(sealed, table)), loop.create_task(answer(plain, None))]
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

"""The plain server to compare with: asyncio's DatagramProtocol, and AES-256-GCM under one key."""

import asyncio
import gc
import socket
import threading
import time
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from load import PLAIN_KEY, settings, tell, wait


class Plain(asyncio.DatagramProtocol):
    """Opens each datagram, and does nothing else."""

    def __init__(self) -> None:
        self._decrypt = AESGCM(PLAIN_KEY).decrypt
        self.frames = 0
        self.payload_bytes = 0
        self.first = self.last = 0.0

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Open one."""
        payload = self._decrypt(data[:12], data[12:], None)
        self.payload_bytes += len(payload)
        if not self.frames % 64:
            self.last = time.perf_counter()
            self.first = self.first or self.last
        self.frames += 1


async def run() -> None:
    """Take in what comes until told to stop."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", 0))
    transport, plain = await loop.create_datagram_endpoint(Plain, sock=sock)
    gc.collect()
    gc.freeze()
    tell(port=sock.getsockname()[1], resident=0)
    cpu = time.process_time()
    told = asyncio.Event()
    threading.Thread(
        target=lambda: (wait(), loop.call_soon_threadsafe(told.set)), daemon=True
    ).start()
    await told.wait()
    tell(
        received=plain.frames,
        frames=plain.frames,
        payload_bytes=plain.payload_bytes,
        cpu_s=time.process_time() - cpu,
        wall_s=plain.last - plain.first,
    )
    transport.close()


if __name__ == "__main__":
    settings()
    asyncio.run(run())

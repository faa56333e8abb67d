"""The bench's end of the wire: passes on what a device sends, and notes each segment.

So what the gateway says is held against what came, and no (key, nonce) comes twice unseen.
"""

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.ports import free_port
from tickseal.core import constants
from tickseal.core.header import SegmentHeader, unpack

_RECORD_DATA = 6
_KEY_HASH_BYTES = 16  # docs/protocol.md section 2.2, the default


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One segment that passed.

    Attributes:
        at_ns: when, ns since 1970 by the bench's clock.
        way: "udp", or "tcp" on the control connection.
        header: as it came; generation, tick and frame number are the low bits.
        key_hash: names the key.
        digest: of the whole segment.
    """

    at_ns: int
    way: str
    header: SegmentHeader
    key_hash: bytes
    digest: bytes


class Wiretap:
    """A relay from the bench's address to a gateway on this machine, TCP and UDP, same port.

    Args:
        listen_host: where devices find it.
        gateway_host: where it finds the gateway.
    Attributes:
        port: of both; free on both addresses when this was made.
        passed: every segment, in the order of coming.
        repeats: segments that differ though key and nonce are the same: there must never be one.
    """

    def __init__(self, listen_host: str, gateway_host: str) -> None:
        self._listen_host = listen_host
        self._gateway_host = gateway_host
        self.port = free_port(listen_host, gateway_host)
        self.passed: list[Passed] = []
        self._digests: dict[tuple[bytes, int, int], bytes] = {}
        self.repeats: list[Passed] = []
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._run(),), daemon=True
        )
        self._thread.start()
        if not self._is_ready.wait(10):
            raise RuntimeError(f"cannot listen at {listen_host}:{self.port}")

    def close(self) -> None:
        """End the relay."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def note(self, way: str, segment: bytes) -> None:
        """Note a segment that passes."""
        header = unpack(segment)
        if header is None:  # whatever comes to a port
            return
        one = Passed(
            at_ns=time.time_ns(),
            way=way,
            header=header,
            key_hash=segment[constants.HEADER_BYTES[header.profile] :][:_KEY_HASH_BYTES],
            digest=hashlib.sha256(segment).digest(),
        )
        # The key hash stands for the key, and frame number and index for the nonce.
        place = (one.key_hash, header.frame_number, header.segment_index)
        if self._digests.setdefault(place, one.digest) != one.digest:
            self.repeats.append(one)
        self.passed.append(one)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._relay, self._listen_host, self.port)
        udp, _ = await self._loop.create_datagram_endpoint(
            lambda: _Datagrams(self, (self._gateway_host, self.port)),
            local_addr=(self._listen_host, self.port),
        )
        udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._is_ready.set()
        await self._stop.wait()
        server.close()
        udp.close()
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            there, back = await asyncio.open_connection(self._gateway_host, self.port)
            with contextlib.closing(back):
                tasks = [
                    asyncio.create_task(self._pass_on(reader, back, _Records(self))),
                    asyncio.create_task(self._pass_on(there, writer, None)),
                ]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, records: "_Records | None"
    ) -> None:
        while data := await reader.read(1 << 16):
            if records is not None:
                records.feed(data)
            writer.write(data)
            await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, tap: Wiretap, gateway: tuple[str, int]) -> None:
        self._tap = tap
        self._gateway = gateway
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def datagram_received(self, data: bytes, _address: Any) -> None:
        self._tap.note("udp", data)
        with contextlib.suppress(OSError):
            self._out.sendto(data, self._gateway)

    def connection_lost(self, _error: Exception | None) -> None:
        self._out.close()


class _Records:
    """Finds the segments in a control connection (docs/protocol.md section 6.1)."""

    def __init__(self, tap: Wiretap) -> None:
        self._tap = tap
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 2:
            (length,) = struct.unpack_from(">H", self._rest)
            if len(self._rest) < 2 + length:
                return
            record = bytes(self._rest[2 : 2 + length])
            del self._rest[: 2 + length]
            if record[:1] == bytes([_RECORD_DATA]):
                for segment in _segments(record):
                    self._tap.note("tcp", segment)


def _segments(record: bytes) -> Iterator[bytes]:
    at = 1
    while at + 2 <= len(record):
        (size,) = struct.unpack_from(">H", record, at)
        yield record[at + 2 : at + 2 + size]
        at += 2 + size

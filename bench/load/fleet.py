"""A fleet of devices in one process: each enrols, opens its streams, and sends frames for ever.

Settings: state and port of the gateway, devices, streams (of each), interval_s (between the
frames of a stream). Says when all streams are open; after the word "again", when those of the
first, of half and of the last device were open again; after another, how many frames it sent.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
from pathlib import Path
from typing import Any

from load import settings, tell, wait
from tickseal import FrameSealer, StreamMetadata
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask
from tickseal.host.kernel_clock import KernelClock, boottime_ns
from tickseal.invite import InviteToken
from tickseal.links.backoff import Backoff
from tickseal.links.tcp import TCPLink
from tickseal.payloads.samples import CONTENT, Sample, encode_samples
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import AcceptancePolicy, Wish
from tickseal.sessions.source_session import Credentials, SourceSession

#: Devices that enrol at once: people bring them one by one.
_AT_ONCE = 16
#: As of `tickseal edge run`.
_BACKOFF_MOST_NS = 15_000_000_000
_CLOCK = KernelClock()


class Device:
    """One of them.

    Args:
        address: its own, that few others share.
        gateway: where it connects to.
    Attributes:
        is_ready: all its streams are open.
        ready_s: since when, monotonic.
    """

    def __init__(self, name: str, streams: int, address: str, gateway: tuple[str, int]) -> None:
        self.name = name
        self.streams = streams
        self.address = address
        self.gateway = gateway
        self.sealers: dict[str, FrameSealer] = {}
        self.is_ready = asyncio.Event()
        self.ready_s = 0.0
        self._private_key = os.urandom(32)
        self._backoff = Backoff(most_ns=_BACKOFF_MOST_NS)

    async def run(self, invite: InviteToken) -> None:
        """Enrol, then connect again and again, as `tickseal edge run` does."""
        self._credentials = Credentials.from_invite(invite, private_key=self._private_key)
        while True:
            with contextlib.suppress(OSError, LinkError):
                await self._connect()
            self.is_ready.clear()
            self.sealers.clear()
            await asyncio.sleep(self._backoff.next_ns() / 1e9)

    async def _connect(self) -> None:
        host, port = self.gateway
        self._link = TCPLink(
            *await asyncio.open_connection(host, port, local_addr=(self.address, 0))
        )
        self._session = SourceSession(
            credentials=self._credentials,
            name=self.name,
            software="bench/1",
            policy=AcceptancePolicy(),
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )
        try:
            await self._serve()
        finally:
            self._link.abort()

    async def _serve(self) -> None:
        self._flush()
        while not self._session.is_closed:
            deadline = self._session.next_deadline_ns() or 0
            try:
                async with asyncio.timeout(max(0, deadline - boottime_ns()) / 1e9):
                    data = await self._link.receive()
            except TimeoutError:
                found = self._session.on_deadline(_CLOCK.now(), boottime_ns())
            else:
                found = self._session.receive(data, _CLOCK.now(), boottime_ns())
            for event in found:
                self._note(event)
            self._flush()

    def seal(self) -> list[bytes]:
        """Return a frame of each stream."""
        now = _CLOCK.now()
        reading = Sample(name="t", value=random.random(), unit="Cel", time_ns=time.time_ns())
        payload = encode_samples([reading])
        return [
            segment
            for sealer in self.sealers.values()
            for segment in sealer.seal(
                payload,
                max(sealer.tick, sealer.generation.parameters.tick_at(now.midpoint_ns)),
            )
        ]

    def _note(self, event: ev.Event) -> None:
        match event:
            case ev.Enrolled():
                self._credentials = Credentials(
                    private_key=self._private_key,
                    gateway_key=self._credentials.gateway_key,
                    psk=event.device_psk,
                    hybrid=self._credentials.hybrid,
                )
                self._session.confirm_stored()
                self._open_streams()
            case ev.Welcomed() if self._credentials.invite_id is None:
                self._open_streams()
            case ev.GenerationStarted():
                generation = event.generation
                self.sealers[generation.metadata.id] = FrameSealer(generation)
                if len(self.sealers) == self.streams and not self.is_ready.is_set():
                    self.ready_s = time.monotonic()
                    self._backoff.reset()
                    self.is_ready.set()

    def _open_streams(self) -> None:
        for number in range(self.streams):
            name = f"{self.name}/{number}"
            metadata = StreamMetadata(id=name, type="t", extra={"content": CONTENT})
            self._session.open_stream(metadata, Wish())

    def _flush(self) -> None:
        with contextlib.suppress(LinkError):
            while data := self._session.data_to_send():
                self._link.write(data)


class Fleet:
    """All of them."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._running: list[asyncio.Task[None]] = []
        self.devices = [
            Device(
                f"fleet-{number}",
                given["streams"],
                f"127.0.1.{1 + number % 250}",
                ("127.0.0.1", given["port"]),
            )
            for number in range(given["devices"])
        ]
        self.sent = 0

    async def start(self) -> None:
        """Enrol all, a few at once; return when all have opened their streams."""
        await asyncio.gather(*map(self._start, self.devices))

    async def again(self) -> list[float]:
        """Wait until all had to connect again and did; return when each was ready, monotonic s."""
        since_s = time.monotonic()
        while any(device.ready_s < since_s for device in self.devices):
            await asyncio.sleep(0.05)
        return sorted(device.ready_s for device in self.devices)

    async def stream(self) -> None:
        """Send a frame of each stream every interval, evenly, for ever."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(self.devices[0].gateway)
        while True:
            began = time.monotonic()
            for number, device in enumerate(self.devices):
                for segment in device.seal():
                    with contextlib.suppress(ConnectionRefusedError):
                        sock.send(segment)
                        self.sent += 1
                due = began + (number + 1) * self._given["interval_s"] / len(self.devices)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _start(self, device: Device) -> None:
        request = {"do": "invite", "addresses": ["127.0.0.1:1"]}
        async with self._few:
            answer = await asyncio.to_thread(
                ask, Path(self._given["state"]), request, service="gateway"
            )
            invite = InviteToken.parse(answer["token"])
            self._running.append(asyncio.create_task(device.run(invite)))
            await device.is_ready.wait()


async def run(given: Any) -> None:
    """Run the fleet until told to stop."""
    fleet = Fleet(given)
    began = time.monotonic()
    await fleet.start()
    tell(connected_s=time.monotonic() - began, cpu_s=time.process_time())
    streaming = asyncio.create_task(fleet.stream())
    while await asyncio.to_thread(wait) == "again":
        ready = await fleet.again()
        tell(first=ready[0], half=ready[len(ready) // 2], last=ready[-1])
    tell(sent=fleet.sent)
    streaming.cancel()


if __name__ == "__main__":
    asyncio.run(run(settings()))

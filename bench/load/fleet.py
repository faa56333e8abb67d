"""A fleet of devices in one process: each enrols, opens its streams, and sends frames for ever.

Settings: state and port of the gateway, devices, streams (of each), interval_s (between the
frames of a stream). Says when all streams are open, and after a word how many frames it sent.
"""

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

from load import settings, tell, wait
from tickseal import FrameSealer, StreamMetadata
from tickseal import events as ev
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask
from tickseal.host.kernel_clock import KernelClock, boottime_ns
from tickseal.invite import InviteToken, split_address
from tickseal.links.tcp import TCPLink
from tickseal.negotiation import AcceptancePolicy, Wish
from tickseal.samples import CONTENT, Sample, encode_samples
from tickseal.source_session import Credentials, SourceSession

#: Devices that enrol at once: the gateway takes 100 handshakes a second of strangers.
_AT_ONCE, _PATIENCE_S, _TRIES = 16, 30.0, 5
_CLOCK = KernelClock()


class Device:
    """One of them."""

    def __init__(self, number: int, streams: int, name: str) -> None:
        self.number = number
        self.name = name
        self.streams = streams
        self.sealers: dict[str, FrameSealer] = {}
        self.is_ready = asyncio.Event()

    async def connect(self, token: str) -> None:
        """Connect from an address that few others share."""
        invite = InviteToken.parse(token)
        host, port = split_address(invite.addresses[0])
        reader, writer = await asyncio.open_connection(
            host, port, local_addr=(f"127.0.1.{1 + self.number % 250}", 0)
        )
        self.link = TCPLink(reader, writer)
        self.session = SourceSession(
            credentials=Credentials.from_invite(invite, private_key=os.urandom(32)),
            name=self.name,
            software="bench/1",
            policy=AcceptancePolicy(),
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )

    async def run(self) -> None:
        """Serve the session until it ends."""
        self._flush()
        while not self.session.is_closed:
            deadline = self.session.next_deadline_ns() or 0
            try:
                async with asyncio.timeout(max(0, deadline - boottime_ns()) / 1e9):
                    data = await self.link.receive()
            except LinkError:
                return
            except TimeoutError:
                found = self.session.on_deadline(_CLOCK.now(), boottime_ns())
            else:
                found = self.session.receive(data, _CLOCK.now(), boottime_ns())
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
                self.session.confirm_stored()
                for number in range(self.streams):
                    name = f"{self.name}/{number}"
                    metadata = StreamMetadata(id=name, type="t", extra={"content": CONTENT})
                    self.session.open_stream(metadata, Wish())
            case ev.GenerationStarted():
                generation = event.generation
                self.sealers[generation.metadata.id] = FrameSealer(generation)
                if len(self.sealers) == self.streams:
                    self.is_ready.set()

    def _flush(self) -> None:
        with contextlib.suppress(LinkError):
            while data := self.session.data_to_send():
                self.link.write(data)


async def _start(
    number: int, given: Any, few: asyncio.Semaphore
) -> "tuple[Device, asyncio.Task[None]]":
    request = {"do": "invite", "addresses": [f"127.0.0.1:{given['port']}"]}
    async with few:
        # On a busy machine a handshake may take longer than it may.
        for attempt in range(_TRIES):
            device = Device(number, given["streams"], f"fleet-{number}-{attempt}")
            answer = await asyncio.to_thread(ask, Path(given["state"]), request, service="gateway")
            await device.connect(answer["token"])
            task = asyncio.create_task(device.run())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await device.is_ready.wait()
                    return device, task
            task.cancel()
            await asyncio.wait([task])
            device.link.abort()
    raise SystemExit(f"device {number} does not get in")


async def run(given: Any) -> None:
    """Run the fleet until told to stop."""
    loop = asyncio.get_running_loop()
    few = asyncio.Semaphore(_AT_ONCE)
    began = time.monotonic()
    running = await asyncio.gather(*(_start(n, given, few) for n in range(given["devices"])))
    devices = [device for device, _ in running]
    tell(connected_s=time.monotonic() - began)
    told = asyncio.Event()
    threading.Thread(
        target=lambda: (wait(), loop.call_soon_threadsafe(told.set)), daemon=True
    ).start()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", devices[0].link.peer[1]))
    sent = 0
    while not told.is_set():
        for device in devices:  # evenly over the interval
            for segment in device.seal():
                sock.send(segment)
                sent += 1
            await asyncio.sleep(given["interval_s"] / len(devices))
    tell(sent=sent)
    for _, task in running:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(settings()))

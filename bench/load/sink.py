"""Takes in segments as the gateway does: its UDP link, its streams, its ingest, and its store.

Settings: streams, t0_ns, stored (whether readings go to a store; else frames end where they are
opened), folder (for the store). Says its port; after a word, what it took in and at what cost.
"""

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import Any

from tickseal_gateway.ingest.ingest import Ingest
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.registry.registered import Device, DeviceState, Stream
from tickseal_gateway.store.sqlite import SQLiteStore

from load import PAST_NS, generations, parameters, resident_bytes, settings, tell, wait
from tickseal.host.kernel_clock import KernelClock
from tickseal.links.udp import UDPLink


def fill(table: StreamTable, given: dict[str, Any]) -> None:
    """Hold the generations of all streams."""
    wanted = parameters(given["t0_ns"], past_ns=given.get("past_ns", PAST_NS))
    device = Device(
        id=1, name="bench", static_public=bytes(32), psk=bytes(32), hybrid=False,
        state=DeviceState.APPROVED, enrolled_ns=0,
    )  # fmt: skip
    for generation in generations(given["streams"], wanted, readings=bool(given["stored"])):
        stream = Stream(
            handle=generation.handle,
            id=generation.metadata.id,
            device_id=1,
            metadata=generation.metadata,
        )
        table.install(stream, device, generation, monotonic_ns=0)


def measure_arrivals(loop: asyncio.AbstractEventLoop, link: UDPLink) -> dict[str, float]:
    """Return a record of when datagrams came first and last, to 10 ms, kept from now on."""
    seen = {"first": 0.0, "last": 0.0, "received": 0.0}
    before = time.perf_counter()

    def look() -> None:
        nonlocal before
        now = time.perf_counter()
        if link.counters.received != seen["received"]:
            # What is new came since the look before: all of it, where a batch is quickly taken in.
            seen["first"] = seen["first"] or before
            seen["last"] = now
            seen["received"] = link.counters.received
        before = now
        loop.call_later(0.01, look)

    look()
    return seen


async def run(given: dict[str, Any]) -> None:
    """Take in what comes until told to stop."""
    loop = asyncio.get_running_loop()
    before = resident_bytes()
    table = StreamTable()
    fill(table, given)
    store: OutputRunner | None = None
    if given["stored"]:
        store = OutputRunner(SQLiteStore(Path(given["folder"]) / "readings.db"))
        store.start()
    ingest = Ingest(table, KernelClock(), [store] if store else [], store)
    link = await UDPLink.listen("127.0.0.1", 0)
    gc.collect()
    gc.freeze()
    tell(port=link.address[1], resident=resident_bytes() - before)
    task = loop.create_task(ingest.serve(link))
    seen = measure_arrivals(loop, link)
    cpu = time.process_time()
    told = asyncio.Event()
    threading.Thread(
        target=lambda: (wait(), loop.call_soon_threadsafe(told.set)), daemon=True
    ).start()
    await told.wait()
    if store:
        store.end()
        await loop.run_in_executor(None, store.join, 60)
        seen["last"] = time.perf_counter()
    task.cancel()
    tell(
        received=link.counters.received,
        frames=sum(stream.frames for stream in table),
        payload_bytes=sum(stream.payload_bytes for stream in table),
        refused=sum(map(int, table.refusals.values()))
        + sum(held.refused for stream in table for held in stream.held.values()),
        written=store.counters.written if store else 0,
        missed=store.counters.missed if store else 0,
        cpu_s=time.process_time() - cpu,
        wall_s=seen["last"] - seen["first"],
        dropped=link.kernel_dropped,
        grown=resident_bytes() - before,
    )


if __name__ == "__main__":
    asyncio.run(run(settings()))

"""A device that is killed, stopped or stolen: nothing repeats, nothing opens, nothing is late."""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_device import STREAM, Device, until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.enrolment import load_identity
from tickseal_edge.spool import spool_file

from tickseal import primitives
from tickseal.core import keyschedule
from tickseal.core.errors import HandshakeError
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.sessions import events as ev
from tickseal.streams.generation import Generation, derive_frame_key
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.offline import open_offline_generation
from tickseal.streams.opening import FrameOpener, OpenedSegment
from tickseal.streams.parameters import StreamParameters

HERE = Path(__file__).parent


@contextlib.asynccontextmanager
async def process(
    state: Path, record: Path, seed: str = "", *, pure: bool = True
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a recording device in a process of its own for the length of the block."""
    device = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "recording_device.py"), str(state), str(record), seed),
        env=os.environ | {"TICKSEAL_PURE": str(int(pure))},
    )
    try:
        yield device
    finally:
        with contextlib.suppress(ProcessLookupError):
            device.kill()
        await device.wait()


def seals(record: Path) -> list[str]:
    return record.read_text().splitlines() if record.exists() else []


def test_no_key_and_nonce_come_twice_however_often_it_is_killed(
    device: Device, registry: Registry, tmp_path: Path
) -> None:
    """Live and offline, in turn, and killed at a random instant each time."""
    record = tmp_path / "seals"

    async def scenario() -> None:
        chance = random.Random(1)
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await device.enrol(gateway)
        async with device.running():
            await until(lambda: registry.handles)
        for life in range(4):
            if life % 2:
                await gateway.stop(politely=False)
            elif life:
                gateway = await FakeGateway(registry, clock=KernelClock()).start(gateway.port)
            before = len(seals(record))
            async with process(device.path, record) as running:
                await until(lambda before=before: len(seals(record)) > before + 10)  # type: ignore[misc]
                await asyncio.sleep(chance.random() / 5)
                running.kill()
        gateway = await FakeGateway(registry, clock=KernelClock()).start(gateway.port)
        async with process(device.path, record) as running:
            await until(lambda: len(gateway.events(ev.BackfillFinished)) >= 1)
            running.send_signal(signal.SIGTERM)
            await running.wait()
        await gateway.stop()

    asyncio.run(scenario())
    uses = seals(record)
    assert len(uses) > 60
    assert len(uses) == len(set(uses))
    opened = [(generation, number) for _, generation, number, _ in registry.frames]
    assert len(opened) == len(set(opened)), "a frame was opened twice"


def test_sigterm_ends_it_in_order(device: Device, registry: Registry, tmp_path: Path) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await device.enrol(gateway)
        async with process(device.path, tmp_path / "seals") as running:
            await until(lambda: len(gateway.payloads(STREAM)) > 5)
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
        await until(lambda: gateway.summaries(STREAM))
        assert gateway.summaries(STREAM)[0].is_final
        await gateway.stop()

    asyncio.run(scenario())


def test_sigterm_ends_it_where_the_gateway_does_not_read(
    device: Device, registry: Registry, tmp_path: Path
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await device.enrol(gateway)
        async with process(device.path, tmp_path / "seals") as running:
            await until(lambda: len(gateway.payloads(STREAM)) > 5)
            gateway.sessions[-1][1]._writer.transport.pause_reading()  # type: ignore[attr-defined]
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
        await gateway.stop(politely=False)

    asyncio.run(scenario())


def memory(pid: int) -> bytes:
    """Return all that a process may write to: its heap, its stacks, and what it has freed."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if "w" in rights:
                with contextlib.suppress(OSError, OverflowError):
                    file.seek(start)
                    parts.append(file.read(end - start))
    return b"\0".join(parts)


@pytest.mark.parametrize("pure", [True, False], ids=["pure", "native where compiled"])
def test_who_steals_it_with_its_disk_and_memory_opens_nothing_that_waits(
    device: Device, registry: Registry, tmp_path: Path, pure: bool
) -> None:
    """With all that is on the disk and in the running process, and who knows the protocol."""

    async def scenario() -> tuple[dict[str, bytes], bytes]:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        await device.enrol(gateway)
        async with device.running():
            await until(lambda: registry.handles)
        await gateway.stop()
        async with process(device.path, tmp_path / "seals", "seed", pure=pure) as running:
            await until(lambda: len(seals(tmp_path / "seals")) > 100)
            seen = memory(running.pid)
            running.send_signal(signal.SIGTERM)
            await running.wait()
        disk = {str(path): path.read_bytes() for path in device.path.rglob("*") if path.is_file()}
        return disk, seen

    disk, seen = asyncio.run(scenario())
    (spooled,) = (spool_file.read(data) for name, data in disk.items() if name.endswith(".spool"))
    assert spooled is not None
    with StateDirectory.open(device.path) as state:
        identity = load_identity(state)
    public = primitives.x25519_public(identity.private_key)
    offline = open_offline_generation(
        spooled.blob, private=registry.private, device_public=public, psk=identity.psk
    )
    parameters = StreamParameters.decode(offline.parameters)
    metadata = StreamMetadata.decode(offline.metadata)

    def derived() -> Generation:
        return Generation.derive(
            metadata,
            parameters,
            initial_secret=offline.secret,
            salt=offline.salt,
            handle=offline.handle,
        )

    # The gateway opens all of it.
    opener = FrameOpener(derived(), live=False)
    opener.announce(spooled.frames[0].tick, spooled.frames[-1].tick + 1)
    for frame in spooled.frames:
        for segment in frame.segments:
            assert isinstance(opener.open(segment, KernelClock().now()), OpenedSegment)
    # The thief has the device's own keys, but neither the gateway's nor the ephemeral one.
    for key in (identity.private_key, os.urandom(32)):
        with pytest.raises(HandshakeError):
            open_offline_generation(
                spooled.blob, private=key, device_public=public, psk=identity.psk
            )
    # No secret from which a frame of the past is derived lies on the disk or in the memory.
    assert hashlib.shake_256(b"seed 2").digest(32) == offline.secret, "the test knows the secret"
    assert identity.psk in seen, "the memory is the right one"
    generation = derived()
    prk = keyschedule.extract(primitives, offline.salt, offline.secret)
    root = keyschedule.root(primitives, prk, generation.context)
    past = spooled.frames[:80]
    secrets = [offline.secret, prk, root]
    secrets += [generation.walker.secret(tick) for tick in {frame.tick for frame in past[:60]}]
    secrets += [
        derive_frame_key(offline.secret, offline.salt, generation.context, frame.tick, frame.number)
        for frame in past
    ]
    for secret in secrets:
        assert secret not in seen
        for name, data in disk.items():
            assert secret not in data, name
            assert secret.hex().encode() not in data, name

"""A stream at the gateway: what a second costs, and what it tells."""

import pytest
from tickseal_gateway.ingest.streams import LiveStream
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device, DeviceState, Stream

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters
from tickseal.clock import ClockDiscipline, ClockInterval

METADATA = StreamMetadata(id="garden/air", type="temperature")
NOW = ClockInterval.around(10**9, 1000, ClockDiscipline.NTP)


def generation() -> Generation:
    return Generation.derive(
        METADATA, StreamParameters(t0_ns=0), initial_secret=bytes(32), salt=bytes(32), handle=1
    )


@pytest.fixture
def table() -> StreamTable:
    device = Device(
        id=1, name="garden", static_public=b"", psk=b"", hybrid=True,
        state=DeviceState.APPROVED, enrolled_ns=0,
    )  # fmt: skip
    stream = Stream(handle=1, id=METADATA.id, device_id=1, metadata=METADATA)
    found = StreamTable()
    found.install(stream, device, generation(), monotonic_ns=0)
    return found


@pytest.fixture
def stream(table: StreamTable) -> LiveStream:
    (found,) = table.of_device(1)
    return found


def test_a_second_without_a_segment_is_told_from_one_with_any(
    table: StreamTable, stream: LiveStream
) -> None:
    assert not stream.count_second()
    (segment,) = FrameSealer(generation()).seal(b"21.5", 10)
    table.take([segment], NOW)
    assert stream.count_second()
    assert not stream.count_second()
    table.take([segment], NOW)  # a replay
    assert stream.count_second()
    assert stream.is_refused
    assert not stream.count_second()


def test_what_was_refused_is_not_forgotten_with_its_generation(
    table: StreamTable, stream: LiveStream
) -> None:
    (segment,) = FrameSealer(generation()).seal(b"21.5", 10)
    table.take([segment, segment], NOW)
    table.erase_all(stream)
    assert stream.is_refused
    assert stream.refusals == {"replayed": 1}

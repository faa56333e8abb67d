"""Whatever dies or is cut off, the stream goes on by itself, and no (key, nonce) comes twice."""

import struct
from pathlib import Path

from waiting import eventually

from .conftest import System
from .network import Network
from .processes import Device, Gateway

TELEMETRY, CAMERA = Device.TELEMETRY, Device.CAMERA


def segments_of(network: Network) -> list[bytes]:
    """Return every segment that the device sent, as datagram or on the control connection."""
    found = list(network.datagrams)
    for sent in network.sent:
        at = 0
        while at + 2 <= len(sent):
            (length,) = struct.unpack_from(">H", sent, at)
            record = sent[at + 2 : at + 2 + length]
            at += 2 + length
            if record[:1] != b"\x06" or len(record) < length:
                continue
            inner = 1
            while inner + 2 <= len(record):
                (size,) = struct.unpack_from(">H", record, inner)
                found.append(bytes(record[inner + 2 : inner + 2 + size]))
                inner += 2 + size
    return found


def assert_no_key_and_nonce_twice(network: Network) -> None:
    """Check all that passed: under one key hash, a frame number and index seal one segment only."""
    seen: dict[tuple[bytes, bytes], bytes] = {}
    for segment in segments_of(network):
        # Standard header: frame number and segment index at 10..16, the key hash at 16..32.
        place = (segment[16:32], segment[10:16])
        assert seen.setdefault(place, segment) == segment
    assert len(seen) > 20


def test_streams_survive_a_gateway_killed_and_started_again(system: System) -> None:
    gateway, device = system.gateway, system.device
    device.start()
    gateway.more_frames(TELEMETRY)
    generation = gateway.stream(TELEMETRY)["generation"]
    gateway.kill()
    eventually(lambda: device.logged("ended"), what="the device notices")
    gateway.start()
    gateway.more_frames(TELEMETRY)
    gateway.more_frames(CAMERA, 3)
    assert gateway.stream(TELEMETRY)["generation"] != generation
    # What was sealed while the gateway was away was delivered, and nothing is missing.
    eventually(lambda: device.logged("delivered"), what="the spool is empty")
    assert gateway.stream(TELEMETRY)["missing"] == 0
    assert_no_key_and_nonce_twice(system.network)


def test_streams_survive_a_device_killed_and_started_again(system: System) -> None:
    gateway, device = system.gateway, system.device
    generations = set()
    for _ in range(3):
        device.start()
        gateway.more_frames(TELEMETRY)
        generations.add(gateway.stream(TELEMETRY)["generation"])
        device.kill()
    assert len(generations) == 3
    assert_no_key_and_nonce_twice(system.network)


def test_streams_survive_a_network_that_is_gone_for_a_while(system: System) -> None:
    gateway, device, network = system.gateway, system.device, system.network
    device.start()
    gateway.more_frames(TELEMETRY)
    network.cut()
    eventually(lambda: device.logged("ended"), what="the device notices")
    lost_at = gateway.stream(TELEMETRY)["frames"]
    network.join()
    eventually(lambda: device.logged("delivered"), what="the spool is empty")
    gateway.more_frames(TELEMETRY)
    assert gateway.stream(TELEMETRY)["frames"] > lost_at + 10
    assert_no_key_and_nonce_twice(network)


def test_a_device_that_starts_while_the_gateway_is_away_keeps_its_frames(system: System) -> None:
    gateway, device = system.gateway, system.device
    device.start()
    gateway.more_frames(TELEMETRY)
    device.kill()
    gateway.kill()
    device.start()
    eventually(lambda: device.logged("ended"), what="the device runs offline")
    gateway.start()
    eventually(lambda: device.logged("delivered"), what="the spool is empty")
    gateway.more_frames(TELEMETRY)
    assert gateway.stream(TELEMETRY)["missing"] == 0
    assert_no_key_and_nonce_twice(system.network)


def test_both_end_in_order_when_they_are_asked_to(system: System) -> None:
    gateway, device = system.gateway, system.device
    device.start()
    gateway.more_frames(TELEMETRY)
    assert device.stop() == 0
    eventually(
        lambda: not gateway.status()["devices"][0]["is_connected"], what="the gateway sees it leave"
    )
    assert gateway.stream(TELEMETRY)["missing"] == 0
    assert gateway.stop() == 0


def test_a_gateway_with_another_key_is_refused_by_the_device(
    system: System, tmp_path: Path
) -> None:
    system.gateway.kill()
    impostor = Gateway(tmp_path / "impostor", system.network.port)
    impostor.start()
    try:
        system.device.start()
        eventually(lambda: len(system.network.sent) >= 2, what="the device tried")
        eventually(lambda: system.device.logged("pinned"), what="it says why")
        status = impostor.status()
        assert status["totals"]["frames"] == 0
        assert not status["devices"]
    finally:
        impostor.kill()

"""What bad input gets: refused and counted, one clear line, and good frames unharmed."""

import socket
import struct
import time

import pytest
from waiting import PATIENCE_S, eventually

from .conftest import System
from .network import GATEWAY_HOST
from .processes import Device, tickseal

TELEMETRY = Device.TELEMETRY


def test_a_first_handshake_message_sent_again_opens_nothing(system: System) -> None:
    gateway, device, network = system.gateway, system.device, system.network
    device.start()
    gateway.more_frames(TELEMETRY)
    sent = bytes(network.sent[-1])
    first = sent[: 2 + struct.unpack_from(">H", sent)[0]]
    before = gateway.status()
    generation = gateway.stream(TELEMETRY)["generation"]
    with socket.create_connection((GATEWAY_HOST, network.port), timeout=PATIENCE_S) as replay:
        replay.sendall(first)
        answer = replay.recv(65_536)
        assert answer[2] == 3, "the gateway cannot know yet that it is a replay, and answers"
        # All that the recorded session sent after it was sealed for another ephemeral key.
        replay.sendall(sent[len(first) :])
        while replay.recv(65_536):
            pass
    after = gateway.status()
    assert after["totals"]["sessions"] == before["totals"]["sessions"] == 1
    assert gateway.stream(TELEMETRY)["generation"] == generation
    gateway.more_frames(TELEMETRY)


def test_hostile_datagrams_are_counted_by_reason_and_harm_nothing(system: System) -> None:
    gateway, device, network = system.gateway, system.device, system.network
    device.start()
    gateway.more_frames(TELEMETRY)
    good = eventually(
        lambda: next((d for d in reversed(network.datagrams) if len(d) > 200), None), what="one"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:

        def send(datagram: bytes) -> None:
            attacker.sendto(datagram, (GATEWAY_HOST, network.port))

        send(b"")
        send(b"\x10" * 3)
        send(good)
        send(b"\x20" + good[1:])
        send(good[:3] + b"\xff\xff\xff\xff" + good[7:])
        send(good[:2] + bytes([good[2] ^ 1]) + good[3:])
        send(good[:1] + b"\x1f" + good[2:])
        send(good[:20])
        future = (int.from_bytes(good[7:10], "big") + 10_000) % (1 << 24)
        send(good[:7] + future.to_bytes(3, "big") + good[10:])
        number = (int.from_bytes(good[10:14], "big") + 500).to_bytes(4, "big")
        send(good[:10] + number + good[14:])
        for _ in range(2000):
            send(good[:40] + bytes(time.time_ns().to_bytes(8, "big")) + good[48:])

    def refusals() -> dict[str, int]:
        found: dict[str, int] = gateway.status()["totals"]["refusals"]
        return found

    wanted = {"truncated", "version", "handle", "generation", "malformed", "early", "key_hash"}
    eventually(lambda: wanted <= set(refusals()), what=f"reasons {wanted}")
    eventually(lambda: refusals().get("replayed", 0) >= 1, what="replays are counted")
    gateway.more_frames(TELEMETRY, 20)
    assert gateway.stream(TELEMETRY)["missing"] == 0


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("hello", "no invite token"),
        ("tks1_AAAA", "typo or is cut off"),
        ("tks2_AAAA", "another version"),
        ("", "empty"),
    ],
)
def test_a_malformed_invite_gets_one_line_and_an_exit_code(token: str, says: str) -> None:
    done = tickseal("edge", "enrol", token)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_used_and_an_unknown_invite_get_one_line_and_an_exit_code(
    system: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    token = system.gateway.invite(system.network.address)
    for attempt, says in enumerate(("", "used")):
        device = Device(tmp_path_factory.mktemp("device"))
        done = device.enrol(token)
        assert done.returncode == (1 if says else 0), (attempt, done.stderr)
        assert says in done.stderr
        assert len(done.stderr.splitlines()) <= 1


def test_nobody_at_the_address_of_an_invite_is_said_so(system: System) -> None:
    token = system.gateway.invite(f"{GATEWAY_HOST}:9")
    done = Device(system.device.log.parent / "other").enrol(token)
    assert done.returncode == 1
    assert "127.0.0.1 port 9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_revoked_device_is_out_within_a_second(system: System) -> None:
    gateway, device = system.gateway, system.device
    device.start()
    gateway.more_frames(TELEMETRY)
    name = gateway.status()["devices"][0]["name"]
    done = tickseal("gateway", "revoke", name, "--config", str(gateway.config))
    assert done.returncode == 0, done.stderr
    frames = gateway.status()["totals"]["frames"]
    eventually(lambda: device.logged("revoked"), what="the device is told")
    assert gateway.status()["totals"]["frames"] == frames

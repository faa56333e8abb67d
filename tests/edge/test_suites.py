"""AES-GCM where the processor has it, ChaCha20 where not; the gateway may insist on the other."""

import asyncio
from pathlib import Path

import pytest
from edge_device import STREAM, Device, until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.streams.suites import first_wish, has_aes, policy_of

from tickseal.sessions.negotiation import NegotiationPolicy
from tickseal.streams.parameters import Suite

PI4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
PI5 = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32\n"
PC = "processor\t: 0\nflags\t\t: fpu vme sse4_2 aes xsave avx\nvmx flags\t: x\n"
PC_WITHOUT = "flags\t\t: fpu vme sse4_2 vaes xsave\n"


@pytest.mark.parametrize(
    ("text", "has"), [(PI4, False), (PI5, True), (PC, True), (PC_WITHOUT, False), ("", False)]
)
def test_the_processors_own_list_tells(tmp_path: Path, text: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_aes(tmp_path / "cpuinfo") is has
    policy = policy_of("auto", tmp_path / "cpuinfo")
    assert policy.suites[0] is (Suite.AES_256_GCM if has else Suite.CHACHA20_POLY1305)
    assert len(policy.suites) == 2
    assert first_wish(policy) == ((1, 2) if has else (2,))


def test_a_processor_that_is_unknown_has_none() -> None:
    assert not has_aes(Path("/no/such/file"))


@pytest.mark.parametrize(
    ("suite", "allowed", "taken"),
    [
        ("chacha20-poly1305", tuple(Suite), "CHACHA20_POLY1305"),
        ("aes-256-gcm", tuple(Suite), "AES_256_GCM"),
        ("auto without AES", tuple(Suite), "CHACHA20_POLY1305"),
        ("auto without AES", (Suite.AES_256_GCM,), "AES_256_GCM"),
    ],
)
def test_the_gateway_grants_what_was_asked_for_or_insists(
    device: Device,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    *,
    suite: str,
    allowed: tuple[Suite, ...],
    taken: str,
) -> None:
    if suite.startswith("auto"):
        monkeypatch.setattr("tickseal_edge.streams.suites.has_aes", lambda _: False)
        suite = "auto"

    async def scenario() -> None:
        gateway = FakeGateway(registry, clock=device.clock)
        gateway.policy = NegotiationPolicy(suites=allowed)
        await gateway.start()
        await device.enrol(gateway)
        device.set(suite=suite)
        async with device.running() as service:
            await until(lambda: len(gateway.payloads(STREAM)) > 3)
            assert service.snapshot()["streams"][0]["suite"] == taken  # type: ignore[index]
        await gateway.stop()

    asyncio.run(scenario())

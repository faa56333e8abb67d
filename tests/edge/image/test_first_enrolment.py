"""At its first boot a device enrols by the invite on its card, and erases that."""

import asyncio
import json
from pathlib import Path

import pytest
from edge_device import until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.config import EdgeConfig
from tickseal_edge.image.first_enrolment import enrol_once, erase

from tickseal.host.enrolment import EnrolmentRefusedError
from tickseal.host.kernel_clock import KernelClock
from tickseal.invite import InviteToken


async def at_once(_seconds: float) -> None:
    """Wait for no longer than others need to get on."""
    await asyncio.sleep(0.001)


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return EdgeConfig(name="pi", state=str(state))


def give(config: EdgeConfig, invite: InviteToken) -> Path:
    path = config.state_path / "invite"
    path.write_text(invite.encode() + "\n")
    return path


def test_enrols_and_leaves_no_invite(config: EdgeConfig, registry: Registry) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        path = give(config, gateway.invite)
        assert await enrol_once(config, sleep=at_once) == "enrolled as device-1"
        assert not path.exists()
        assert sorted(one.name for one in config.state_path.iterdir()) == ["identity.json", "lock"]
        await gateway.stop()

    asyncio.run(scenario())


def test_waits_for_a_gateway_that_is_not_there_yet(
    config: EdgeConfig, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        path, port = give(config, gateway.invite), gateway.port
        await gateway.stop()
        tries = 0

        async def sleep(_seconds: float) -> None:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0.001)

        enrolling = asyncio.create_task(enrol_once(config, sleep=sleep))
        await until(lambda: tries > 2)
        assert path.exists()
        gateway = await FakeGateway(registry, clock=KernelClock()).start(port)
        assert await enrolling == "enrolled as device-1"
        assert not path.exists()
        await gateway.stop()

    asyncio.run(scenario())
    assert capsys.readouterr().out.count("trying again") == 1, "not once for each try"


def test_gives_up_on_an_invite_that_the_gateway_refuses(
    config: EdgeConfig, registry: Registry
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        gateway.decide = lambda _: "expired"
        path = give(config, gateway.invite)
        with pytest.raises(EnrolmentRefusedError, match="expired"):
            await enrol_once(config, sleep=at_once)
        assert not path.exists()
        await gateway.stop()

    asyncio.run(scenario())


def test_tries_again_while_the_gateway_is_busy(config: EdgeConfig, registry: Registry) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        answers = iter(["busy", "busy"])
        gateway.decide = lambda _: next(answers, "")
        give(config, gateway.invite)
        assert await enrol_once(config, sleep=at_once) == "enrolled as device-1"
        await gateway.stop()

    asyncio.run(scenario())


def test_a_power_cut_in_between_does_not_cost_the_invite(
    config: EdgeConfig, registry: Registry
) -> None:
    """An invite belongs to the first key that used it, so the second try must use the same."""

    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        keys = []

        def decide(request: object) -> str:
            keys.append(getattr(request, "static_public", b""))
            return "busy" if len(keys) < 2 else ""

        async def power_cut(_seconds: float) -> None:
            raise SystemExit

        gateway.decide = decide
        path = give(config, gateway.invite)
        with pytest.raises(SystemExit):
            await enrol_once(config, sleep=power_cut)
        assert path.exists()
        assert await enrol_once(config, sleep=at_once) == "enrolled as device-1"
        assert keys[0] == keys[1] != b""
        await gateway.stop()

    asyncio.run(scenario())


def test_a_power_cut_before_the_erasure_is_made_good(
    config: EdgeConfig, registry: Registry
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=KernelClock()).start()
        give(config, gateway.invite)
        await enrol_once(config, sleep=at_once)
        identity = (config.state_path / "identity.json").read_bytes()
        path = give(config, gateway.invite)
        assert await enrol_once(config, sleep=at_once) == "this device is enrolled already"
        assert not path.exists()
        assert (config.state_path / "identity.json").read_bytes() == identity
        assert json.loads(identity)["device"] == "device-1"
        await gateway.stop()

    asyncio.run(scenario())


def test_erases_in_place(tmp_path: Path) -> None:
    path, other = tmp_path / "invite", tmp_path / "same file"
    path.write_bytes(b"secret" * 100)
    other.hardlink_to(path)
    erase(path)
    assert not path.exists()
    assert len(other.read_bytes()) == 600
    assert b"secret" not in other.read_bytes()
    erase(path)

"""Reserved links: what fills the common buffer costs honest sources nothing."""

import asyncio
import itertools
import socket

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, reading
from tickseal_gateway.health.view import View
from tickseal_gateway.ingest import reserved

from tickseal.core.errors import LinkError
from tickseal.links.udp import UDPLink

#: More than the common link's buffer holds.
_TOO_MANY = 20_000


def overflow(port: int) -> None:
    """Fill the buffer of the gateway's UDP port, which it cannot read meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", port))
        for _ in range(_TOO_MANY):
            sock.send(bytes(100))


async def frames_of_one_sent_while_full(view: View, device: Device, value: int) -> int:
    """Return how many frames came of one that was sent to a port whose buffer is full."""
    table = view._parts.table
    frames, segments = sum(stream.frames for stream in table), -1
    overflow(view._parts.udp.address[1])
    await device.udp.send(device.seal(reading(value)))
    # What was not dropped has come once nothing more does.
    while segments != table.segments:
        segments = table.segments
        await asyncio.sleep(0.03)
    return sum(stream.frames for stream in table) - frames


def test_an_honest_source_is_heard_while_a_flood_fills_the_common_buffer(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserved, "_EVERY_S", 0.02)

    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(str((await view.invite())["token"]))
            async with device.connected():
                await device.open()
                values = itertools.count()
                # Which it is, is found out by what does come through.
                assert await frames_of_one_sent_while_full(view, device, next(values)) == 0
                for _ in range(40):
                    await device.send(next(values))
                    await asyncio.sleep(0.005)
                for _ in range(5):
                    assert await frames_of_one_sent_while_full(view, device, next(values)) == 1

    run(main())


@pytest.mark.parametrize(
    ("listens", "peer"), [("127.0.0.1", "127.0.0.1"), (None, "127.0.0.1"), (None, "::1")]
)
def test_a_link_beside_gets_what_its_peer_sends_and_nothing_else(
    listens: str | None, peer: str
) -> None:
    async def main() -> None:
        common = await UDPLink.listen(listens, 0)
        port = common.address[1]
        one, other = [await UDPLink.connect(peer, port) for _ in range(2)]
        await one.send([b"first"])
        ((_, address),) = await common.receive()
        beside = common.beside(address)
        await one.send([b"one"])
        await other.send([b"other"])
        assert [data for data, _ in await common.receive()] == [b"other"]
        assert [data for data, _ in await beside.receive()] == [b"one"]
        beside.close()
        await one.send([b"again"])
        assert [data for data, _ in await common.receive()] == [b"again"]
        for link in (common, one, other):
            link.close()

    run(main())


def test_nobody_else_may_have_the_port_of_a_link_that_has_others_beside_it() -> None:
    async def main() -> None:
        common = await UDPLink.listen("127.0.0.1", 0)
        beside = common.beside(("127.0.0.1", 9))
        with pytest.raises(LinkError):
            await UDPLink.listen("127.0.0.1", common.address[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                sock.bind(("127.0.0.1", common.address[1]))
        beside.close()
        common.close()

    run(main())

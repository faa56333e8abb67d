"""Reserved links: what fills the common buffer costs honest sources nothing."""

import asyncio
import itertools
import socket
from collections.abc import Sequence

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, reading
from tickseal_gateway.health.view import View
from tickseal_gateway.ingest import reserved
from tickseal_gateway.ingest.reserved import ReservedLinks
from tickseal_gateway.ingest.table import StreamTable

from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import boottime_ns
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


def test_whoever_has_no_session_gets_no_link_though_a_segment_of_his_opens() -> None:
    async def main() -> None:
        common = await UDPLink.listen("127.0.0.1", 0)
        taken: list[bytes] = []

        def take(segments: Sequence[bytes]) -> None:
            taken.extend(segments)
            links.opened(*[None] * 4)  # type: ignore[arg-type]

        links = ReservedLinks(common, StreamTable(), take, lambda: {"127.0.0.2"})
        for host in ("127.0.0.2", "127.0.0.3"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((host, 0))
                sock.sendto(host.encode(), common.address)
        await links._look()
        assert len(taken) == 2
        assert [host for host, *_ in links._reserved] == ["127.0.0.2"]
        # And one that brings nothing any more is given up.
        (one,) = links._reserved.values()
        links._close_idle(one.heard_ns + reserved._IDLE_NS)
        assert len(links) == 1
        links._close_idle(one.heard_ns + reserved._IDLE_NS + 1)
        assert len(links) == 0
        common.close()

    run(main())


def test_links_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserved, "LINKS_MOST", 2)

    async def main() -> None:
        common = await UDPLink.listen("127.0.0.1", 0)
        links = ReservedLinks(common, StreamTable(), lambda _: None, lambda: ())
        for port in (9, 10, 11):
            links._reserve(("127.0.0.1", port))
        assert len(links) == 2
        links._close_idle(boottime_ns() + 2 * reserved._IDLE_NS)
        common.close()

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

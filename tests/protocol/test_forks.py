"""A fork copies keys and counters: going on in both processes would repeat a (key, nonce)."""

import os
from collections.abc import Callable

import pytest
from streams import generation, parameters

from tickseal import primitives
from tickseal.core.errors import LocalProtocolError
from tickseal.handshake import Established, Initiator, Responder
from tickseal.streams.sealing import FrameSealer, PureFrameSealer

# Newer Pythons warn of any fork beside threads; what runs the tests may have some.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
GATEWAY, DEVICE, PSK = bytes([1]) * 32, bytes([2]) * 32, bytes(32)


def refuses_in_child(work: Callable[[], object]) -> bool:
    """Tell whether something raises LocalProtocolError in a forked process."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except LocalProtocolError:
            os._exit(7)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def handshake() -> tuple[Established, Established]:
    initiator = Initiator(
        private=DEVICE,
        gateway_public=primitives.x25519_public(GATEWAY),
        psk=PSK,
        hybrid=False,
        random_bytes=os.urandom,
    )
    responder = Responder(private=GATEWAY, random_bytes=os.urandom)
    responder.read_first(*initiator.first_record())
    answer, gateway = responder.accept(PSK)
    return initiator.read_answer(*answer), gateway


@pytest.mark.parametrize("kind", [FrameSealer, PureFrameSealer])
@pytest.mark.parametrize("depth", [32, 0])
def test_a_forked_process_cannot_seal_on(kind: type[FrameSealer], depth: int) -> None:
    sealer = kind(generation(parameters(depth=depth)))
    sealer.seal(b"21.5", 5)
    assert refuses_in_child(lambda: sealer.seal(b"another", 5))
    assert refuses_in_child(lambda: sealer.seal(b"another", 6))
    assert sealer.seal(b"21.6", 5)


def test_a_forked_process_cannot_go_on_with_a_session() -> None:
    for side in handshake():
        assert refuses_in_child(lambda side=side: side.send.seal(b"another"))  # type: ignore[misc]
        assert refuses_in_child(lambda side=side: side.exporter.initial_secret("s", 1))  # type: ignore[misc]
        assert side.send.seal(b"this")

"""Of all that is derived between enrolment and sealed frames, nothing secret is on the wire."""

from collections.abc import Callable, Iterator

import pytest

from tickseal import FrameSealer, primitives
from tickseal.core import keyschedule
from tickseal.invite import InviteToken
from tickseal.sessions.source_session import Credentials

from .conftest import Conversation

TICK = 3


class Recorder:
    """Keeps every result of the operations that make secrets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secrets: set[bytes] = set()
        prepare, exchange = primitives.hmac, primitives.x25519

        def hmac(key: bytes) -> Callable[[bytes], bytes]:
            digest = prepare(key)
            self.secrets.add(bytes(key))

            def recorded(message: bytes) -> bytes:
                self.secrets.add(result := digest(message))
                return result

            return recorded

        def x25519(private: bytes, public: bytes) -> bytes:
            self.secrets.add(result := exchange(private, public))
            return result

        monkeypatch.setattr(primitives, "hmac", hmac)
        monkeypatch.setattr(primitives, "x25519", x25519)


@pytest.mark.parametrize("hybrid", [False, True])
def test_no_secret_is_on_the_wire(monkeypatch: pytest.MonkeyPatch, hybrid: bool) -> None:
    recorder = Recorder(monkeypatch)
    invite = InviteToken(
        addresses=("gateway:4710",),
        gateway_public=Conversation.GATEWAY_PUBLIC,
        hybrid=hybrid,
        invite_id=b"invite-1",
        secret=Conversation.PSK,
    )
    credentials = Credentials.from_invite(invite, private_key=Conversation.DEVICE)
    capture = bytearray()
    conversation = Conversation(credentials)

    def tap(data: bytes) -> Iterator[bytes]:
        capture.extend(data)
        return iter([data])

    conversation.cut = tap
    conversation.talk()
    conversation.open()
    (generation,) = conversation.granted
    secret = generation.walker.secret(generation.epoch(TICK))
    frame_key = keyschedule.frame_key(primitives, secret, TICK, 0)
    sealer = FrameSealer(generation)
    for segment in sealer.seal(b"21.5 degrees in the porch", TICK):
        assert segment[16:32] == keyschedule.key_hash(primitives, frame_key, 16)
        capture += segment

    assert len(capture) > 500
    assert len(recorder.secrets) > 40
    assert frame_key in recorder.secrets
    for secret in recorder.secrets:
        # A part of a secret gives it away as well.
        assert len(secret) < 16 or secret[:16] not in capture
        assert len(secret) < 32 or secret[16:32] not in capture
    for text in (b"porch", b"temperature", b"Cel", b"degrees", b"metadata", b"gateway"):
        assert text not in capture

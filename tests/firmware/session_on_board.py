"""Run by MicroPython: one side of sessions whose other side is CPython's, by lines of JSON.

A line is {"do": ..., ...}, fields of bytes in hexadecimal. `handshake` begins a session by a
private key, a gateway's key, a PSK and an invite id; `record` hands over a record of the gateway;
`seal` seals a frame of the stream. Each is answered by one line: records to send, and segments.
"""

import json
import sys
from binascii import hexlify, unhexlify

from device import primitives
from device.clock import Clock
from device.identity import Identity
from device.prepared import Prepared
from device.randomness import Randomness
from device.session import Session
from device.streams import Stream

# Sessions load these when they need them; from source, which the compiler needs memory for.
__import__("device.x25519")
__import__("tickseal.core.noise")


class Owner:
    """What a session tells its board of."""

    def __init__(self):
        self.told = []

    def note(self, text):
        self.told.append(text)

    def enrolled(self, device, psk):
        self.told.append("psk " + hexlify(psk).decode())

    def running(self):
        pass

    def ending(self, stream):
        pass

    def started(self, stream):
        self.told.append("started")


random_bytes = Randomness()
sent, owner, session, stream = [], Owner(), None, None


def send(kind, body):
    sent.append([kind, hexlify(body).decode()])
    return True


for line in sys.stdin:
    asked = json.loads(line)
    segments = []
    try:
        if asked["do"] == "handshake":
            private = unhexlify(asked["private"])
            identity = Identity(private, primitives.x25519_public(private))
            identity.gateway, identity.psk = unhexlify(asked["gateway"]), unhexlify(asked["psk"])
            identity.invite_id = unhexlify(asked["invite_id"])
            prepared = Prepared(random_bytes, private, identity.gateway, b"")
            for _ in range(asked["steps"]):
                prepared.step()
            stream = Stream({"id": "board/s", "type": "t"}, asked["wish"])
            hello = {"name": "board", "software": "test"}
            owner = Owner()
            session = Session(owner, send, identity, prepared, Clock(), [stream], hello, 0)
        elif asked["do"] == "record":
            session.receive(asked["kind"], unhexlify(asked["body"]), 1000)
            session.tend(1000)
            session.open_streams(1000)
        else:
            segments = stream.seal(unhexlify(asked["payload"]), asked["tick"], 0)
    except Exception as error:
        owner.told.append("error " + repr(error))
    print(json.dumps({  # noqa: T201
        "records": sent,
        "segments": [hexlify(one).decode() for one in segments],
        "told": owner.told,
        "state": session.state if session else -1,
        "ended": session.ended if session else "",
    }))  # fmt: skip
    sent, owner.told = [], []

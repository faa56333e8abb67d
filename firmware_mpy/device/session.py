"""The board's side of a connection: the Noise handshake, then control messages (sections 6 and 7).

Without I/O: records in, records out. Anything that is not as the protocol has it raises
RemoteProtocolError, and the connection is over.
"""

from device import cborlite
from tickseal.core import constants
from tickseal.core.errors import HandshakeError, RemoteProtocolError
from tickseal.core.exporter import Exporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device.clock import Clock
    from device.identity import Identity
    from device.prepared import Prepared
    from device.streams import Stream
    from tickseal.core.noise import HandshakeState

_SECOND = 1_000_000_000
#: From the connection until welcome, ns; time between pings; a peer that silent is gone.
HANDSHAKE_NS = 10 * _SECOND
PING_NS = 2 * _SECOND
SILENCE_NS = 10 * _SECOND
#: Pings without a pong that are remembered.
_PINGS = 6

HANDSHAKE = 0
GREETING = 1
ENROLLING = 2
RUNNING = 3
CLOSED = 4

#: What the gateway sends, and the keys of each besides "m".
_KEYS = {
    "welcome": ("name", "tai", "udp"),
    "enrolled": ("device",),
    "ping": ("n", "tai", "discipline"),
    "pong": ("n", "tai", "discipline"),
    "alarm": ("reason", "detail"),
    "revoked": (),
    "bye": ("reason",),
    "opened": ("stream", "handle", "generation", "parameters", "salt", "confirm"),
    "refused": ("stream", "reason", "detail"),
    "report": ("streams",),
    "resync": ("handle", "generation", "reason"),
    "rekey": ("handle",),
    "offered": ("handle", "generation", "accepted", "reason"),
    "stored_until": ("handle", "generation", "frame_until"),
}
_SIZES = {"salt": constants.SALT_BYTES, "confirm": constants.CONFIRM_BYTES}
_NUMBERS = ("n", "udp", "handle", "generation", "frame_until")
_TEXTS = ("name", "device", "reason", "detail", "stream", "discipline")


class Session:
    """One connection to the gateway.

    Args:
        owner: what happens is told to it: welcomed(), enrolled(device, psk), running(),
            started(stream), offered(handle, generation, accepted), stored(handle, generation,
            until), note(text).
        send: takes type and body of a record; returns whether there was room.
    Attributes:
        state: HANDSHAKE to CLOSED.
        ended: why it is over, one word of the gateway: "revoked", or the reason of its bye.
    """

    def __init__(
        self,
        owner: "Any",
        send: "Any",
        identity: "Identity",
        prepared: "Prepared",
        clock: "Clock",
        streams: "list[Stream]",
        hello: "dict[str, Any]",
        at_ns: int,
    ) -> None:
        from tickseal.core.noise import IK_PSK2, HandshakeState

        self.state = HANDSHAKE
        self.ended = ""
        self._owner, self._send_record = owner, send
        self._identity, self._prepared = identity, prepared
        self._clock, self._streams = clock, streams
        self._hello = hello
        self._is_new = bool(identity.invite_id)
        self._ciphers: "Any" = None
        self._heard_ns = at_ns
        self._ping_ns = at_ns
        self._ping_n = 0
        self._pings: "list[tuple[int, int]]" = []
        self._noise: "HandshakeState | None" = HandshakeState(
            prepared,
            prepared.random_bytes,
            IK_PSK2,
            initiator=True,
            prologue=constants.PROLOGUE,
            private=identity.private,
            public=identity.public,
            peer_public=identity.gateway,
            psk=identity.psk,
        )
        message = self._noise.write_message(identity.invite_id)
        send(constants.RECORD_CLASSICAL, message)

    # --- What the owner calls ---

    def receive(self, kind: int, body: bytes, at_ns: int) -> None:
        """Take in a record of the gateway."""
        if self.state == CLOSED:
            return
        if kind == constants.RECORD_CONTROL and self._ciphers:
            message = cborlite.decode(self._ciphers[1].open(body))
            self._heard_ns = at_ns
            self._on_message(message, at_ns)
        elif kind in (constants.RECORD_ANSWER, constants.RECORD_REFUSAL) and self._noise:
            self._on_answer(kind, body, at_ns)
            self._heard_ns = at_ns
        else:
            raise RemoteProtocolError("a record of type %d now" % kind)

    def wait_on(self, at_ns: int) -> None:
        """Note that nobody has taken the first message yet: it goes on being offered."""
        self._heard_ns = at_ns

    def tend(self, at_ns: int) -> None:
        """Do what is due."""
        if self.state < RUNNING:
            if at_ns - self._heard_ns >= HANDSHAKE_NS:
                raise RemoteProtocolError("the gateway does not answer")
            return
        if self.state == CLOSED:
            return
        if at_ns - self._heard_ns >= SILENCE_NS:
            raise RemoteProtocolError("the gateway is silent")
        if at_ns >= self._ping_ns:
            self._ping(at_ns)

    def open_streams(self, at_ns: int) -> None:
        """Ask for the generations that are due, once all offers were made (section 7.4)."""
        for stream in self._streams if self.state == RUNNING else ():
            if not stream.asked and 0 <= stream.ask_ns <= at_ns:
                self.send(stream.ask())

    def wait_ns(self, at_ns: int) -> int:
        """Return how long tend() has nothing to do, ns."""
        return max(0, self._ping_ns - at_ns) if self.state == RUNNING else _SECOND

    def send(self, message: "dict[str, Any]") -> None:
        """Send a control message."""
        if not self._send_record(
            constants.RECORD_CONTROL, self._ciphers[0].seal(cborlite.encode(message))
        ):
            # Its number is gone, so nothing can follow.
            raise RemoteProtocolError("the gateway does not take what is sent")

    def close(self) -> None:
        """Erase the secrets."""
        self.state = CLOSED
        if self._noise:
            self._noise.clear()
        self._noise = None
        if self._ciphers:
            for part in self._ciphers:
                part.clear()
        self._ciphers = None
        for stream in self._streams:
            stream.asked = False

    # --- What the gateway sends ---

    def _on_answer(self, kind: int, body: bytes, at_ns: int) -> None:
        noise, self._noise = self._noise, None
        if noise is None:
            return
        refused = kind == constants.RECORD_REFUSAL
        if refused:
            noise.set_psk(self._prepared.sha256(constants.REFUSAL_LABEL))
        payload = noise.read_message(body)
        if refused:
            noise.clear()
            said = cborlite.decode(payload)
            self.ended = str(said.get("reason")) if isinstance(said, dict) else "refused"
            self.state = CLOSED
            return
        if payload:
            raise HandshakeError("an answer with a payload")
        forth, back, secret = noise.split()
        self._ciphers = (forth, back, Exporter(self._prepared, secret, noise.handshake_hash))
        self.state = GREETING
        earliest, latest, discipline = self._clock.now(at_ns)
        hello = {"m": "hello", "role": "source", "suites": [constants.AES_128_CCM_8]}
        hello.update({"tai": [earliest, latest], "discipline": discipline})
        hello.update(self._hello)
        self.send(hello)

    def _on_message(self, message: "Any", at_ns: int) -> None:
        name = message.get("m") if isinstance(message, dict) else None
        if not isinstance(name, str):
            raise RemoteProtocolError("a control message without a name")
        if name not in _KEYS:
            return
        _check(message, name)
        if name in ("bye", "revoked"):
            self.ended = "revoked" if name == "revoked" else message["reason"] or "bye"
            self.state = CLOSED
        elif self.state == RUNNING or name in ("welcome", "enrolled"):
            getattr(self, "_on_" + name)(message, at_ns)
        else:
            raise RemoteProtocolError(name + " before the session runs")

    def _on_welcome(self, message: "Any", at_ns: int) -> None:
        if self.state != GREETING:
            raise RemoteProtocolError("welcome again")
        self.state = ENROLLING if self._is_new else RUNNING
        self._owner.note("connected to " + message["name"])
        if self.state == RUNNING:
            self._run()

    def _on_enrolled(self, message: "Any", at_ns: int) -> None:
        if self.state != ENROLLING:
            raise RemoteProtocolError("enrolled without an invite")
        # On flash before the gateway is told: from then on the invite is of no use.
        self._owner.enrolled(message["device"], self._ciphers[2].device_psk())
        self.send({"m": "stored"})
        self.state = RUNNING
        self._run()

    def _run(self) -> None:
        for stream in self._streams:
            stream.ask_ns = 0
        # The first ping before all else: the board learns the time by its answer.
        self._owner.running()

    def _on_ping(self, message: "Any", at_ns: int) -> None:
        earliest, latest, discipline = self._clock.now(at_ns)
        tai = [earliest, latest]
        self.send({"m": "pong", "n": message["n"], "tai": tai, "discipline": discipline})

    def _on_pong(self, message: "Any", at_ns: int) -> None:
        for index, (n, sent_ns) in enumerate(self._pings):
            if n == message["n"]:
                # Those before it were overtaken.
                self._pings = self._pings[index + 1 :]
                self._clock.exchange(sent_ns, at_ns, message["tai"][0], message["tai"][1])
                return

    def _on_alarm(self, message: "Any", at_ns: int) -> None:
        self._owner.note("the gateway says: %s %s" % (message["reason"], message["detail"]))

    def _on_opened(self, message: "Any", at_ns: int) -> None:
        stream = self._asked(message)
        number = message["generation"]
        # The gateway's exporter moved on too, whatever comes of this opening.
        secret = self._ciphers[2].initial_secret(stream.id, number)
        encoded = message["parameters"]
        try:
            parameters = stream.check(encoded)
            if parameters["generation"] != number or not message["handle"]:
                raise RemoteProtocolError("opened contradicts itself")
        except RemoteProtocolError as fault:
            taken = False
            self._owner.note("%s: %s" % (stream.id, fault))
        else:
            self._owner.ending(stream)
            stream.handle = message["handle"]
            taken = stream.begin(parameters, encoded, secret, message["salt"], message["confirm"])
        if taken:
            self._owner.started(stream)
            return
        stream.refused(at_ns)
        self.send({"m": "close", "handle": message["handle"], "generation": number})

    def _on_refused(self, message: "Any", at_ns: int) -> None:
        self._asked(message).refused(at_ns)
        told = (message["stream"], message["reason"], message["detail"])
        self._owner.note("%s is refused: %s %s" % told)

    def _on_report(self, message: "Any", at_ns: int) -> None:
        for row in message["streams"]:
            for stream in self._streams:
                if row[1] == stream.generation and row[3]:
                    stream.helped()

    def _on_resync(self, message: "Any", at_ns: int) -> None:
        for stream in self._streams:
            if stream.handle == message["handle"]:
                stream.renew(at_ns)

    def _on_rekey(self, message: "Any", at_ns: int) -> None:
        for stream in self._streams:
            if stream.handle == message["handle"] and not stream.asked:
                stream.ask_ns = 0

    def _on_offered(self, message: "Any", at_ns: int) -> None:
        self._owner.offered(message["handle"], message["generation"], message["accepted"])

    def _on_stored_until(self, message: "Any", at_ns: int) -> None:
        self._owner.stored(message["handle"], message["generation"], message["frame_until"])

    # --- Private ---

    def _ping(self, at_ns: int) -> None:
        self._ping_ns = at_ns + PING_NS
        earliest, latest, discipline = self._clock.now(at_ns)
        self._pings.append((self._ping_n, at_ns))
        if len(self._pings) > _PINGS:
            self._pings.pop(0)
        tai = [earliest, latest]
        self.send({"m": "ping", "n": self._ping_n, "tai": tai, "discipline": discipline})
        self._ping_n += 1

    def _asked(self, message: "Any") -> "Stream":
        for stream in self._streams:
            if stream.id == message["stream"] and stream.asked:
                stream.asked = False
                return stream
        raise RemoteProtocolError("an answer for a stream that was not asked for")


def _check(message: "Any", name: str) -> None:
    """Check that a message has the keys of its kind, and their values the right types."""
    keys = _KEYS[name]
    fits = len(message) == len(keys) + 1
    for key in keys:
        value = message.get(key)
        if key in _TEXTS:
            fits = fits and isinstance(value, str)
        elif key in _NUMBERS:
            fits = fits and isinstance(value, int) and value >= 0
        elif key in _SIZES:
            fits = fits and isinstance(value, bytes) and len(value) == _SIZES[key]
        elif key == "parameters":
            fits = fits and isinstance(value, bytes)
        elif key == "accepted":
            fits = fits and isinstance(value, bool)
        elif key == "tai":
            fits = fits and _are_numbers(value, 2) and value[0] <= value[1]
        else:
            fits = fits and isinstance(value, list)
            for row in value if fits else ():
                fits = fits and _are_numbers(row, 5)
    if not fits:
        raise RemoteProtocolError(name + " is not as the protocol has it")


def _are_numbers(value: "Any", count: int) -> bool:
    if not isinstance(value, list) or len(value) != count:
        return False
    for one in value:
        if not isinstance(one, int) or isinstance(one, bool) or one < 0:
            return False
    return True

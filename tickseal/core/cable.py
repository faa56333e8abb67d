"""Records and segments on a serial cable: what is sent again, what is not (docs/protocol.md 6.6).

The same code runs at both ends, without I/O. Records (section 6.1) are cut into fragments, which
are numbered, acknowledged, and sent again until they are; live segments and text go once. The
device numbers its connections at random; the host answers what belongs to none with a reset.
"""

from tickseal.core.constants import RECORD_CLASSICAL, RECORD_DATA, RECORD_HYBRID
from tickseal.core.errors import RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = tuple[int, bytes]

# --- Specification: types of packets beside those of records ---
ACK = 7
RESET = 8
SEGMENT = 9
TEXT = 10
#: More fragments of this record follow.
MORE = 0x80

# --- Specification: sizes ---
#: Fragments under way in one direction.
WINDOW = 8
#: Most bytes of a packet's body.
BODY_MAX_BYTES = 2048
#: Most bytes of a fragment.
FRAGMENT_MAX_BYTES = 255
LINK_BYTES = 2
_HEAD = 4

# --- Implementation ---
#: Bytes of record in one packet, on a clean cable and on a noisy one: of the short packets one in
#: four gets through where every twentieth byte is damaged. The first message comes before that is
#: known.
_FRAGMENT_BYTES = 64
_NOISY_FRAGMENT_BYTES = 16
_FIRST_FRAGMENT_BYTES = 32
#: A fragment that was not acknowledged within this time, ms, is sent again: soon on a noisy cable;
#: else the other end may be busy.
_AGAIN_LEAST_MS = 50
_AGAIN_FIRST_MS = 120
_AGAIN_MOST_MS = 400
_AGAIN_NOISY_MS = 60
#: A cable is noisy for so long after a damaged packet, ms.
_NOISY_MS = 2000
#: Nothing was acknowledged for so long, ms: the other end is gone.
DEAD_MS = 3000


class Channel:
    """The records of one connection, in both directions.

    Args:
        link: the connection's number, u16.
        now_ms: a monotonic clock, ms; the same one in every later call.
        waits: whether only one fragment goes until the first is acknowledged, as the device does.
        record_bytes: longest record that is taken.
        queue_bytes: most bytes of records that wait to be sent.
    Attributes:
        repeated: fragments sent again so far.
    """

    __slots__ = (
        "_ack_due", "_again_ms", "_early", "_flying", "_heard_ms", "_limit", "_next", "_noisy_ms",
        "_open", "_parts", "_queue", "_queued", "_room", "_seq", "link", "repeated",
    )  # fmt: skip

    def __init__(
        self,
        link: int,
        now_ms: int,
        *,
        waits: bool = False,
        record_bytes: int = 2048,
        queue_bytes: int = 4096,
    ) -> None:
        self.link = link
        self.repeated = 0
        self._limit = record_bytes
        self._room = queue_bytes
        # To be sent: type with MORE, and bytes. Sent, in order: number, packet, when, how often.
        self._queue: "list[tuple[int, bytes]]" = []
        self._queued = 0
        self._flying: "list[list[Any]]" = []
        self._seq = 0
        self._open = not waits
        self._again_ms = _AGAIN_FIRST_MS
        self._noisy_ms = 0
        # Since when nothing was acknowledged that should have been.
        self._heard_ms = now_ms
        # Received: the next number; what came before its turn; the record that is incomplete.
        self._next = 0
        self._early: "dict[int, tuple[int, bytes]]" = {}
        self._parts = bytearray()
        self._ack_due = False

    @property
    def is_idle(self) -> bool:
        """Whether all that was queued has been acknowledged."""
        return not self._queue and not self._flying

    @property
    def was_answered(self) -> bool:
        """Whether the other end has acknowledged anything."""
        return (self._open and self._seq > 0) or self._next > 0

    def room(self, size: int) -> bool:
        """Return whether a record with a body of this size can be queued."""
        return self._queued + size <= self._room

    def queue(self, kind: int, body: bytes) -> bool:
        """Queue a record; return False, and do nothing, where there is no room for it."""
        size = len(body)
        if self._queued + size > self._room:
            return False
        self._queued += size
        most = _NOISY_FRAGMENT_BYTES if self._noisy_ms else _FRAGMENT_BYTES
        if kind <= RECORD_HYBRID:
            most = _FIRST_FRAGMENT_BYTES
        at = 0
        while size - at > most:
            self._queue.append((kind | MORE, body[at : at + most]))
            at += most
        self._queue.append((kind, body[at:]))
        return True

    def disturbed(self, now_ms: int) -> None:
        """Note that a packet came damaged."""
        self._noisy_ms = now_ms + _NOISY_MS

    def due(self, now_ms: int) -> "list[bytes]":
        """Return the bodies of the packets to send now."""
        packets: "list[bytes]" = []
        if self._ack_due:
            self._ack_due = False
            packets.append(self._ack())
        if now_ms >= self._noisy_ms:
            self._noisy_ms = 0
        again_ms = self._wait()
        late = False
        for flown in self._flying:
            if now_ms - flown[2] >= again_ms:
                late = True
                flown[2] = now_ms
                flown[3] += 1
                self.repeated += 1
                packets.append(flown[1])
        if late:
            self._again_ms = min(self._again_ms * 3 // 2, _AGAIN_MOST_MS)
        if not self._flying:
            self._heard_ms = now_ms
        window = WINDOW if self._open else 1
        while self._queue and self._span() < window:
            head, fragment = self._queue.pop(0)
            self._queued -= len(fragment)
            packet = self._head(head) + bytes((self._seq,)) + fragment
            self._flying.append([self._seq, packet, now_ms, 1])
            self._seq = self._seq + 1 & 0xFF
            packets.append(packet)
        return packets

    def wait_ms(self, now_ms: int) -> int:
        """Return in how many ms due() has something to do; -1 for not before something comes."""
        if self._ack_due or (self._queue and self._span() < (WINDOW if self._open else 1)):
            return 0
        if not self._flying:
            return -1
        sent = min(flown[2] for flown in self._flying)
        return max(0, int(sent) + self._wait() - now_ms)

    def is_dead(self, now_ms: int) -> bool:
        """Return whether the other end has acknowledged nothing for too long."""
        return bool(self._flying) and now_ms - self._heard_ms >= DEAD_MS

    def acknowledged(self, body: bytes, now_ms: int) -> None:
        """Take in a packet of type ACK."""
        if len(body) != 5:
            return
        until, early = body[3], body[4]
        left = []
        for flown in self._flying:
            ahead = flown[0] - until & 0xFF
            if ahead < 0x80 and not (ahead and early >> ahead - 1 & 1):
                left.append(flown)
            elif flown[3] == 1:
                # Of one that was sent again it is not known which was answered.
                trip = now_ms - flown[2]
                again = (self._again_ms + 3 * trip) // 2
                self._again_ms = max(_AGAIN_LEAST_MS, min(again, _AGAIN_MOST_MS))
        if len(left) < len(self._flying):
            self._open = True
            self._heard_ms = now_ms
        self._flying = left

    def received(self, body: bytes) -> "list[Record]":
        """Take in a packet with a fragment; return the records that it completes, in order.

        Raises:
            RemoteProtocolError: a record longer than is taken.
        """
        self._ack_due = True
        ahead = body[3] - self._next & 0xFF
        if ahead < WINDOW:
            self._early[body[3]] = (body[0], body[_HEAD:])
        records: "list[Record]" = []
        while self._next in self._early:
            head, fragment = self._early.pop(self._next)
            self._next = self._next + 1 & 0xFF
            self._parts.extend(fragment)
            if len(self._parts) > self._limit:
                self._parts = bytearray()
                raise RemoteProtocolError("a record longer than %d bytes" % self._limit)
            if not head & MORE:
                records.append((head, bytes(self._parts)))
                self._parts = bytearray()
        return records

    def _span(self) -> int:
        """Return how far the next number lies ahead of the oldest that is not acknowledged."""
        return self._seq - self._flying[0][0] & 0xFF if self._flying else 0

    def _wait(self) -> int:
        return min(self._again_ms, _AGAIN_NOISY_MS) if self._noisy_ms else self._again_ms

    def _head(self, kind: int) -> bytes:
        return bytes((kind, self.link >> 8, self.link & 0xFF))

    def _ack(self) -> bytes:
        early = 0
        for seq in self._early:
            early |= 1 << (seq - self._next & 0xFF) - 1
        return self._head(ACK) + bytes((self._next, early))


def link_of(body: bytes) -> int:
    """Return the connection that a packet belongs to, or -1 where it belongs to none."""
    if len(body) < 3 or body[0] & ~MORE > RESET:
        return -1
    return body[1] << 8 | body[2]


def is_fragment(body: bytes) -> bool:
    """Return whether a packet holds a fragment of a record."""
    kind = body[0] & ~MORE if body else 0
    return RECORD_CLASSICAL <= kind <= RECORD_DATA and (
        _HEAD <= len(body) <= _HEAD + FRAGMENT_MAX_BYTES
    )


def opens(body: bytes) -> bool:
    """Return whether a packet can be the first of a connection."""
    return (
        is_fragment(body) and body[0] & ~MORE in (RECORD_CLASSICAL, RECORD_HYBRID) and not body[3]
    )


def reset(link: int) -> bytes:
    """Return the packet that ends a connection; 0 stands for whichever there is."""
    return bytes((RESET, link >> 8, link & 0xFF))

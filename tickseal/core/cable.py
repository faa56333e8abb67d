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
#: three gets through where every twentieth byte is damaged. The very first goes alone until it is
#: answered, and before anything is known of the cable.
_FRAGMENT_BYTES = 64
_NOISY_FRAGMENT_BYTES = 12
_FIRST_FRAGMENT_BYTES = 1
#: A fragment that was not acknowledged within this time, ms, is sent again: three times as long as
#: the other end takes; on a clean cable twice as long each time that nothing at all is heard of it.
_AGAIN_LEAST_MS = 50
_AGAIN_LEAST_NOISY_MS = 15
_AGAIN_FIRST_MS = 120
_AGAIN_FIRST_NOISY_MS = 60
_AGAIN_MOST_MS = 400
#: A cable is noisy for so long after a packet was damaged or lost, ms, and where that was not the
#: first for longer than this, ms: one may be lost whenever a port is opened.
_NOISY_MS = 2000
_DOUBT_MS = 1000
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
        "_ack_due", "_again_ms", "_at", "_doubt_ms", "_early", "_flying", "_heard_ms", "_limit",
        "_next", "_noisy_ms", "_open", "_parts", "_queue", "_queued", "_room", "_sent", "_seq",
        "_silent", "link", "repeated",
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
        # To be sent: records, the first from byte _at on.
        self._queue: "list[tuple[int, bytes]]" = []
        self._at = 0
        self._queued = 0
        # Sent, in order: number, packet, when, how often, as the how manieth; -1 for lost.
        self._flying: "list[list[Any]]" = []
        self._seq = 0
        self._sent = 0
        self._open = not waits
        self._again_ms = 0
        # How often in a row time ran out without a sign of the other end.
        self._silent = 0
        self._noisy_ms = self._doubt_ms = 0
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

    @property
    def is_noisy(self) -> bool:
        """Whether packets came damaged, or did not come, of late."""
        return self._noisy_ms > 0

    def room(self, size: int) -> bool:
        """Return whether a record with a body of this size can be queued."""
        return self._queued + size <= self._room

    def queue(self, kind: int, body: bytes) -> bool:
        """Queue a record; return False, and do nothing, where there is no room for it."""
        if not self.room(len(body)):
            return False
        self._queued += len(body)
        self._queue.append((kind, body))
        return True

    def disturbed(self, now_ms: int) -> None:
        """Note that a packet came damaged, or was lost."""
        if now_ms < self._doubt_ms:
            self._noisy_ms = now_ms + _NOISY_MS
        self._doubt_ms = now_ms + _DOUBT_MS
        self._silent = 0

    def due(self, now_ms: int) -> "list[bytes]":
        """Return the bodies of the packets to send now."""
        if now_ms >= self._noisy_ms:
            self._noisy_ms = 0
        packets: "list[bytes]" = []
        if self._ack_due:
            self._ack_due = False
            # One of two gets through most noise, and saves sending what it acknowledges.
            packets += [self._ack()] * (2 if self._noisy_ms else 1)
        again_ms = self._wait()
        late = False
        for flown in self._flying:
            if flown[4] < 0 or now_ms - flown[2] >= again_ms:
                late = late or flown[4] >= 0
                self.repeated += 1
                self._send(flown, now_ms)
                packets.append(flown[1])
        if late:
            self._silent += 1
        if not self._flying:
            self._heard_ms = now_ms
        window = WINDOW if self._open else 1
        while self._queue and self._span() < window:
            packet = self._cut()
            cut: "list[Any]" = [self._seq, packet, 0, 0, 0]
            self._seq = self._seq + 1 & 0xFF
            self._flying.append(cut)
            self._send(cut, now_ms)
            packets.append(packet)
        return packets

    def wait_ms(self, now_ms: int) -> int:
        """Return in how many ms due() has something to do; -1 for not before something comes."""
        if self._ack_due or (self._queue and self._span() < (WINDOW if self._open else 1)):
            return 0
        if not self._flying:
            return -1
        due_ms = min([0 if flown[4] < 0 else flown[2] + self._wait() for flown in self._flying])
        return max(0, int(due_ms) - now_ms)

    def is_dead(self, now_ms: int) -> bool:
        """Return whether the other end has acknowledged nothing for too long."""
        return bool(self._flying) and now_ms - self._heard_ms >= DEAD_MS

    def acknowledged(self, body: bytes, now_ms: int) -> None:
        """Take in a packet of type ACK."""
        if len(body) != 5:
            return
        until, early = body[3], body[4]
        self._silent = 0
        newest = -1
        left = []
        for flown in self._flying:
            ahead = flown[0] - until & 0xFF
            if ahead < 0x80 and not (ahead and early >> ahead - 1 & 1):
                left.append(flown)
                continue
            newest = max(newest, flown[4])
            if flown[3] == 1:
                # Of one that was sent again it is not known which was answered.
                again = 3 * (now_ms - flown[2])
                self._again_ms = (self._again_ms + again) // 2 if self._again_ms else again
        if len(left) < len(self._flying):
            self._open = True
            self._heard_ms = now_ms
        self._flying = left
        # A cable keeps the order: what was sent before something that came is lost.
        lost = [flown for flown in left if 0 <= flown[4] < newest]
        for flown in lost:
            flown[4] = -1
        if lost:
            self.disturbed(now_ms)

    def received(self, body: bytes) -> "list[Record]":
        """Take in a packet with a fragment; return the records that it completes, in order.

        Raises:
            RemoteProtocolError: a record longer than is taken.
        """
        self._ack_due = True
        self._silent = 0
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
        """Return after how many ms a fragment is sent again."""
        if self._noisy_ms:
            wait = max(_AGAIN_LEAST_NOISY_MS, self._again_ms or _AGAIN_FIRST_NOISY_MS)
        else:
            wait = max(_AGAIN_LEAST_MS, self._again_ms or _AGAIN_FIRST_MS)
            wait <<= min(self._silent, 4)
        return min(wait, _AGAIN_MOST_MS)

    def _send(self, flown: "list[Any]", now_ms: int) -> None:
        self._sent += 1
        flown[2], flown[4] = now_ms, self._sent
        flown[3] += 1

    def _cut(self) -> bytes:
        """Return the packet with the next fragment."""
        kind, body = self._queue[0]
        most = _NOISY_FRAGMENT_BYTES if self._noisy_ms else _FRAGMENT_BYTES
        if kind <= RECORD_HYBRID:
            most = _NOISY_FRAGMENT_BYTES if self._at else _FIRST_FRAGMENT_BYTES
        fragment = body[self._at : self._at + most]
        self._queued -= len(fragment)
        self._at += len(fragment)
        if self._at < len(body):
            kind |= MORE
        else:
            self._queue.pop(0)
            self._at = 0
        return self._head(kind) + bytes((self._seq,)) + fragment

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

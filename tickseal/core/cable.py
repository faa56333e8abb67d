"""Records and segments on a serial cable: what is sent again, what is not (docs/protocol.md 6.6).

The same code runs at both ends, without I/O. Records (section 6.1) are cut into fragments, which
are numbered, acknowledged, and sent again until they are; live segments and text go once. The
device numbers its connections at random; the host answers what belongs to none with a reset.
"""

from tickseal.core.constants import RECORD_CLASSICAL, RECORD_CONTROL, RECORD_DATA, RECORD_HYBRID
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
#: Of a packet around its body: delimiters, COBS, CRC.
_AROUND_BYTES = 7

# --- Implementation ---
#: Bytes of record in one packet, on a clean cable and on a noisy one: of the short packets one in
#: three gets through where every twentieth byte is damaged. The very first goes alone.
_FRAGMENT_BYTES = 64
_NOISY_FRAGMENT_BYTES = 12
_FIRST_FRAGMENT_BYTES = 1
#: Bytes on a cable with such noise for each byte of a record, acknowledgements not counted.
_NOISY_COST = 8
#: How often a fragment goes in a row on a noisy cable, at most; all together no more than a window.
_COPIES = 4
#: Packets are handed to the port once the cable is free within so many ms: what waits there delays
#: acknowledgements, and is out of date when its turn comes.
_AHEAD_MS = 20
#: After the last packet has left, and nothing is acknowledged for so long, ms, all go again: at
#: first, at least, at least on a noisy cable, and at most.
_AGAIN_FIRST_MS = 60
_AGAIN_LEAST_MS = 50
_AGAIN_LEAST_NOISY_MS = 15
_AGAIN_MOST_MS = 400
#: The first fragment, of which nobody knows whether the cable is noisy, goes so often so many times
#: in a row, every so many ms; later half as often, then a quarter.
_OFFER_COPIES = 2
_OFFERS = 8
_OFFER_MS = 60
#: A cable is noisy for so long after a packet was damaged or lost, ms, and where that was not the
#: first for longer than this, ms: one may be lost whenever a port is opened.
_NOISY_MS = 2000
_DOUBT_MS = 1000
#: Nothing was acknowledged for so long, ms, however often it was sent: the other end is gone. A
#: host gives its board longer, which may have a handshake to work on.
DEAD_MS = 3000
DEVICE_DEAD_MS = 1400
_DEAD_ROUNDS = 3
#: A device that has heard nothing for so long, ms, asks for an acknowledgement.
_ASK_MS = 400


class Channel:
    """The records of one connection, in both directions.

    Args:
        link: the connection's number, u16.
        now_ms: a monotonic clock, ms; the same one in every later call.
        byte_us: what a byte takes on the cable, us.
        waits: whether this is the device's end: only one fragment goes until it is acknowledged,
            and after some silence it asks whether the other end is there.
        record_bytes: longest record that is taken.
        queue_bytes: most bytes of records that wait to be sent.
    Attributes:
        repeated: fragments sent again so far.
    """

    __slots__ = (
        "_ack_due", "_alive_ms", "_asks", "_at", "_byte_us", "_deviation", "_doubt_ms", "_early",
        "_flying", "_free_us", "_heard_ms", "_limit", "_mean", "_next", "_noisy_ms", "_open",
        "_parts", "_queue", "_queued", "_quiet_ms", "_room", "_sent", "_seq", "_silent", "link",
        "repeated",
    )  # fmt: skip

    def __init__(
        self,
        link: int,
        now_ms: int,
        *,
        byte_us: int = 1,
        waits: bool = False,
        record_bytes: int = 2048,
        queue_bytes: int = 4096,
    ) -> None:
        self.link = link
        self.repeated = 0
        self._limit, self._room = record_bytes, queue_bytes
        # To be sent: records, the first from byte _at on.
        self._queue: "list[tuple[int, bytes]]" = []
        self._at = self._queued = 0
        # Under way, in order: number, packet, when it had left first in its last round, rounds, as
        # the how manieth packet it went last, copies in this round: 0 where it is to be sent.
        self._flying: "list[list[Any]]" = []
        self._seq = self._sent = 0
        # From when on the cable is free.
        self._byte_us, self._free_us = byte_us, now_ms * 1000
        self._asks, self._open = waits, not waits
        # Of the time until an answer, RFC 6298's mean and deviation, in eighths and quarters.
        self._mean = self._deviation = 0
        # When the last fragment had left, or was acknowledged.
        self._quiet_ms = 0
        # How often in a row time ran out without a sign of the other end.
        self._silent = self._noisy_ms = self._doubt_ms = 0
        # Since when nothing was acknowledged that should have been; when anything was heard last.
        self._heard_ms = self._alive_ms = now_ms
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

    def due(self, now_ms: int, can_send: bool = True) -> "list[bytes]":
        """Return the bodies of the packets to send now: none where the port takes nothing."""
        if now_ms >= self._noisy_ms:
            self._noisy_ms = 0
        packets: "list[bytes]" = []
        if self._ack_due:
            self._alive_ms = now_ms
        if self._ack_due and can_send:
            self._ack_due = False
            # One of two gets through most noise, and saves sending what it acknowledges.
            packets += [self._ack()] * (2 if self._noisy_ms else 1)
            for ack in packets:
                self.occupy(now_ms, len(ack))
        if not self._flying:
            self._heard_ms = now_ms
            if self._asks and not self._queue and now_ms - self._alive_ms >= _ASK_MS:
                # As the beginning of a record that goes on with the next fragment.
                self._fly(self._head(RECORD_CONTROL | MORE) + bytes((self._seq,)))
        elif now_ms >= self._quiet_ms + self._wait():
            self._silent += 1
            for flown in self._flying:
                flown[5] = 0
        while can_send and self.is_free(now_ms):
            chosen = self._choose()
            if chosen is None:
                break
            packets.append(chosen[1])
            self._send(chosen, now_ms)
        return packets

    def lag_ms(self) -> int:
        """Return for how long a record that is queued now waits for its turn, if noise goes on."""
        return self._queued * self._byte_us * _NOISY_COST // 1000

    def is_free(self, now_ms: int, ahead_ms: int = _AHEAD_MS) -> bool:
        """Return whether what is handed to the port now leaves so soon."""
        return self._free_us < (now_ms + ahead_ms) * 1000

    def occupy(self, now_ms: int, size: int) -> None:
        """Note that a packet with a body of this size goes over the cable."""
        took = (size + _AROUND_BYTES) * self._byte_us
        self._free_us = max(self._free_us, now_ms * 1000) + took

    def wait_ms(self, now_ms: int) -> int:
        """Return in how many ms due() has something to do; -1 for not before something comes."""
        if self._ack_due:
            return 0
        if self._has_new() or self._below(self._copies()):
            return max(0, self._free_us // 1000 - _AHEAD_MS + 1 - now_ms)
        if self._flying:
            return max(0, self._quiet_ms + self._wait() - now_ms)
        return max(0, self._alive_ms + _ASK_MS - now_ms) if self._asks else -1

    def is_dead(self, now_ms: int) -> bool:
        """Return whether the other end has acknowledged nothing for too long."""
        if not self._flying or self._silent < _DEAD_ROUNDS:
            return False
        least = DEVICE_DEAD_MS if self._asks else DEAD_MS
        return now_ms - self._heard_ms >= max(least, 8 * self._answer_ms())

    def acknowledged(self, body: bytes, now_ms: int) -> None:
        """Take in a packet of type ACK."""
        if len(body) != 5:
            return
        self._alive_ms = now_ms
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
                self._measure(max(1, now_ms - flown[2]))
        if len(left) < len(self._flying):
            self._open = True
            self._heard_ms = self._quiet_ms = now_ms
        self._flying = left
        # A cable keeps the order: what was sent before something that came is lost.
        lost = [flown for flown in left if flown[5] and flown[4] < newest]
        for flown in lost:
            flown[5] = 0
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

    def _measure(self, took_ms: int) -> None:
        """Take in how long an answer took (RFC 6298 section 2)."""
        if not self._mean:
            self._mean, self._deviation = 8 * took_ms, 2 * took_ms
            return
        error = took_ms - self._mean // 8
        self._deviation += abs(error) - self._deviation // 4
        self._mean += error

    def _answer_ms(self) -> int:
        """Return within how many ms an answer comes almost always."""
        return self._mean // 8 + self._deviation if self._mean else _AGAIN_FIRST_MS

    def _wait(self) -> int:
        """Return after how many ms without an answer all is sent again."""
        if not self._open:
            return _OFFER_MS << min(self._silent // _OFFERS, 2)
        wait = self._answer_ms()
        if self._noisy_ms:
            return max(_AGAIN_LEAST_NOISY_MS, min(wait, _AGAIN_MOST_MS))
        return min(max(_AGAIN_LEAST_MS, wait) << min(self._silent, 4), _AGAIN_MOST_MS)

    def _choose(self) -> "list[Any] | None":
        """Return what goes next: what is to be sent again, what is new, copies against noise."""
        again = self._below(1)
        if again is None and self._has_new():
            return self._fly(self._cut())
        return again or self._below(self._copies())

    def _has_new(self) -> bool:
        return bool(self._queue) and self._span() < (WINDOW if self._open else 1)

    def _copies(self) -> int:
        """Return how often a fragment goes in one round."""
        if not self._open:
            return _OFFER_COPIES
        return min(_COPIES, WINDOW // max(1, len(self._flying))) if self._noisy_ms else 1

    def _below(self, copies: int) -> "list[Any] | None":
        for flown in self._flying:
            if flown[5] < copies:
                return flown
        return None

    def _send(self, flown: "list[Any]", now_ms: int) -> None:
        self.occupy(now_ms, len(flown[1]))
        self._quiet_ms = max(now_ms, self._free_us // 1000)
        self._sent += 1
        flown[4] = self._sent
        if not flown[5]:
            flown[2] = self._quiet_ms
            self.repeated += flown[3] > 0
            flown[3] += 1
        flown[5] += 1

    def _fly(self, packet: bytes) -> "list[Any]":
        flown: "list[Any]" = [self._seq, packet, 0, 0, 0, 0]
        self._seq = self._seq + 1 & 0xFF
        self._flying.append(flown)
        return flown

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


def byte_us(baudrate: int) -> int:
    """Return what a byte takes on a cable, us: ten bits with its start and its end."""
    return 10_000_000 // baudrate


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

"""What was sealed while the gateway was away: in memory, bounded, given up when it is stored.

Each outage begins a generation of its own, whose secret is sealed to the gateway (docs/protocol.md
section 6.4). The board cannot open what it has spooled any more than a thief can.
"""

from device import cborlite
from tickseal.core import constants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device.identity import Identity
    from device.prepared import Prepared
    from device.streams import Stream

_SECOND = 1_000_000_000
#: Half of what the compact header tells apart: the widest range of an announcement (section 4).
_TICKS_MOST = 1 << constants.TICK_BITS[constants.COMPACT] - 1
#: Room left for control messages and live segments.
_LEAVE_BYTES = 1000
#: What waits already is sent first, ms: so live segments never wait long for those of the past.
_LAG_MS = 100
#: Generations that wait at once.
_MOST = 8


class Outage:
    """One offline generation and its frames, oldest first: (number, tick, segments)."""

    __slots__ = (
        "accepted",
        "announced",
        "blob",
        "frames",
        "generation",
        "handle",
        "offered",
        "sent",
    )

    def __init__(self, handle: int, generation: int, blob: bytes) -> None:
        self.handle, self.generation, self.blob = handle, generation, blob
        self.frames: "list[tuple[int, int, list[bytes]]]" = []
        self.restart()

    def restart(self) -> None:
        """Forget what a session that has ended was told."""
        self.offered = self.accepted = False
        #: Frames below were sent in this session; ticks below were announced in it.
        self.sent = self.announced = 0


class Spool:
    """All that waits.

    Args:
        limit: most bytes of segments; the oldest frames make way.
    Attributes:
        dropped: frames that made way, or were too long to send, so far.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.outages: "list[Outage]" = []
        self.dropped = 0

    def begin(
        self,
        stream: "Stream",
        identity: "Identity",
        prepared: "Prepared",
        random_bytes: "Any",
        tai_ns: int,
    ) -> bool:
        """Begin a generation of a stream without the gateway; return whether there is one."""
        if not stream.handle or len(self.outages) >= _MOST or self._limit <= 0:
            return False
        from tickseal.core.noise import K_PSK0, HandshakeState

        taken = [stream.parameters["generation"]]
        taken += [one.generation for one in self.outages if one.handle == stream.handle]
        low = {number & 15 for number in taken}
        number = int.from_bytes(random_bytes(8), "big")
        while number & 15 in low:
            number = (number + 1) % (1 << 64)
        parameters = dict(stream.parameters)
        parameters["generation"], parameters["t0"] = number, tai_ns // _SECOND * _SECOND
        encoded = cborlite.encode(parameters)
        secret, salt = random_bytes(32), random_bytes(32)
        noise = HandshakeState(
            prepared,
            prepared.random_bytes,
            K_PSK0,
            initiator=True,
            prologue=constants.OFFLINE_PROLOGUE,
            private=identity.private,
            public=identity.public,
            peer_public=identity.gateway,
            psk=identity.psk,
        )
        content = {"handle": stream.handle, "metadata": stream.metadata, "parameters": encoded}
        content.update({"salt": salt, "secret": secret})
        blob = noise.write_message(cborlite.encode(content))
        noise.clear()
        self.outages.append(Outage(stream.handle, number, blob))
        return stream.begin(parameters, encoded, secret, salt, None)

    def add(self, generation: int, number: int, tick: int, segments: "list[bytes]") -> None:
        """Keep a frame; the oldest make way."""
        for outage in self.outages:
            if outage.generation == generation:
                outage.frames.append((number, tick, segments))
                self._size += _size(segments)
        while self._size > self._limit:
            for outage in self.outages:
                if outage.frames:
                    self._size -= _size(outage.frames.pop(0)[2])
                    self.dropped += 1
                    break

    def restart(self) -> None:
        """Note that a session has ended."""
        for outage in self.outages:
            outage.restart()

    def offered(self, handle: int, generation: int, accepted: bool) -> None:
        """Take in the gateway's answer to the oldest offer that is under way."""
        for outage in self.outages:
            if outage.offered and not outage.accepted:
                if accepted and outage.generation == generation:
                    outage.accepted = True
                else:
                    self._drop(outage)
                return

    def stored(self, handle: int, generation: int, until: int) -> None:
        """Give up what the gateway has on its disk."""
        for outage in self.outages:
            if outage.generation == generation and outage.handle == handle:
                while outage.frames and outage.frames[0][0] < until:
                    self._size -= _size(outage.frames.pop(0)[2])

    def offer(self, session: "Any", channel: "Any") -> bool:
        """Offer what waits, as far as there is room; return whether all has been offered.

        Before that no stream may be opened: the gateway chooses the number of a new generation
        unlike those that it knows of, and the header tells them apart by 4 bits.
        """
        for outage in self.outages:
            if not outage.offered:
                if not channel.room(len(outage.blob) + 64):
                    return False
                outage.offered = True
                session.send({"m": "offer", "blob": outage.blob})
        return True

    def work(self, session: "Any", channel: "Any", sealing: "list[int]") -> bool:
        """Do the next thing that brings the spool to the gateway; return whether there was one.

        Args:
            session: that runs.
            channel: that takes records.
            sealing: generations in which frames are still sealed.
        """
        for outage in self.outages:
            if not outage.accepted:
                return False
        for outage in self.outages:
            head = {"handle": outage.handle, "generation": outage.generation}
            for number, tick, segments in outage.frames:
                if number < outage.sent:
                    continue
                body = b"".join([len(one).to_bytes(2, "big") + one for one in segments])
                is_full = channel.lag_ms() > _LAG_MS or not channel.room(len(body) + _LEAVE_BYTES)
                if is_full and not channel.is_idle:
                    return False
                if tick >= outage.announced:
                    last = outage.frames[-1]
                    until = min(last[1] + 1, tick + _TICKS_MOST)
                    head.update({"m": "backfill", "ticks": [tick, until]})
                    head["frames"] = [number, last[0] + 1]
                    session.send(head)
                    outage.announced = until
                if not channel.queue(constants.RECORD_DATA, body):
                    self.dropped += 1
                outage.sent = number + 1
                return True
            if not outage.frames and outage.generation not in sealing:
                if not channel.room(_LEAVE_BYTES):
                    return False
                head["m"] = "backfilled"
                session.send(head)
                self._drop(outage)
                return True
        return False

    def _drop(self, outage: Outage) -> None:
        for _, _, segments in outage.frames:
            self._size -= _size(segments)
        self.outages.remove(outage)


def _size(segments: "list[bytes]") -> int:
    return sum([len(one) for one in segments])

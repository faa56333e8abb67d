"""GrantHolder: what a separate sink may open, from its first grant to its last (section 9)."""

import hmac
from collections.abc import Iterator, Sequence

from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import tick_start
from tickseal.sessions.events import GrantReceived
from tickseal.streams.accepting import Interval
from tickseal.streams.opening import Buffer
from tickseal.streams.parameters import Profile
from tickseal.streams.receiving import Frame, ReceivedGeneration, SegmentReceiver

#: Implementation: generations of one stream at once; a gateway that renews has two.
_GENERATIONS_MOST = 8


class GrantHolder:
    """The generations that a sink was granted, and the receivers that open their segments.

    Attributes:
        receiver: of all streams with the standard header. Each of the others has one of its own.
    """

    def __init__(self) -> None:
        self.receiver = SegmentReceiver()
        # By handle: a compact header holds a part of it, which is another stream's too.
        self._compact: dict[int, SegmentReceiver] = {}
        # When each generation's grant is over for its latest segment too, ns TAI.
        self._ends_ns: dict[tuple[int, int], int] = {}

    def take(self, grant: GrantReceived) -> ReceivedGeneration:
        """Hold a grant: begin its generation, or renew what is held of it.

        Raises:
            LocalProtocolError: it contradicts what is held: another stream under this handle or
                number, or another header profile.
        """
        generation = grant.generation
        handle, number = generation.handle, generation.number
        parameters = generation.parameters
        received = self.find(handle, number)
        if received is None:
            held = self.generations(handle)
            if len(held) >= _GENERATIONS_MOST:
                self.erase(handle, held[0].opener.generation.number)
            receiver = self.receiver
            if parameters.profile is Profile.COMPACT:
                receiver = self._compact.setdefault(handle, SegmentReceiver(Profile.COMPACT))
            received = receiver.install(generation, highest_frame=grant.frame_from - 1)
        elif not hmac.compare_digest(received.opener.generation.context, generation.context):
            raise LocalProtocolError(f"two grants of {generation!r} contradict each other")
        else:
            received.opener.renew(generation.walker.nodes())
        end_ns = tick_start(grant.ticks[1], parameters.t0_ns, parameters.interval_ns)
        self._ends_ns[handle, number] = end_ns + parameters.past_ns
        return received

    def receive(self, segments: Sequence[Buffer], now: Interval, handle: int = 0) -> list[Frame]:
        """Return the frames that segments complete; nothing is raised.

        Args:
            segments, handle: of SegmentsReceived.
        """
        receiver = self._compact.get(handle) if handle else self.receiver
        return receiver.receive(segments, now) if receiver else []

    def find(self, handle: int, number: int) -> ReceivedGeneration | None:
        """Return a generation that is held."""
        found = (receiver.find(handle, number) for receiver in self._receivers(handle))
        return next(filter(None, found), None)

    def generations(self, handle: int) -> list[ReceivedGeneration]:
        """Return the generations of a stream, the oldest first."""
        return [one for receiver in self._receivers(handle) for one in receiver.generations(handle)]

    def erase(self, handle: int, number: int) -> None:
        """Erase a generation; one that is not held is fine."""
        for receiver in self._receivers(handle):
            receiver.erase(handle, number)
        compact = self._compact.get(handle)
        if compact is not None and not compact.generations(handle):
            del self._compact[handle]
        self._ends_ns.pop((handle, number), None)

    def clear(self) -> None:
        """Erase everything."""
        for key in list(self._ends_ns):
            self.erase(*key)

    def expire(self, now: Interval) -> list[ReceivedGeneration]:
        """Erase and return the generations that are over, or not granted any more.

        Call about once a second.
        """
        ended = self.receiver.expire(now)
        for compact in self._compact.values():
            ended += compact.expire(now)
        for key, end_ns in list(self._ends_ns.items()):
            received = self.find(*key)
            if received is None:
                del self._ends_ns[key]
            elif now.earliest_ns > end_ns:
                self.erase(*key)
                ended.append(received)
        return ended

    def _receivers(self, handle: int) -> Iterator[SegmentReceiver]:
        yield self.receiver
        if handle in self._compact:
            yield self._compact[handle]

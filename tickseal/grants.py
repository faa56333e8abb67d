"""GrantHolder: what a separate sink may open, from its first grant to its last (section 9)."""

import hmac

from tickseal.accepting import Interval
from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import tick_start
from tickseal.events import GrantReceived
from tickseal.receiving import ReceivedGeneration, SegmentReceiver

#: Implementation: generations of one stream at once; a gateway that renews has two.
_GENERATIONS_MOST = 8


class GrantHolder:
    """The generations that a sink was granted, and the receiver that opens their segments.

    Attributes:
        receiver: give it the segments of SegmentsReceived.
    """

    def __init__(self) -> None:
        self.receiver = SegmentReceiver()
        # When each generation's grant is over for its latest segment too, ns TAI.
        self._ends_ns: dict[tuple[int, int], int] = {}

    def take(self, grant: GrantReceived) -> ReceivedGeneration:
        """Hold a grant: begin its generation, or renew what is held of it.

        Raises:
            LocalProtocolError: it contradicts what is held: another stream under this handle or
                number, or a header profile that is not the receiver's.
        """
        generation = grant.generation
        handle, number = generation.handle, generation.number
        parameters = generation.parameters
        received = self.receiver.find(handle, number)
        if received is None:
            held = self.receiver.generations(handle)
            if len(held) >= _GENERATIONS_MOST:
                self.erase(handle, held[0].opener.generation.number)
            received = self.receiver.install(generation, highest_frame=grant.frame_from - 1)
        elif not hmac.compare_digest(received.opener.generation.context, generation.context):
            raise LocalProtocolError(f"two grants of {generation!r} contradict each other")
        else:
            received.opener.renew(generation.walker.nodes())
        end_ns = tick_start(grant.ticks[1], parameters.t0_ns, parameters.interval_ns)
        self._ends_ns[handle, number] = end_ns + parameters.past_ns
        return received

    def erase(self, handle: int, number: int) -> None:
        """Erase a generation; one that is not held is fine."""
        self.receiver.erase(handle, number)
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
        for key, end_ns in list(self._ends_ns.items()):
            received = self.receiver.find(*key)
            if received is None:
                del self._ends_ns[key]
            elif now.earliest_ns > end_ns:
                self.erase(*key)
                ended.append(received)
        return ended

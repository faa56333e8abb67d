"""Budgets: what a device may send is counted, and who wants too much is told of once."""

import time
from collections.abc import Callable

from tickseal_gateway.alarms import Alarms
from tickseal_gateway.registry.limits import Limits

#: A device may be so far ahead of its rate, s: frames of a camera come in bursts.
_BURST_S = 2.0
#: Seconds without a frame, or a stream, too many after which the alarm is over.
_QUIET_S = 10
#: Lines of the log a second that one device may cause, and twice as many at once.
_LINES = Limits(frames_per_s=8)


class Meter:
    """Frames and bytes that may pass, filled up as time passes.

    Args:
        now_s: monotonic seconds.
    """

    __slots__ = ("_at_s", "_bytes", "_bytes_per_s", "_frames", "_frames_per_s", "_now_s")

    def __init__(self, limits: Limits, now_s: Callable[[], float] = time.monotonic) -> None:
        self._frames_per_s = limits.frames_per_s or float("inf")
        self._bytes_per_s = limits.bytes_per_s or float("inf")
        self._frames = self._frames_per_s * _BURST_S
        self._bytes = self._bytes_per_s * _BURST_S
        self._now_s = now_s
        self._at_s = now_s()

    def take(self, size: int) -> bool:
        """Count one frame; return False where it is too many."""
        now_s = self._now_s()
        passed_s, self._at_s = now_s - self._at_s, now_s
        frames, size_most = self._frames_per_s * _BURST_S, self._bytes_per_s * _BURST_S
        self._frames = min(frames, self._frames + passed_s * self._frames_per_s)
        self._bytes = min(size_most, self._bytes + passed_s * self._bytes_per_s)
        if self._frames < 1 or self._bytes <= 0:
            return False
        # A frame that is larger than all that is left is paid for by those after it.
        self._frames -= 1
        self._bytes -= size
        return True

    def pay(self, size: int) -> None:
        """Count more bytes of the frame that was taken last."""
        self._bytes -= size


class Budget:
    """What one device may send: counted once as frames, and once as segments, which come sealed.

    Attributes:
        denied: frames that were too many.
    """

    __slots__ = ("_frames", "_segments", "_stopped", "denied")

    def __init__(self, limits: Limits, now_s: Callable[[], float] = time.monotonic) -> None:
        self._frames, self._segments = Meter(limits, now_s), Meter(limits, now_s)
        # Streams whose frame under way is too much.
        self._stopped: set[int] = set()
        self.denied = 0

    def take(self, size: int) -> bool:
        """Count one frame; return False where it is too many."""
        if self._frames.take(size):
            return True
        self.denied += 1
        return False

    def passes(self, handle: int, segment_index: int, size: int) -> bool:
        """Count one segment of a stream, for those who take them sealed.

        A frame passes whole, or not at all.
        """
        if segment_index == 0:
            if self._segments.take(size):
                self._stopped.discard(handle)
            else:
                self._stopped.add(handle)
        elif handle not in self._stopped:
            self._segments.pay(size)
        return handle not in self._stopped


def make_budget(limits: Limits) -> Budget | None:
    """Return the budget of a device; None where its rate has no limit."""
    return Budget(limits) if limits.frames_per_s or limits.bytes_per_s else None


class Lines:
    """Lines of the log: a device that asks for ever for what it may not have must not fill it."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._meters: dict[int, Meter] = {}

    def take(self, device_id: int) -> bool:
        """Count one line of a device, by the registry's number; return False for one too many."""
        meter = self._meters.get(device_id)
        if meter is None:
            meter = self._meters[device_id] = Meter(_LINES, self._now_s)
        return meter.take(0)


class Overruns:
    """Says once, by an alarm, that a device wants more than it may have; and once that it is over.

    Args:
        alarms: where.
    """

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        # By kind and device: for how many seconds it has been quiet.
        self._quiet_s: dict[tuple[str, str], int] = {}

    def note(self, kind: str, device: str, detail: str) -> bool:
        """Note that a device wanted too much; return whether that is news."""
        is_news = (kind, device) not in self._quiet_s
        self._quiet_s[kind, device] = 0
        self._alarms.set(kind, device, detail)
        return is_news

    def tick(self) -> None:
        """Let alarms end once it has been quiet for long enough; call once a second."""
        for key in list(self._quiet_s):
            self._quiet_s[key] += 1
            if self._quiet_s[key] > _QUIET_S:
                self.forget(*key)

    def forget(self, kind: str, device: str) -> None:
        """Let an alarm end now."""
        if self._quiet_s.pop((kind, device), None) is not None:
            self._alarms.clear(kind, device)

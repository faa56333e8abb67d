"""Alarms: what people should know, raised once and cleared once, the latest kept."""

import logging
import time
from collections import deque
from dataclasses import dataclass

_logger = logging.getLogger(__name__)
#: Alarms that stand at once, and alarms of the past that are remembered.
_STANDING_MOST, _PAST_MOST = 256, 256


@dataclass(slots=True, kw_only=True)
class Alarm:
    """One alarm.

    Attributes:
        kind: one word: "clock", "two_devices", "store", ...
        device: whose it is; empty for the gateway's own.
        detail: for people.
        raised_ns, cleared_ns: ns since 1970 UTC; cleared_ns None while it stands.
    """

    kind: str
    device: str
    detail: str
    raised_ns: int
    cleared_ns: int | None = None

    def to_json(self) -> dict[str, object]:
        """Return what machines are told."""
        return {
            "kind": self.kind,
            "device": self.device,
            "detail": self.detail,
            "raised_ns": self.raised_ns,
            "cleared_ns": self.cleared_ns,
        }


class Alarms:
    """The alarms that stand, and those of the past."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str], Alarm] = {}
        self._past: deque[Alarm] = deque(maxlen=_PAST_MOST)

    def set(self, kind: str, device: str, detail: str) -> None:
        """Raise an alarm; where it stands already, only its detail is renewed."""
        standing = self._standing.get((kind, device))
        if standing is not None:
            standing.detail = detail
            return
        _logger.warning("alarm %s%s: %s", kind, f" of {device}" if device else "", detail)
        if len(self._standing) >= _STANDING_MOST:
            self.clear(*next(iter(self._standing)))
        self._standing[kind, device] = Alarm(
            kind=kind, device=device, detail=detail, raised_ns=time.time_ns()
        )

    def clear(self, kind: str, device: str) -> None:
        """Clear an alarm; one that does not stand is fine."""
        alarm = self._standing.pop((kind, device), None)
        if alarm is not None:
            alarm.cleared_ns = time.time_ns()
            self._past.append(alarm)
            _logger.info("alarm %s%s is over", kind, f" of {device}" if device else "")

    def clear_all(self, device: str) -> None:
        """Clear every alarm of a device."""
        for kind, whose in list(self._standing):
            if whose == device:
                self.clear(kind, whose)

    def standing(self) -> list[Alarm]:
        """Return the alarms that stand, the oldest first."""
        return list(self._standing.values())

    def past(self) -> list[Alarm]:
        """Return alarms that are over, the oldest first."""
        return list(self._past)

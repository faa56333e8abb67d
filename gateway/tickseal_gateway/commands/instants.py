"""Instants as people write them: 14:00, 2026-11-24T14:00, 5min ago, in 7d."""

import re
from datetime import UTC, date, datetime, time, timedelta

from tickseal.configuration.quantities import parse_duration
from tickseal.core.errors import ConfigError

_DAY = timedelta(days=1)
_SECOND = 1_000_000_000
_FORMS = "14:00, 2026-11-24T14:00, 2026-11-24T14:00:00Z, now, or a span such as 5min"
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?", re.ASCII)


def past_instant(text: str, now_ns: int, *, option: str) -> int:
    """Return the instant that a text means, looking back: ns since 1970 UTC.

    A time of day is the last one; a span is so long ago.

    Args:
        now_ns: ns since 1970 UTC.
        option: by which it was given, for the error.
    Raises:
        ConfigError: it is none.
    """
    return _instant(text, now_ns, option, ahead=False)


def coming_instant(text: str, now_ns: int, *, option: str) -> int:
    """Return the instant that a text means, looking ahead: ns since 1970 UTC.

    A time of day is the next one; a span is so long from now.

    Args, Raises: as of past_instant().
    """
    return _instant(text, now_ns, option, ahead=True)


def _instant(text: str, now_ns: int, option: str, *, ahead: bool) -> int:
    text = text.strip()
    if text == "now":
        return now_ns
    if _CLOCK.fullmatch(text):
        return _time_of_day(text, now_ns, option, ahead=ahead)
    try:
        span_ns = parse_duration(text)
    except ValueError:
        pass
    else:
        return now_ns + span_ns if ahead else now_ns - span_ns
    try:
        return _nanoseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{option} {text!r} is no instant; write {_FORMS}") from None


def _time_of_day(text: str, now_ns: int, option: str, *, ahead: bool) -> int:
    hours, _, rest = text.partition(":")
    try:
        wanted = time.fromisoformat(f"{int(hours):02d}:{rest}")
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no time of day; write {_FORMS}") from None
    today: date = datetime.fromtimestamp(now_ns / _SECOND, UTC).astimezone().date()
    if ahead:
        days = (today, today + _DAY)
        return next(at for day in days if (at := _on(day, wanted)) > now_ns or day != today)
    days = (today, today - _DAY)
    return next(at for day in days if (at := _on(day, wanted)) <= now_ns or day != today)


def _on(day: date, wanted: time) -> int:
    return _nanoseconds(datetime.combine(day, wanted))


def _nanoseconds(instant: datetime) -> int:
    # Without a zone it is local time.
    aware = instant.astimezone()
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1000

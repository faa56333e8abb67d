"""Room: keeps the store within its age and its size; the oldest go, and their space is given back.

The oldest are those that arrived first.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Any

from tickseal_gateway.ingest.quotas import Quota

_logger = logging.getLogger(__name__)
#: Often, so that each time there is little to delete.
_EVERY_S = 10.0
#: Counting what one device has costs more.
_QUOTAS_EVERY_S = 60.0
#: Readings deleted in one transaction at most: new ones wait for it.
_AT_ONCE = 20_000
#: More than the least goes, a hundredth of what is allowed, so that it is not each reading's work.
_SHARE = 100
#: Free pages that are kept for what comes, and most that are given back at once.
_SPARE_PAGES, _PAGES_AT_ONCE = 256, 4096
#: What a reading takes with its index at least; gaps in the numbers make it look like less.
_READING_BYTES = 64


class Room:
    """The bounds of one store; used on the store's thread.

    Args:
        retention_ns: how long readings are kept; 0 for ever.
        size_most: bytes of all that is kept; 0 for any size.
        quotas: asked, about once a minute, for those of single devices.
        over_quota: told the quota for which readings were removed.
    """

    def __init__(
        self,
        *,
        retention_ns: int = 0,
        size_most: int = 0,
        quotas: Callable[[], Iterable[Quota]] = tuple,
        over_quota: Callable[[Quota], None] = lambda _: None,
    ) -> None:
        self._retention_ns = retention_ns
        self._size_most = size_most
        self._quotas = quotas
        self._over_quota = over_quota
        self._next_s = time.monotonic() + _EVERY_S
        self._next_quotas_s = 0.0

    def make(self, connection: sqlite3.Connection) -> bool:
        """Remove what is too old, or too much; looks every few seconds.

        Returns:
            Whether series were removed: their numbers are of no use any more.
        """
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        dropped_series = False
        try:
            with connection:
                self._drop_old(connection)
                is_whole = self._drop_oldest(connection)
                if now_s >= self._next_quotas_s:
                    is_whole &= self._drop_over_quota(connection)
                    dropped_series = _drop_empty_series(connection)
                    self._next_quotas_s = now_s + (_QUOTAS_EVERY_S if is_whole else 0)
            _give_back(connection)
        except sqlite3.OperationalError as error:  # the next time, then
            _logger.debug("what is old stays for now: %s", error)
            is_whole = True
        # What is much goes in steps, between which readings are written.
        self._next_s = now_s + (_EVERY_S if is_whole else 0)
        return dropped_series

    def _drop_old(self, connection: sqlite3.Connection) -> None:
        if not self._retention_ns:
            return
        before_ns = time.time_ns() - self._retention_ns
        series = connection.execute("SELECT id FROM series").fetchall()
        connection.executemany(
            "DELETE FROM samples WHERE series = ? AND time_ns < ?",
            [(number, before_ns) for (number,) in series],
        )
        _drop_generations(connection, before_ns)

    def _drop_oldest(self, connection: sqlite3.Connection) -> bool:
        """Bring the whole within its size; return whether it is."""
        used = _used(connection)
        if not self._size_most or used <= self._size_most:
            return True
        first, last = connection.execute("SELECT min(number), max(number) FROM samples").fetchone()
        if first is None:
            return True
        wanted = used - self._size_most + self._size_most // _SHARE
        count = _readings_of(wanted, used, last - first + 1)
        connection.execute("DELETE FROM samples WHERE number < ?", (first + min(count, _AT_ONCE),))
        (oldest_ns,) = connection.execute(
            "SELECT time_ns FROM samples ORDER BY number LIMIT 1"
        ).fetchone() or (0,)
        if oldest_ns < time.time_ns():  # or else the clock of its device was wrong
            _drop_generations(connection, oldest_ns)
        return _used(connection) <= self._size_most

    def _drop_over_quota(self, connection: sqlite3.Connection) -> bool:
        """Bring each device within its own; return whether all are."""
        is_whole = True
        quotas = list(self._quotas())
        if not quotas:
            return is_whole
        series = connection.execute("SELECT id, stream FROM series").fetchall()
        first, last = connection.execute("SELECT min(number), max(number) FROM samples").fetchone()
        for quota in quotas:
            own = json.dumps([number for number, stream in series if stream in quota.streams])
            (count,) = connection.execute(
                "SELECT count(*) FROM samples WHERE series IN (SELECT value FROM json_each(?))",
                (own,),
            ).fetchone()
            if not count:
                continue
            most = _readings_of(quota.size_most, _used(connection), last - first + 1)
            if count <= most:
                continue
            too_many = count - most + most // _SHARE
            connection.execute(
                "DELETE FROM samples WHERE number IN (SELECT number FROM samples WHERE series IN"
                " (SELECT value FROM json_each(?)) ORDER BY number LIMIT ?)",
                (own, min(too_many, _AT_ONCE)),
            )
            self._over_quota(quota)
            is_whole &= too_many <= _AT_ONCE
        return is_whole


def _readings_of(size: int, used: int, count: int) -> int:
    """Return how many readings make so many bytes, where `used` bytes hold `count`."""
    return round(size / max(_READING_BYTES, used / count))


def _used(connection: sqlite3.Connection) -> int:
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _drop_generations(connection: sqlite3.Connection, before_ns: int) -> None:
    """Forget the counts of generations that ended before an instant, ns since 1970 UTC."""
    before = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(0, before_ns) // 1_000_000_000))
    connection.execute("DELETE FROM generations WHERE max(opened, last_frame) < ?", (before,))


def _drop_empty_series(connection: sqlite3.Connection) -> bool:
    """Forget series without a reading: a device that makes up names must not keep their room."""
    done = connection.execute(
        "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM samples WHERE series = series.id)"
    )
    return done.rowcount > 0


def _give_back(connection: sqlite3.Connection) -> None:
    """Give free pages back to the disk; a file of an earlier version fills them again instead."""
    too_many = _pragma(connection, "freelist_count") - _SPARE_PAGES
    if too_many > 0:
        pages = min(too_many, _PAGES_AT_ONCE)
        # Each step frees a page, and execute() would make one.
        connection.executescript(f"PRAGMA incremental_vacuum({pages});")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    found: Any = connection.execute(f"PRAGMA {name}").fetchone()
    return int(found[0])

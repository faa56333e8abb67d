"""The shelf: where recordings lie, by stream and hour, and how long."""

import calendar
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tickseal.core.errors import StoreError
from tickseal.host.logs import Once
from tickseal_gateway.ingest.quotas import Quota
from tickseal_gateway.recordings.files import INDEX_SUFFIX, SUFFIX, explained

_logger = logging.getLogger(__name__)
_SECOND = 1_000_000_000
_HOUR_S = 3600
#: TAI - UTC is under a minute: an hour's file is old only once its UTC hour is over, too.
_SLACK_NS = 60 * _SECOND
_EVERY_NS = 60 * _SECOND
#: What a file and its index take on a disk beyond their bytes, about: many small ones are not free.
FILE_BYTES = 8192
#: Hours further ahead than this have no clock that is right.
_AHEAD_NS = 24 * 3600 * _SECOND
_NAME = re.compile(r"(\d{8}T\d{2})\.rec")
_FOLDER = re.compile(r"[0-9a-f]{8}")


class Shelved(NamedTuple):
    """One recording file: the stream's handle and the hour of TAI, counted from 1970."""

    hour: int
    handle: int
    path: Path


def recording_path(folder: Path, handle: int, hour: int) -> Path:
    """Return where an hour of a stream lies: FOLDER/HANDLE/YYYYMMDDTHH.rec, the hour in TAI."""
    name = time.strftime("%Y%m%dT%H", time.gmtime(hour * _HOUR_S))
    return folder / f"{handle:08x}" / f"{name}{SUFFIX}"


def shelved(folder: Path) -> Iterator[Shelved]:
    """Yield all recordings below a folder, in no order.

    Raises:
        StoreError: the folder cannot be read.
    """
    with explained("read", folder):
        for place, _, names in os.walk(folder):
            if not _FOLDER.fullmatch(Path(place).name):
                continue
            for name in names:
                found = _NAME.fullmatch(name)
                if found:
                    hour = _hour(found[1])
                    if hour is not None:
                        yield Shelved(hour, int(Path(place).name, 16), Path(place, name))


def _hour(text: str) -> int | None:
    try:
        when = time.strptime(text, "%Y%m%dT%H")
    except ValueError:
        return None
    return calendar.timegm(when) // _HOUR_S


class Shelf:
    """Keeps the recordings within their time and size.

    Args:
        retention_ns: how long an hour is kept after its end; 0 for ever.
        size_most: bytes in all; the oldest hours go, of one hour the largest file first.
        quotas: asked, about once a minute, for those of single devices.
        over_quota: told the quota for which an hour was removed.
    Raises:
        StoreError: the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        retention_ns: int,
        size_most: int,
        quotas: Callable[[], Iterable[Quota]] = tuple,
        over_quota: Callable[[Quota], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self._quotas = quotas
        self._over_quota = over_quota
        self._retention_ns = retention_ns
        self._size_most = size_most
        self._next_look_ns = 0
        self._once = Once(_logger)
        self._sizes: dict[Path, int] = {}
        self._total = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in shelved(folder):
            self.count(found.path, found.path.stat().st_size)

    def count(self, path: Path, size: int) -> None:
        """Note that a file has grown."""
        if path not in self._sizes:
            size += FILE_BYTES
        self._sizes[path] = self._sizes.get(path, 0) + size
        self._total += size

    def drop_old(self, now_ns: int) -> list[Path]:
        """Remove what is too old, or too much, and return it; looks about once a minute.

        Args:
            now_ns: ns since 1970 UTC.
        """
        if now_ns < self._next_look_ns and self._total <= self._size_most:
            return []
        self._next_look_ns = now_ns + _EVERY_NS
        gone: list[Path] = []
        # What bears a time that has not come must not outlive all else: it is the first to go.
        ahead = recording_path(Path(), 0, (now_ns + _AHEAD_NS) // _SECOND // _HOUR_S).name
        # Of one hour the largest goes: the disk is bounded even where less than an hour fits, and a
        # camera does not cost all others theirs.
        by_age = sorted(
            self._sizes, key=lambda path: (path.name <= ahead, path.name, -self._sizes[path])
        )
        for path in by_age:
            found = _NAME.fullmatch(path.name)
            hour = _hour(found[1]) if found else None
            if hour is None:
                continue
            end_ns = (hour + 1) * _HOUR_S * _SECOND + _SLACK_NS
            is_old = self._retention_ns and now_ns > end_ns + self._retention_ns
            if not is_old and self._total <= self._size_most:
                if path.name > ahead:
                    continue
                break
            if not is_old and hour * _HOUR_S * _SECOND <= now_ns < end_ns:
                self._once.change(
                    "size", hour, logging.WARNING,
                    "[recordings] size, %d bytes, is less than an hour takes: what was recorded in "
                    "this hour goes already; allow more, or record fewer streams", self._size_most,
                )  # fmt: skip
            self._remove(path)
            gone.append(path)
        return gone + self._drop_over_quota()

    def _drop_over_quota(self) -> list[Path]:
        gone: list[Path] = []
        for quota in self._quotas():
            folders = {f"{handle:08x}" for handle in quota.handles}
            own = sorted(
                (path for path in self._sizes if path.parent.name in folders),
                key=lambda path: (path.name, path.parent.name),
            )
            total = sum(self._sizes[path] for path in own)
            newest = own[-1].name if own else ""
            for path in own:
                # The hour that is written now stays: without it nothing would be kept.
                if total <= quota.size_most or path.name == newest:
                    break
                total -= self._sizes[path]
                self._remove(path)
                gone.append(path)
            if own and own[0] in gone:
                self._over_quota(quota)
        return gone

    def _remove(self, path: Path) -> None:
        self._total -= self._sizes.pop(path)
        try:
            path.unlink(missing_ok=True)
            path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise StoreError(
                f"cannot remove the old recording {path}: {error.strerror}; see to its rights"
            ) from None

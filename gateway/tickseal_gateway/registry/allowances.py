"""Allowances: which sink may read which streams, and until when; on disk before it counts."""

import threading

import sqlalchemy as sa

from tickseal_gateway.registry import schema
from tickseal_gateway.registry.registered import Allowance, Device, RegistryError

#: Of one sink: each is looked at when a stream opens.
_MOST = 1000
_PATTERN_BYTES_MOST = 128
_FOR_EVER = (1 << 63) - 1


class Allowances:
    """What sinks may read, on disk and in memory.

    Args:
        engine, where, lock: the registry's own.
    Raises (every method that writes):
        StoreError: the database refuses; memory and disk are as before.
    """

    def __init__(self, engine: sa.Engine, where: str, lock: threading.Lock) -> None:
        self._engine = engine
        self._where = where
        self._lock = lock
        self._held: dict[int, dict[str, Allowance]] = {}
        with schema.explained("read", where), engine.connect() as connection:
            since = {
                (row["sink_id"], row["pattern"]): row["since_ns"]
                for row in connection.execute(schema.recalls.select()).mappings()
            }
            for row in connection.execute(schema.allowances.select()).mappings():
                since_ns = since.get((row["sink_id"], row["pattern"]))
                self._keep(Allowance(**row, since_ns=since_ns))

    def of(self, sink_id: int) -> list[Allowance]:
        """Return what a sink was allowed."""
        return list(self._held.get(sink_id, {}).values())

    def until(self, sink_id: int, stream_id: str, now_ns: int) -> int:
        """Return until when a sink may read a stream, ns since 1970 UTC; 0 where it may not.

        Args:
            now_ns: ns since 1970 UTC.
        """
        latest = 0
        for allowance in self._held.get(sink_id, {}).values():
            if allowance.covers(stream_id):
                until_ns = _FOR_EVER if allowance.until_ns is None else allowance.until_ns
                latest = max(latest, until_ns)
        return latest if latest > now_ns else 0

    def since(self, sink_id: int, stream_id: str, now_ns: int) -> int | None:
        """Return from when on a sink may read what was recorded; None where it may not.

        Args:
            now_ns: ns since 1970 UTC.
        """
        found = [
            allowance.since_ns
            for allowance in self._held.get(sink_id, {}).values()
            if allowance.since_ns is not None
            and allowance.covers(stream_id)
            and (allowance.until_ns is None or allowance.until_ns > now_ns)
        ]
        return min(found, default=None)

    def allow(
        self,
        sink: Device,
        pattern: str,
        until_ns: int | None = None,
        since_ns: int | None = None,
    ) -> Allowance:
        """Let a sink read; the same pattern again takes the place of the one before.

        Args:
            until_ns, since_ns: as of Allowance.
        Raises:
            RegistryError: the pattern is not allowed, or the sink has too many.
        """
        if not 1 <= len(pattern.encode()) <= _PATTERN_BYTES_MOST or not pattern.isprintable():
            raise RegistryError("a stream is 1 to 128 printable characters; * may stand at the end")
        allowance = Allowance(
            sink_id=sink.id, pattern=pattern, until_ns=until_ns, since_ns=since_ns
        )
        with self._lock:
            known = self._held.get(sink.id, {})
            if pattern not in known and len(known) >= _MOST:
                raise RegistryError(
                    f"{sink.name!r} has {_MOST} allowances: allow a beginning with * instead"
                )
            values = {"sink_id": sink.id, "pattern": pattern}
            with schema.explained("write to", self._where), self._engine.begin() as connection:
                self._delete(connection, sink.id, pattern)
                rows = {**values, "until_ns": until_ns}
                connection.execute(schema.allowances.insert().values(rows))
                if since_ns is not None:
                    rows = {**values, "since_ns": since_ns}
                    connection.execute(schema.recalls.insert().values(rows))
            self._keep(allowance)
        return allowance

    def disallow(self, sink: Device, pattern: str) -> None:
        """Take an allowance back.

        Raises:
            RegistryError: there is no such allowance.
        """
        with self._lock:
            known = self._held.get(sink.id, {})
            if pattern not in known:
                allowed = ", ".join(sorted(known)) or "nothing"
                raise RegistryError(f"{sink.name!r} was not allowed {pattern!r}; it may: {allowed}")
            with schema.explained("write to", self._where), self._engine.begin() as connection:
                self._delete(connection, sink.id, pattern)
            del known[pattern]

    def _delete(self, connection: sa.Connection, sink_id: int, pattern: str) -> None:
        for table in (schema.allowances, schema.recalls):
            connection.execute(
                table.delete().where(table.c.sink_id == sink_id, table.c.pattern == pattern)
            )

    def _keep(self, allowance: Allowance) -> None:
        self._held.setdefault(allowance.sink_id, {})[allowance.pattern] = allowance

"""OfflineGenerations: how far each generation that was begun offline is stored, on disk first."""

import threading
from collections.abc import Callable

import sqlalchemy as sa

from tickseal_gateway.registry import schema
from tickseal_gateway.registry.registered import OfflineGeneration

#: Of one stream: more than a device keeps (48) and a gateway holds (64). Older ones are forgotten,
#: as nobody has them to offer, and a gateway would remember more with each outage for ever.
MOST = 256


class OfflineGenerations:
    """What is remembered of offline generations, so that no frame of them is opened twice.

    Args:
        engine, where, lock: the registry's own.
        now_ns: the time, ns since 1970 UTC.
    """

    def __init__(
        self, engine: sa.Engine, where: str, lock: threading.Lock, now_ns: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._where = where
        self._lock = lock
        self._now_ns = now_ns
        # By handle and number, the latest last.
        self._held: dict[int, dict[int, OfflineGeneration]] = {}
        with schema.explained("read", where), engine.connect() as connection:
            rows = connection.execute(schema.offline.select().order_by("offered_ns")).mappings()
            for row in rows:
                number = int(row["number"], 16)
                self._held.setdefault(row["handle"], {})[number] = OfflineGeneration(
                    handle=row["handle"],
                    number=number,
                    stored_until=row["stored_until"],
                    is_finished=row["is_finished"],
                )

    def get(self, handle: int, number: int) -> OfflineGeneration | None:
        """Return what is known of one; None where it was never offered, or long ago."""
        return self._held.get(handle, {}).get(number)

    def keep(self, generation: OfflineGeneration) -> None:
        """Remember how far one is stored; the oldest of its stream make room.

        Raises:
            StoreError: the database refuses; memory and disk are as before.
        """
        table = schema.offline
        values = {"stored_until": generation.stored_until, "is_finished": generation.is_finished}
        with self._lock:
            held = self._held.setdefault(generation.handle, {})
            known = [*held] if generation.number in held else [*held, generation.number]
            forgotten = known[:-MOST]
            of_stream = table.c.handle == generation.handle
            with (
                schema.explained("write to", self._where),
                self._engine.begin() as connection,
            ):
                if generation.number in held:
                    number = table.c.number == _text(generation.number)
                    connection.execute(table.update().where(of_stream, number).values(values))
                else:
                    connection.execute(
                        table.insert().values(
                            handle=generation.handle,
                            number=_text(generation.number),
                            offered_ns=self._now_ns(),
                            **values,
                        )
                    )
                if forgotten:
                    old = table.c.number.in_(map(_text, forgotten))
                    connection.execute(table.delete().where(of_stream, old))
            held[generation.number] = generation
            for old_one in forgotten:
                del held[old_one]


def _text(number: int) -> str:
    return f"{number:016x}"

"""The store's tables, and how those of earlier versions become them."""

import sqlite3

from tickseal.core import constants

_SERIES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL,
    unit TEXT NOT NULL, UNIQUE (device, stream, name, unit)
);
"""
_SAMPLES = """
-- Numbered in the order of their arrival, never twice: by that outputs catch up.
-- A backfilled frame that comes again after a crash replaces itself.
CREATE TABLE samples (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    series INTEGER NOT NULL REFERENCES series (id), time_ns INTEGER NOT NULL,
    frame INTEGER NOT NULL, value, tick INTEGER NOT NULL, generation TEXT NOT NULL,
    flags INTEGER NOT NULL, UNIQUE (series, time_ns, frame)
);
"""
_GENERATIONS = """
CREATE TABLE generations (
    handle INTEGER NOT NULL, generation TEXT NOT NULL, device TEXT NOT NULL, stream TEXT NOT NULL,
    opened TEXT NOT NULL, last_frame TEXT NOT NULL, frames INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, missing INTEGER NOT NULL, refusals TEXT NOT NULL,
    PRIMARY KEY (handle, generation)
);
"""
_DELIVERED = """
-- Up to which number each output has got the samples.
CREATE TABLE delivered (output TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
_READINGS = f"""
CREATE VIEW readings AS SELECT
    strftime('%Y-%m-%dT%H:%M:%f', time_ns / 1e9, 'unixepoch') || 'Z' AS time,
    device, stream, name, value, nullif(unit, '') AS unit, time_ns, tick, frame, generation,
    (flags & {constants.FLAG_BACKFILL}) != 0 AS backfilled,
    (flags & {constants.FLAG_HOLDOVER}) != 0 AS clock_in_holdover
    FROM samples JOIN series ON series.id = samples.series;
"""  # noqa: S608 - its only values are constants
_JOURNAL_BYTES = 16 << 20
#: What leads to each version from the one before.
_STEPS = {
    0: _SERIES + _SAMPLES + _GENERATIONS + _DELIVERED + _READINGS,
    1: f"""
        DROP VIEW readings;
        ALTER TABLE samples RENAME TO samples_1;
        {_SAMPLES}
        INSERT INTO samples (series, time_ns, frame, value, tick, generation, flags)
            SELECT series, time_ns, frame, value, tick, generation, flags FROM samples_1
            ORDER BY time_ns;
        DROP TABLE samples_1;
        {_DELIVERED}
        {_READINGS}
    """,  # noqa: S608 - its only values are constants
}
VERSION = 2


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or turn those of an earlier version into them; nothing is lost.

    Raises:
        sqlite3.Error: a disk or a file that does not serve, or a newer version's tables.
    """
    # FULL: what a device is told to be stored must outlive a power cut.
    # Free pages can be given back only where that is said before the first table; and the journal
    # is cut back after a large transaction.
    for pragma in (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"journal_size_limit={_JOURNAL_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.OperationalError(f"it was made by a newer tickseal (version {version})")
    if version < VERSION:
        step = _STEPS[version]
        connection.executescript(f"BEGIN; {step} PRAGMA user_version = {VERSION}; COMMIT;")

"""The registry's tables, how they came to be, and the engine that opens them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError

from tickseal.core.errors import StoreError
from tickseal.sessions.control import Role
from tickseal_gateway.registry.limits import Limits


class _RoleText(sa.TypeDecorator[Role]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Role | None, _dialect: object) -> str | None:
        return value.value if value else None

    def process_result_value(self, value: str | None, _dialect: object) -> Role | None:
        return Role(value) if value else None


class _TagsText(sa.TypeDecorator[tuple[str, ...]]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _dialect: object) -> str | None:
        return " ".join(value) if value is not None else None

    def process_result_value(self, value: str | None, _dialect: object) -> tuple[str, ...] | None:
        return tuple(value.split()) if value is not None else None


class _LimitsText(sa.TypeDecorator[Limits]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Limits | None, _dialect: object) -> str | None:
        return value.encode() if value is not None else None

    def process_result_value(self, value: str | None, _dialect: object) -> Limits | None:
        return Limits.decode(value) if value is not None else None


_tables = sa.MetaData()

schema = sa.Table("schema_version", _tables, sa.Column("version", sa.Integer, nullable=False))
devices = sa.Table(
    "devices",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("static_public", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("psk", sa.LargeBinary(32), nullable=False),
    sa.Column("hybrid", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("enrolled_ns", sa.BigInteger, nullable=False),
    sa.Column("role", _RoleText, nullable=False),
    sa.Column("tags", _TagsText, nullable=False),
    sa.Column("limits", _LimitsText, nullable=False),
)
streams = sa.Table(
    "streams",
    _tables,
    sa.Column("handle", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("metadata", sa.LargeBinary, nullable=False),
    sa.Column("is_retired", sa.Boolean, nullable=False),
    sa.Column("opened_ns", sa.BigInteger, nullable=False),
)
#: Generations that were begun offline, for good: none is opened twice from the same frame on.
#: Numbers are 16 hexadecimal digits, as u64 fits no integer of SQLite or PostgreSQL.
offline = sa.Table(
    "offline_generations",
    _tables,
    sa.Column("handle", sa.ForeignKey("streams.handle"), primary_key=True),
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("stored_until", sa.BigInteger, nullable=False),
    sa.Column("is_finished", sa.Boolean, nullable=False),
    sa.Column("offered_ns", sa.BigInteger, nullable=False),
)
invites = sa.Table(
    "invites",
    _tables,
    sa.Column("id", sa.LargeBinary(8), primary_key=True),
    sa.Column("secret", sa.LargeBinary(32), nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("hybrid", sa.Boolean, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("bound_key", sa.LargeBinary(32)),
    sa.Column("used_ns", sa.BigInteger),
    sa.Column("role", _RoleText, nullable=False),
)
#: What sinks may read.
allowances = sa.Table(
    "allowances",
    _tables,
    sa.Column("sink_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("pattern", sa.Text, primary_key=True),
    sa.Column("until_ns", sa.BigInteger),
)
#: From when on they may read what was recorded of that.
recalls = sa.Table(
    "recalls",
    _tables,
    sa.Column("sink_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("pattern", sa.Text, primary_key=True),
    sa.Column("since_ns", sa.BigInteger, nullable=False),
)

#: Statements that lead from version n to n + 1, at index n - 1; a new database starts at the last.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "ALTER TABLE devices ADD COLUMN role TEXT NOT NULL DEFAULT 'source'",
        "ALTER TABLE invites ADD COLUMN role TEXT NOT NULL DEFAULT 'source'",
    ),
    (),  # recalls came to be
    (
        "ALTER TABLE devices ADD COLUMN tags TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE devices ADD COLUMN limits TEXT NOT NULL DEFAULT '{}'",
    ),
)
VERSION = 1 + len(MIGRATIONS)


@contextlib.contextmanager
def explained(doing: str, where: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that says what to do; no values are shown."""
    try:
        yield
    except OperationalError as error:
        text = str(error.orig).lower()
        if "locked" in text:
            step = "another program holds it: close that program"
        elif "full" in text:
            step = "the disk is full: make room"
        elif "readonly" in text or "unable to open" in text:
            step = "give this user the right to write there"
        else:
            step = "check the disk and the database"
        raise StoreError(f"cannot {doing} {where}: {error.orig}; {step}") from None
    except DatabaseError as error:
        raise StoreError(
            f"cannot {doing} {where}: {error.orig}; if the file is damaged, put it back from a "
            "backup"
        ) from None
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else type(error).__name__
        raise StoreError(f"cannot {doing} {where}: {cause}") from None


def open_engine(url: str, path: Path) -> sa.Engine:
    """Return the engine of a URL, or of SQLite at a path where it is empty; the tables are there.

    Raises:
        StoreError: it cannot be opened, is damaged, or was made by a newer version.
    """
    where = "the registry" if url else str(path)
    if not url:
        with contextlib.suppress(OSError):  # SQLite says it better
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            path.chmod(0o600)
    with explained("open", where):
        try:
            engine = sa.create_engine(url or f"sqlite:///{path}", hide_parameters=True)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"the registry's URL needs the package {error.name}: pip install {error.name}"
            ) from None
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
        _migrate(engine, where)
    return engine


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined] # a sqlite3.Connection
    # What was answered to a device must be on the disk: FULL, not WAL's usual NORMAL.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=2000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: sa.Engine, where: str) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            report = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar()
            if report != "ok":
                raise StoreError(f"{where} is damaged ({report}); put it back from a backup")
        _tables.create_all(connection)
        version = connection.execute(sa.select(schema.c.version)).scalar()
        if version is None:
            connection.execute(schema.insert().values(version=VERSION))
            return
        if version > VERSION:
            raise StoreError(
                f"{where} was made by a newer tickseal (schema {version}, known is {VERSION}): "
                "update tickseal"
            )
        for statements in MIGRATIONS[version - 1 :]:
            for statement in statements:
                connection.execute(sa.text(statement))
        connection.execute(schema.update().values(version=VERSION))

"""A PostgreSQL server of a test's own, as Debian packages it; or one that is named."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: The URL of an empty database, in place of a server that is started here.
NAMED = "TICKSEAL_TEST_REGISTRY"
_USER = "postgres"


def hindrance() -> str:
    """Why there can be no server; empty where there can."""
    if NAMED in os.environ:
        return ""
    if _programs() is None:
        return f"needs Debian's package postgresql, or {NAMED}: the URL of an empty database"
    try:
        import psycopg  # noqa: F401, PLC0415 - only whether it is there
    except ImportError as error:
        return f"needs psycopg ({error})"
    return ""


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def database() -> Iterator[str]:
    """Yield the URL of an empty database; it listens on a socket in a folder, and no port."""
    if NAMED in os.environ:
        yield os.environ[NAMED]
        return
    programs = _programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="tickseal-pg-"))
    # PostgreSQL refuses to be root.
    become = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []

    def run(*arguments: object) -> None:
        subprocess.run(
            [*become, *map(str, arguments)], check=True, cwd="/", stdout=subprocess.DEVNULL
        )

    try:
        if become:
            shutil.chown(folder, _USER)
        run(programs / "initdb", "-D", folder / "data", "-U", _USER, "-A", "trust", "-N")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control = (programs / "pg_ctl", "-D", folder / "data", "-w")
        run(*control, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{_USER}@/postgres?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Requests and stand-in images; packages come from no index here."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tickseal_edge.boards import load_boards
from tickseal_edge.image import wheels
from tickseal_edge.image.contents import system_file
from tickseal_edge.image.progress import Progress
from tickseal_edge.image.request import Request, read_config

from tickseal.invite import InviteToken

INVITE = InviteToken(
    addresses=("192.0.2.1:4710",),
    gateway_public=bytes(range(32)),
    hybrid=True,
    invite_id=b"12345678",
    secret=b"s" * 32,
).encode()


@pytest.fixture
def quiet() -> Progress:
    """Progress that says nothing."""
    return Progress(quiet=True)


@pytest.fixture
def make_request(tmp_path: Path) -> Any:
    """Make a request for a Pi 4, with changes; `config` is the text of an edge.toml."""

    def make(*, config: str | None = None, board: str = "rpi4", **changes: Any) -> Request:
        path = None
        if config is not None:
            path = tmp_path / "edge.toml"
            path.write_text(config)
        profile = load_boards()[board]
        text, settings = read_config(path, system_file("edge.toml"), profile)
        return Request(
            board=profile, board_name=board, config_text=text, config=settings,
            **{"invite": INVITE, **changes},
        )  # fmt: skip

    return make


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Take two small files for the packages; return what was wanted, each time."""
    asked: list[list[str]] = []

    def collect(wanted: list[str], *_: object, **__: object) -> Path:
        asked.append(wanted)
        return tmp_path

    def install(_wanted: object, _python: object, _wheels: object, packages: Path) -> bool:
        (packages / "tickseal").mkdir(parents=True)
        (packages / "tickseal" / "__init__.py").write_text('"""tickseal."""\n')
        (packages / "tickseal" / "data with spaces.txt").write_text("x" * 10_000)
        return True

    monkeypatch.setattr(wheels, "collect", collect)
    monkeypatch.setattr(wheels, "install", install)
    return asked


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder in memory: images are flushed to disk, for which no test need wait."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)

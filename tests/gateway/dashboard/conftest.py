"""The page's routes over a made-up gateway, asked by starlette's client."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_view import FakeView
from starlette.testclient import TestClient
from tickseal_gateway.dashboard import accounts as accounts_module
from tickseal_gateway.dashboard.accounts import Accounts
from tickseal_gateway.dashboard.app import Application
from tickseal_gateway.dashboard.history import History

from tickseal.host.state import StateDirectory


@pytest.fixture(autouse=True)
def cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a password cost a thousandth of what it does, but where the cost itself is tested."""
    if "real_cost" not in request.fixturenames:
        monkeypatch.setattr(accounts_module, "_SCRYPT_N", 1 << 6)


@pytest.fixture
def real_cost() -> None:
    """Passwords cost what they do outside of tests."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory.open(tmp_path / "state") as directory:
        yield directory


@pytest.fixture
def view() -> FakeView:
    return FakeView()


@pytest.fixture
def accounts(state: StateDirectory) -> Accounts:
    return Accounts(state)


@pytest.fixture
def first_passwords() -> list[str]:
    """Grows when a first password is made."""
    return []


@pytest.fixture
def browser(
    view: FakeView, accounts: Accounts, first_passwords: list[str]
) -> Callable[[], TestClient]:
    """Makes browsers that have never been here."""
    application = Application(
        view,
        accounts,
        History(None),
        is_tls=False,
        stopping=asyncio.Event(),
        on_first_password=lambda: first_passwords.append("made"),
    ).asgi(("page.example",))
    return lambda: TestClient(application, base_url="http://127.0.0.1:4780")

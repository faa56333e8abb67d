"""Passwords, the token of a start, sessions: who gets in, how often one may guess."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tickseal_gateway.dashboard.accounts import AccessError, Accounts, TooManyAttemptsError

from tickseal.core.errors import StoreError
from tickseal.host.state import StateDirectory

GOOD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_password_lets_in_and_another_does_not(state: StateDirectory) -> None:
    async def main() -> None:
        accounts = Accounts(state)
        cookie = await accounts.set_password(GOOD, current="", site="a")
        assert accounts.session(cookie) is not None
        again = await accounts.log_in(password=GOOD, site="a")
        assert accounts.session(again) is not None
        for wrong in ("", GOOD + "!", GOOD[:-1], GOOD.upper()):
            with pytest.raises(AccessError, match="not the password"):
                await accounts.log_in(password=wrong, site=wrong)

    run(main())


def test_the_disk_holds_a_salted_hash_that_only_its_owner_reads(state: StateDirectory) -> None:
    run(Accounts(state).set_password(GOOD, current="", site="a"))
    file = state.path / "page" / "password.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert GOOD not in file.read_text()
    first = json.loads(file.read_text())
    run(Accounts(state).set_password(GOOD, current=GOOD, site="a"))
    second = json.loads(file.read_text())
    assert first["salt"] != second["salt"]
    assert first["key"] != second["key"]


@pytest.mark.usefixtures("real_cost")
def test_a_password_outlives_the_process(state: StateDirectory) -> None:
    run(Accounts(state).set_password(GOOD, current="", site="a"))

    async def later() -> None:
        accounts = Accounts(state)
        assert accounts.has_password
        await accounts.log_in(password=GOOD, site="a")

    run(later())


def test_a_damaged_password_file_locks_up_and_does_not_open_up(state: StateDirectory) -> None:
    for damaged in (b"", b"{}", b'{"kdf": "scrypt", "n": 2}', b"\xff"):
        state.write("page/password.json", damaged)
        with pytest.raises(StoreError, match="delete it"):
            Accounts(state)


def test_the_token_works_until_there_is_a_password(state: StateDirectory) -> None:
    async def main() -> None:
        accounts = Accounts(state)
        cookie = accounts.log_in_by_token(accounts.token, "a")
        assert accounts.session(cookie) is not None
        with pytest.raises(AccessError, match="earlier start"):
            accounts.log_in_by_token("x" * 24, "a")
        await accounts.set_password(GOOD, current="", site="a")
        assert accounts.session(cookie) is None, "a new password ends every session"
        with pytest.raises(AccessError, match="log in with it"):
            accounts.log_in_by_token(accounts.token, "b")

    run(main())


def test_changing_a_password_needs_the_one_so_far(state: StateDirectory) -> None:
    async def main() -> None:
        accounts = Accounts(state)
        await accounts.set_password(GOOD, current="", site="a")
        with pytest.raises(AccessError):
            await accounts.set_password("another password", current="guess", site="a")
        await accounts.log_in(password=GOOD, site="a")

    run(main())


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
def test_a_password_is_neither_short_nor_endless(state: StateDirectory, password: str) -> None:
    with pytest.raises(AccessError, match="10 to 256"):
        run(Accounts(state).set_password(password, current="", site="a"))


def test_guessing_is_slow_for_one_site_and_not_for_others(state: StateDirectory) -> None:
    clock = Clock()

    async def main() -> None:
        accounts = Accounts(state, clock)
        for _ in range(5):
            with pytest.raises(AccessError, match="earlier start"):
                accounts.log_in_by_token("guess", "a")
        with pytest.raises(TooManyAttemptsError, match=r"wait 1\d s"):
            accounts.log_in_by_token(accounts.token, "a")
        accounts.log_in_by_token(accounts.token, "b")
        clock.now_s += 13
        accounts.log_in_by_token(accounts.token, "a")

    run(main())


def test_what_is_remembered_of_guessers_is_bounded(state: StateDirectory) -> None:
    accounts = Accounts(state, Clock())
    for site in range(5000):
        with pytest.raises(AccessError):
            accounts.log_in_by_token("guess", str(site))
    assert len(accounts._attempts._left) <= 1024


def test_many_guesses_at_once_do_not_fill_the_memory(state: StateDirectory) -> None:
    async def main() -> None:
        accounts = Accounts(state)
        await accounts.set_password(GOOD, current="", site="a")
        outcomes = await asyncio.gather(
            *(accounts.log_in(password="guess guess", site=str(n)) for n in range(30)),
            return_exceptions=True,
        )
        busy = [each for each in outcomes if isinstance(each, TooManyAttemptsError)]
        assert len(busy) == 22
        assert len(outcomes) == 30

    run(main())


def test_sessions_end_when_they_are_idle_or_old(state: StateDirectory) -> None:
    clock = Clock()
    accounts = Accounts(state, clock)
    cookie = accounts.log_in_by_token(accounts.token, "a")
    clock.now_s += 11.9 * 3600
    assert accounts.session(cookie) is not None
    clock.now_s += 12.1 * 3600
    assert accounts.session(cookie) is None
    cookie = accounts.log_in_by_token(accounts.token, "a")
    for _ in range(15):
        clock.now_s += 11 * 3600
        accounts.session(cookie)
    assert accounts.session(cookie) is not None
    clock.now_s += 11 * 3600
    assert accounts.session(cookie) is None, "after a week one logs in again"


def test_nothing_secret_is_in_a_repr(state: StateDirectory, tmp_path: Path) -> None:
    accounts = Accounts(state)
    session = accounts.session(accounts.log_in_by_token(accounts.token, "a"))
    assert session is not None
    assert accounts.token not in repr(accounts)
    assert session.csrf not in repr(session)

"""Who may look and who may command: one password, a token of this start, and sessions in memory.

Until a password is made, only this machine is listened to: whoever is on it may look, and whoever
knows the token of this start, which is shown where the gateway was started, may command too. The
first password ends the token's use; from then on nothing is shown without a session.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tickseal.core.errors import StoreError, TicksealError
from tickseal.host.state import StateDirectory

_logger = logging.getLogger(__name__)

_FILE = "page/password.json"
# RFC 7914; 64 MiB and about a fifth of a second: OWASP's second choice beside Argon2.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P, _SCRYPT_BYTES = 1 << 16, 8, 1, 32
#: Characters of a password.
PASSWORD_SHORTEST, PASSWORD_LONGEST = 10, 256
#: Sessions at once; the one that was not used for longest gives way.
_SESSIONS_MOST = 64
_IDLE_S, _LIFE_S = 12 * 3600.0, 7 * 24 * 3600.0
#: Attempts of one site: so many at once, then one in so many seconds.
_BURST, _ATTEMPT_EVERY_S = 5, 12.0
_SITES_MOST = 1024
#: Attempts that may wait for the one that is computed.
_WAITING_MOST = 8


class AccessError(TicksealError):
    """Not with this password or token, or not so often."""


class TooManyAttemptsError(AccessError):
    """Wait before the next attempt."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser that may command.

    Attributes:
        csrf: what its commands must show beside the cookie.
    """

    csrf: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    opened_s: float
    used_s: float


class Attempts:
    """Counts attempts by site, so that guessing is slow; bounded in memory."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, site: str) -> None:
        """Use one attempt up.

        Raises:
            TooManyAttemptsError: none is left for now.
        """
        now = self._now_s()
        left, since = self._left.pop(site, (float(_BURST), now))
        left = min(_BURST, left + (now - since) / _ATTEMPT_EVERY_S)
        self._left[site] = (left - (left >= 1), now)
        if len(self._left) > _SITES_MOST:
            self._left.popitem(last=False)
        if left < 1:
            wait_s = round((1 - left) * _ATTEMPT_EVERY_S) + 1
            raise TooManyAttemptsError(f"too many attempts from here: wait {wait_s} s")

    def forgive(self, site: str) -> None:
        """Forget a site's attempts: one was right."""
        self._left.pop(site, None)


class Accounts:
    """The password, this start's token, and the sessions.

    Args:
        state: where the password's hash is kept.
        now_s: monotonic seconds.
    Attributes:
        token: lets its owner command until a password is made; for the terminal, never for a log.
    Raises:
        StoreError: the file is damaged.
    """

    def __init__(self, state: StateDirectory, now_s: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(18)
        self._state = state
        self._now_s = now_s
        self._attempts = Attempts(now_s)
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._computing = asyncio.Lock()
        self._waiting = 0
        self._stored = _read(state)

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<Accounts {len(self._sessions)} sessions>"

    @property
    def has_password(self) -> bool:
        """Whether one was made."""
        return self._stored is not None

    async def log_in(self, *, password: str, site: str) -> str:
        """Return the cookie of a new session.

        Raises:
            AccessError: the password is not right, or this site tried too often.
        """
        self._attempts.take(site)
        if not await self._is_password(password):
            _logger.warning("the page: a wrong password from %s", site)
            raise AccessError("that is not the password")
        self._attempts.forgive(site)
        return self._open()

    def log_in_by_token(self, token: str, site: str) -> str:
        """Return the cookie of a new session for this start's token; only without a password.

        Raises:
            AccessError: the token is not right or of no use any more.
        """
        self._attempts.take(site)
        if self.has_password:
            raise AccessError("a password was made: log in with it")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise AccessError("the link is of an earlier start: use the one that was shown last")
        self._attempts.forgive(site)
        return self._open()

    async def set_password(self, password: str, *, current: str, site: str) -> str:
        """Make or change the password, end every session, and return the cookie of a new one.

        Args:
            current: the password so far; anything where there is none.
        Raises:
            AccessError: the current one is wrong, or the new one too short.
            StoreError: the disk refuses.
        """
        if not PASSWORD_SHORTEST <= len(password) <= PASSWORD_LONGEST:
            raise AccessError(
                f"a password has {PASSWORD_SHORTEST} to {PASSWORD_LONGEST} characters"
            )
        if self.has_password:
            await self.log_in(password=current, site=site)
        salt = secrets.token_bytes(16)
        async with self._turn():
            key = await asyncio.to_thread(lambda: _scrypt(salt).derive(password.encode()))
        stored = {"kdf": "scrypt", "n": _SCRYPT_N, "r": _SCRYPT_R, "p": _SCRYPT_P}
        content = {**stored, "salt": salt.hex(), "key": key.hex()}
        await asyncio.to_thread(
            self._state.write, _FILE, json.dumps(content, indent=1).encode() + b"\n"
        )
        self._stored = (salt, key)
        self._sessions.clear()
        _logger.info("the page's password was set; all earlier sessions are over")
        return self._open()

    def session(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None where there is none any more."""
        key = _digest(cookie)
        session = self._sessions.get(key)
        if session is None:
            return None
        now = self._now_s()
        if now - session.used_s > _IDLE_S or now - session.opened_s > _LIFE_S:
            del self._sessions[key]
            return None
        session.used_s = now
        self._sessions.move_to_end(key)
        return session

    def log_out(self, cookie: str) -> None:
        """End a session; one that is over is fine."""
        self._sessions.pop(_digest(cookie), None)

    def _open(self) -> str:
        cookie = secrets.token_urlsafe(32)
        now = self._now_s()
        self._sessions[_digest(cookie)] = Session(opened_s=now, used_s=now)
        if len(self._sessions) > _SESSIONS_MOST:
            self._sessions.popitem(last=False)
        return cookie

    async def _is_password(self, password: str) -> bool:
        if self._stored is None:
            return False
        salt, key = self._stored
        async with self._turn():
            try:
                text = password[: PASSWORD_LONGEST + 1].encode()
                await asyncio.to_thread(lambda: _scrypt(salt).verify(text, key))
            except InvalidKey:
                return False
        return True

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        # Each costs 64 MiB: one at a time, and few that wait.
        if self._waiting >= _WAITING_MOST:
            raise TooManyAttemptsError("too many attempts at once: try again")
        self._waiting += 1
        try:
            async with self._computing:
                yield
        finally:
            self._waiting -= 1


def _digest(cookie: str) -> bytes:
    # Looked up by its hash, so that the time of the search tells nothing about a cookie.
    return hashlib.sha256(cookie.encode()).digest()


def _scrypt(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=_SCRYPT_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)


def _read(state: StateDirectory) -> tuple[bytes, bytes] | None:
    content = state.read(_FILE)
    if content is None:
        return None
    try:
        stored = json.loads(content)
        cost = (stored["kdf"], stored["n"], stored["r"], stored["p"])
        salt, key = bytes.fromhex(stored["salt"]), bytes.fromhex(stored["key"])
    except (ValueError, KeyError, TypeError):
        cost, salt, key = ("", 0, 0, 0), b"", b""
    if cost != ("scrypt", _SCRYPT_N, _SCRYPT_R, _SCRYPT_P) or len(key) != _SCRYPT_BYTES:
        raise StoreError(
            f"{state.path / _FILE} is damaged; delete it, start again and make a new password"
        )
    return salt, key

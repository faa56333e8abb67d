"""Page: the server of the dashboard, where it listens and under which certificate."""

import asyncio
import contextlib
import datetime
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from tickseal.core.errors import TicksealError
from tickseal.host.state import StateDirectory
from tickseal.links.sockets import bind
from tickseal_gateway.addresses import format_address, own_addresses
from tickseal_gateway.config import ANY_HOST, Config, PageConfig
from tickseal_gateway.dashboard.accounts import Accounts
from tickseal_gateway.dashboard.app import Application
from tickseal_gateway.dashboard.history import History
from tickseal_gateway.dashboard.recordings import Recordings
from tickseal_gateway.dashboard.tls import Certificate, given_certificate, own_certificate
from tickseal_gateway.health.status import GatewayView
from tickseal_gateway.recordings.library import open_library
from tickseal_gateway.service import READINGS_FILE

_logger = logging.getLogger(__name__)
#: In the state directory while the page is served: its address, with this start's token.
LINK_FILE = "page/link"
_LOOPBACK = "127.0.0.1"
_CONNECTIONS_MOST = 200
#: How long a connection may take for the head of a request, s.
_HEAD_S = 15.0


async def serve(
    view: GatewayView, config: Config, state: StateDirectory, ready: Callable[[str], None]
) -> None:
    """Serve the page until cancelled.

    Args:
        ready: told its address, without a secret, once it listens, and again where it moves.
    Raises:
        LinkError: its address or port cannot be had.
        ConfigError, StoreError: the certificate or the password file is not what it should be.
    """
    library = open_library(config, state)
    recordings = Recordings(library) if library else None
    page = Page(config.page, state, History(_readings_file(config, state)), recordings)
    await page.open()
    try:
        await page.serve(view, ready)
    finally:
        page.close()


class Page:
    """The local web page of one gateway: open(), then serve().

    Args:
        state: the gateway's directory; the password's hash and the certificate lie there.
        history: for plots that are not empty when the page is opened.
        recordings: None where nothing is recorded.
    Raises:
        ConfigError, StoreError: the certificate or the password file is not what it should be.
    """

    def __init__(
        self,
        config: PageConfig,
        state: StateDirectory,
        history: History,
        recordings: Recordings | None = None,
    ) -> None:
        self._config = config
        self._state = state
        self._accounts = Accounts(state)
        self._history = history
        self._recordings = recordings
        self._socket: socket.socket | None = None
        self._certificate: Certificate | None = None
        self._port = config.port
        self._host: str | None = None
        self._moves = False

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it; without a secret."""
        host = self._host
        if host is None or ipaddress.ip_address(host).is_unspecified:
            host = own_addresses()[0] if self._is_wide else _LOOPBACK
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://{format_address(host, self._port)}/"

    @property
    def entry_url(self) -> str:
        """The same with this start's token, where there is no password: never for a log.

        The token stands behind the #, so that no server and no log on the way sees it.
        """
        return (
            self.url if self._accounts.has_password else f"{self.url}#token={self._accounts.token}"
        )

    @property
    def notes(self) -> list[str]:
        """What people should know about where it is, one sentence each."""
        notes = []
        if not self._accounts.has_password and not _is_loopback(self._config.host):
            notes.append(
                f"the page is only on this machine until it has a password; then it moves to "
                f"{self._config.host}"
            )
        if self._certificate and self._certificate.is_self_signed:
            notes.append(
                "the page's certificate is its own; the browser warns once, compare the "
                f"SHA-256 fingerprint: {self._certificate.fingerprint}"
            )
        return notes

    @property
    def _is_wide(self) -> bool:
        return self._accounts.has_password and not _is_loopback(self._config.host)

    async def open(self) -> None:
        """Bind its address; on loopback alone until there is a password.

        Raises:
            LinkError: the address is not here, or the port is taken.
        """
        host: str | None = self._config.host
        if not self._is_wide and not _is_loopback(self._config.host):
            host = _LOOPBACK
        self._certificate = await asyncio.to_thread(self._choose_certificate)
        bound = await bind(None if host == ANY_HOST else host, self._port, socket.SOCK_STREAM)
        self._socket = bound
        self._host, self._port = bound.getsockname()[:2]

    async def serve(self, view: GatewayView, ready: Callable[[str], None]) -> None:
        """Serve until cancelled; after the first password from the address it is meant for."""
        while True:
            self._moves = False
            link = self.entry_url.encode() + b"\n"
            await asyncio.to_thread(self._state.write, LINK_FILE, link)
            for note in self.notes:
                _logger.info("%s", note)
            ready(self.url)
            await self._serve(view)
            if not self._moves:
                return
            await self.open()
            _logger.info("the page is now at %s", self.url)

    def close(self) -> None:
        """Let the address go, and remove the link, which is of no use any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        with contextlib.suppress(TicksealError):
            self._state.delete(LINK_FILE)

    async def _serve(self, view: GatewayView) -> None:
        stopping = asyncio.Event()
        server: _Server

        def move() -> None:
            if not _is_loopback(self._config.host):
                self._moves = True
                asyncio.get_running_loop().call_later(0.5, server.end)

        application = Application(
            view,
            self._accounts,
            self._history,
            is_tls=self._certificate is not None,
            stopping=stopping,
            on_first_password=move,
            recordings=self._recordings,
        )
        server = _Server(
            uvicorn.Config(
                application.asgi(self._config.names),
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                http="h11",
                ws="websockets-sansio",
                ws_max_size=8192,
                ws_per_message_deflate=False,  # pictures are compressed already
                limit_concurrency=_CONNECTIONS_MOST,
                h11_max_incomplete_event_size=16384,
                timeout_graceful_shutdown=2,
                **self._tls(),
            ),
            stopping,
        )
        if self._socket is None:
            await self.open()
        sockets = [self._socket] if self._socket else []
        work = asyncio.ensure_future(server.serve(sockets=sockets))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            server.end()
            await work
            raise

    def _tls(self) -> dict[str, Any]:
        if self._certificate is None:
            return {}
        return {
            "ssl_certfile": str(self._certificate.certificate),
            "ssl_keyfile": str(self._certificate.key),
        }

    def _choose_certificate(self) -> Certificate | None:
        config = self._config
        if config.certificate:
            return given_certificate(
                Path(config.certificate).expanduser(), Path(config.key).expanduser()
            )
        if config.tls == "on" or (config.tls == "auto" and self._is_wide):
            now = datetime.datetime.now(datetime.UTC)
            return own_certificate(self._state, config.names, now)
        return None


class _Server(uvicorn.Server):
    """Ends when it is told, and leaves the process's signals to the gateway."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping
        # By connection: the request that it had last, and since when it owes the next.
        self._owing: dict[object, tuple[object, float]] = {}

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._drop_silent(time.monotonic())
        return await super().on_tick(counter)

    def _drop_silent(self, now_s: float) -> None:
        """Close connections that take for ever to say what they want: others need their places."""
        owing: dict[object, tuple[object, float]] = {}
        for connection in self.server_state.connections:
            request = getattr(connection, "cycle", self)
            if request is None or getattr(request, "response_complete", False):
                last, since_s = self._owing.get(connection, (self, now_s))
                owing[connection] = (request, since_s if last is request else now_s)
                if now_s - owing[connection][1] > _HEAD_S:
                    connection.transport.close()
        self._owing = owing

    def end(self) -> None:
        self._stopping.set()
        self.should_exit = True


def _readings_file(config: Config, state: StateDirectory) -> Path | None:
    if not config.store.enabled:
        return None
    return Path(config.store.path).expanduser() if config.store.path else state.path / READINGS_FILE


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

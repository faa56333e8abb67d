"""The page's routes: what may be read, what may be commanded, and by whom."""

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from tickseal.core.errors import TicksealError
from tickseal.links.sockets import site
from tickseal_gateway.commands.qr import qr_svg
from tickseal_gateway.dashboard.accounts import (
    PASSWORD_SHORTEST,
    AccessError,
    Accounts,
    Session,
    TooManyAttemptsError,
)
from tickseal_gateway.dashboard.guard import Guard
from tickseal_gateway.dashboard.history import History
from tickseal_gateway.dashboard.live import LivePage
from tickseal_gateway.dashboard.pictures import MJPEG_TYPE, jpeg_of, mjpeg
from tickseal_gateway.dashboard.recordings import BusyError, Recordings
from tickseal_gateway.health.status import GatewayView
from tickseal_gateway.registry.limits import parse_limit

_logger = logging.getLogger(__name__)
_COOKIE = "tickseal"
_BODY_MOST = 8192
_WATCHERS_MOST = 64
Arguments: TypeAlias = dict[str, Any]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Command: TypeAlias = Callable[[Arguments], Awaitable[object]]


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class Application:
    """The page over one gateway.

    Args:
        is_tls: whether it is served over TLS, for the cookie.
        stopping: set when the server ends, so that endless answers end too.
        on_first_password: called once a first password was made.
        recordings: None where nothing is recorded.
    """

    def __init__(
        self,
        view: GatewayView,
        accounts: Accounts,
        history: History,
        *,
        is_tls: bool,
        stopping: asyncio.Event,
        on_first_password: Callable[[], None],
        recordings: Recordings | None = None,
    ) -> None:
        self._view = view
        self._accounts = accounts
        self._history = history
        self._is_tls = is_tls
        self._stopping = stopping
        self._on_first_password = on_first_password
        self._recordings = recordings
        self._watchers = 0
        self._commands: dict[str, Command] = {
            "invite": self._invite,
            "approve": lambda given: view.approve(_text(given, "name")),
            "withdraw": lambda given: view.withdraw(_text(given, "id")),
            "rename": lambda given: view.rename(_text(given, "name"), _text(given, "new_name")),
            "tag": self._tag,
            "limit": self._limit,
            "revoke": lambda given: view.revoke(_text(given, "name")),
            "rekey": self._rekey,
        }

    def asgi(self, names: tuple[str, ...] = ()) -> Starlette:
        """Return it as an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/api/session", self._session),
                Route("/api/login", self._log_in, methods=["POST"]),
                Route("/api/logout", self._log_out, methods=["POST"]),
                Route("/api/password", self._password, methods=["POST"]),
                Route("/api/status", self._status),
                Route("/api/history", self._history_of),
                *self._recording_routes(),
                Route("/api/streams/{id:path}/picture.jpg", self._picture),
                Route("/api/streams/{id:path}/live.mjpeg", self._mjpeg),
                Route("/api/{command}", self._command, methods=["POST"]),
                WebSocketRoute("/api/live", self._live),
                Mount("/static", _Static(packages=[(__package__, "static")])),
            ],
            middleware=[Middleware(Guard, names)],
            exception_handlers={_Refused: _answer_refused, TicksealError: _answer_error},
        )

    def _recording_routes(self) -> list[Route]:
        if self._recordings is None:
            return []
        given = self._recordings

        def for_session(answer: Endpoint) -> Endpoint:
            # What was sealed away is for those who may command, not for all who may look on.
            async def endpoint(request: Request) -> Response:
                self._require_session(request)
                return await answer(request)

            return endpoint

        return [
            Route("/api/recordings", for_session(given.streams)),
            Route("/api/recordings/bar", for_session(given.bar)),
            Route("/api/recordings/readings", for_session(given.readings)),
            Route("/api/recordings/pictures", for_session(given.pictures)),
            Route("/api/recordings/download", for_session(given.download)),
        ]

    # --- Who asks ---

    def _session_of(self, connection: HTTPConnection) -> Session | None:
        cookie = connection.cookies.get(_COOKIE)
        return self._accounts.session(cookie) if cookie else None

    def _may_read(self, connection: HTTPConnection) -> bool:
        return not self._accounts.has_password or self._session_of(connection) is not None

    def _require_reader(self, request: Request) -> None:
        if not self._may_read(request):
            raise _Refused(401, "log in first")

    def _require_session(self, request: Request) -> Session:
        session = self._session_of(request)
        if session is None:
            raise _Refused(
                401,
                "log in first"
                if self._accounts.has_password
                else "open the page by the link that the gateway showed when it started",
            )
        return session

    def _require_commander(self, request: Request) -> None:
        session = self._require_session(request)
        if not _same(request.headers.get("x-csrf-token", ""), session.csrf):
            raise _Refused(403, "the page is of an earlier session: load it again")

    # --- Log in and out ---

    async def _session(self, request: Request) -> Response:
        session = self._session_of(request)
        return JSONResponse(
            {
                "has_password": self._accounts.has_password,
                "may_read": self._may_read(request),
                "may_command": session is not None,
                "csrf": session.csrf if session else None,
                "has_recordings": self._recordings is not None,
                "password_shortest": PASSWORD_SHORTEST,
            }
        )

    async def _log_in(self, request: Request) -> Response:
        given = await _arguments(request)
        where = _site(request)
        if "token" in given:
            cookie = self._accounts.log_in_by_token(_text(given, "token"), where)
        else:
            cookie = await self._accounts.log_in(password=_text(given, "password"), site=where)
        return self._with_cookie(cookie)

    async def _log_out(self, request: Request) -> Response:
        self._require_commander(request)
        self._accounts.log_out(request.cookies[_COOKIE])
        answer = JSONResponse({})
        answer.delete_cookie(_COOKIE, path="/")
        return answer

    async def _password(self, request: Request) -> Response:
        self._require_commander(request)
        given = await _arguments(request)
        is_first = not self._accounts.has_password
        cookie = await self._accounts.set_password(
            _text(given, "password"), current=str(given.get("current", "")), site=_site(request)
        )
        if is_first:
            self._on_first_password()
        return self._with_cookie(cookie)

    def _with_cookie(self, cookie: str) -> Response:
        answer = JSONResponse({})
        answer.set_cookie(
            _COOKIE, cookie, path="/", httponly=True, samesite="strict", secure=self._is_tls
        )
        return answer

    # --- Reading ---

    async def _index(self, _: Request) -> Response:
        content = files(__package__).joinpath("static/index.html").read_bytes()
        return Response(content, media_type="text/html", headers={"cache-control": "no-cache"})

    async def _status(self, request: Request) -> Response:
        self._require_reader(request)
        return JSONResponse(self._view.snapshot())

    async def _history_of(self, request: Request) -> Response:
        self._require_reader(request)
        query = request.query_params
        seconds = query.get("seconds", "300")
        if not seconds.isdecimal() or len(seconds) > 9:
            raise _Refused(400, "seconds: a whole number")
        found = await self._history.read(
            query.getlist("stream"), seconds=int(seconds), name=query.get("name", "")
        )
        return JSONResponse(found)

    async def _picture(self, request: Request) -> Response:
        self._require_reader(request)
        picture = self._view.latest_picture(request.path_params["id"])
        data = jpeg_of(picture)
        if picture is None or data is None:
            raise _Refused(404, "there is no JPEG picture of that stream")
        return Response(
            data,
            media_type="image/jpeg",
            headers={
                "x-captured-ns": str(picture.picture.time_ns),
                "x-sequence": str(picture.picture.sequence),
            },
        )

    async def _mjpeg(self, request: Request) -> Response:
        self._require_reader(request)
        stream_id = request.path_params["id"]
        if jpeg_of(self._view.latest_picture(stream_id)) is None:
            raise _Refused(404, "there is no JPEG picture of that stream")
        if self._watchers >= _WATCHERS_MOST:
            raise _Refused(503, "too many watch already")
        return StreamingResponse(self._watched(stream_id, request), media_type=MJPEG_TYPE)

    async def _watched(self, stream_id: str, request: Request) -> AsyncIterator[bytes]:
        self._watchers += 1
        try:
            async for part in mjpeg(self._view, stream_id, self._stopping):
                if not self._may_read(request):
                    return
                yield part
        finally:
            self._watchers -= 1

    async def _live(self, socket: WebSocket) -> None:
        if not self._may_read(socket):
            await socket.close(1008, "log in first")
            return
        if self._watchers >= _WATCHERS_MOST:
            await socket.close(1013, "too many watch already")
            return
        self._watchers += 1
        try:
            await LivePage(
                self._view, socket, self._stopping, may_read=lambda: self._may_read(socket)
            ).run()
        finally:
            self._watchers -= 1

    # --- Commands ---

    async def _command(self, request: Request) -> Response:
        command = self._commands.get(request.path_params["command"])
        if command is None:
            raise _Refused(404, "there is no such command")
        self._require_commander(request)
        given = await _arguments(request)
        result = await command(given)
        _logger.info("the page: %s %s", request.path_params["command"], given.get("name") or "")
        return JSONResponse({"result": result})

    async def _invite(self, given: Arguments) -> object:
        minutes = given.get("minutes", 60)
        if not isinstance(minutes, int) or not 1 <= minutes <= 366 * 1440:
            raise _Refused(400, "minutes: how long the invite is good, 1 to 527040")
        invite = await self._view.invite(
            name=_text(given, "name") if given.get("name") else None,
            lifetime_ns=minutes * 60_000_000_000,
            hybrid=bool(given.get("hybrid", True)),
        )
        return {**invite, "qr": qr_svg(str(invite["token"]))}

    async def _tag(self, given: Arguments) -> object:
        add, remove = given.get("add", []), given.get("remove", [])
        if not all(isinstance(each, list) for each in (add, remove)):
            raise _Refused(400, "add, remove: lists of tags")
        return list(await self._view.tag(_text(given, "name"), _texts(add), _texts(remove)))

    async def _limit(self, given: Arguments) -> object:
        limits = given.get("limits")
        if not isinstance(limits, dict):
            raise _Refused(400, "limits: an object is missing")
        # As people write them: "100kB", 20, "none".
        changes = {
            str(name): value
            if isinstance(value, int | None)
            else parse_limit(str(value), is_size="bytes" in str(name))
            for name, value in limits.items()
        }
        return await self._view.limit(_text(given, "name"), changes)

    async def _rekey(self, given: Arguments) -> object:
        return await self._view.rekey(_text(given, "name") if given.get("name") else None)


class _Static(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        # Asked for again each time, by its ETag: a new version of the gateway shows at once.
        answer.headers["cache-control"] = "no-cache"
        return answer


async def _arguments(request: Request) -> Arguments:
    if Headers(scope=request.scope).get("content-type", "").partition(";")[0] != "application/json":
        raise _Refused(415, "send JSON")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_MOST:
            raise _Refused(413, f"more than {_BODY_MOST} bytes")
    try:
        given = json.loads(body or b"{}")
        # Half a surrogate is text to JSON, and to nothing that takes bytes of it.
        json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _Refused(400, "send one JSON object")
    return given


def _text(given: Arguments, key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise _Refused(400, f"{key}: text is missing")
    return value


def _texts(values: list[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _site(request: Request) -> str:
    return site((request.client.host, request.client.port)) if request.client else ""


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _answer_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, _Refused)  # noqa: S101 - registered for it
    return JSONResponse({"error": error.error}, error.status)


def _answer_error(_: Request, error: Exception) -> Response:
    status = 400
    if isinstance(error, TooManyAttemptsError | BusyError):
        status = 429
    elif isinstance(error, AccessError):
        status = 403
    return JSONResponse({"error": str(error)}, status)

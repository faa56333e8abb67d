"""The control socket: commands to a running service, and its answers, as JSON lines.

A line {"do": NAME, ...} is answered by {"ok": true, "result": ...}, or by {"ok": false, "error":
"..."}; a watcher's name by one line after another. The socket has mode 0600 in a directory of 0700.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
)
from pathlib import Path
from typing import Any

from tickseal.core.errors import LinkError, TicksealError

NAME = "control.sock"
_LINE_MOST = 1 << 16
_ANSWER_S = 15.0
#: The largest frame (docs/protocol.md section 2.2) in base64, and what stands around it.
_ANSWER_MOST = (1 << 26) * 4 // 3 + (1 << 20)

#: What a command does: arguments in, a value for JSON out.
Handler = Callable[[dict[str, Any]], Awaitable[object]]
Watcher = Callable[[dict[str, Any]], AsyncIterator[object]]


class NotRunningError(LinkError):
    """No service runs on this state directory."""


class CommandRefusedError(LinkError):
    """The service says why it cannot do what was asked."""


class ControlSocket:
    """The service's end.

    Args:
        commands: by name; what they raise of TicksealError is the answer's error.
        watchers: by name; each yields values until the client goes away.
    """

    def __init__(
        self, commands: Mapping[str, Handler], watchers: Mapping[str, Watcher] | None = None
    ) -> None:
        self._commands = commands
        self._watchers = watchers or {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._path: Path | None = None

    async def open(self, state: Path) -> None:
        """Listen in a state directory, which this process owns."""
        path = state / NAME
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _reachable(state) as name:
            sock.bind(name)
        path.chmod(0o600)
        self._path = path
        self._server = await asyncio.start_unix_server(self._accept, sock=sock, limit=_LINE_MOST)

    async def close(self) -> None:
        """Stop listening, end all conversations, and remove the socket."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._answer(line, writer)
        except (OSError, ValueError):  # gone, or a line beyond all bounds
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            parsed: Any = json.loads(line)
        except (ValueError, RecursionError):
            parsed = None
        request: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
        name = str(request.get("do"))
        if name not in self._commands and name not in self._watchers:
            known = ", ".join(sorted([*self._commands, *self._watchers]))
            await _write(writer, {"ok": False, "error": f"unknown command; known: {known}"})
            return
        try:
            if name in self._watchers:
                async for value in self._watchers[name](request):
                    await _write(writer, {"ok": True, "result": value})
                return
            answer: dict[str, object] = {"ok": True, "result": await self._commands[name](request)}
        except TicksealError as error:
            answer = {"ok": False, "error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"ok": False, "error": f"{name}: arguments not as expected ({error})"}
        await _write(writer, answer)


def ask(state: Path, request: Mapping[str, object], *, service: str) -> Any:
    """Return a running service's answer to one command: whatever JSON holds. Blocks.

    Args:
        state: its state directory.
        service: its name as a command, for messages: "edge", "gateway".
    Raises:
        NotRunningError: it does not run.
        CommandRefusedError: it says why it cannot.
        LinkError: it does not answer.
    """
    for answer in converse(state, request, service=service):
        return answer
    raise LinkError(f"the {service} ended before it answered")


def converse(state: Path, request: Mapping[str, object], *, service: str) -> Iterator[Any]:
    """Yield a running service's answers to a command, as they come. Blocks.

    Args, Raises: as of ask().
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_ANSWER_S)
        try:
            with _reachable(state) as name:
                sock.connect(name)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise _not_running(state, service) from None
        except PermissionError:
            raise _not_ours(state, service) from None
        try:
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if not answer["ok"]:
                        raise CommandRefusedError(answer["error"])
                    yield answer["result"]
        except TimeoutError:
            raise LinkError(f"the {service} did not answer within {_ANSWER_S:g} s") from None
        except OSError as error:
            raise LinkError(f"the {service} broke off: {error.strerror}") from None


async def follow(
    state: Path, request: Mapping[str, object], *, service: str
) -> AsyncGenerator[Any, None]:
    """Yield a running service's answers to a watcher's name, as they come, until it ends.

    Args, Raises: as of ask().
    """
    try:
        with _reachable(state) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=_ANSWER_MOST)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise _not_running(state, service) from None
    except PermissionError:
        raise _not_ours(state, service) from None
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        while line := await reader.readline():
            answer = json.loads(line)
            if not answer["ok"]:
                raise CommandRefusedError(answer["error"])
            yield answer["result"]
    except OSError as error:
        raise LinkError(f"the {service} broke off: {error.strerror}") from None
    finally:
        writer.transport.abort()


def _not_running(state: Path, service: str) -> NotRunningError:
    return NotRunningError(f"no {service} runs on {state}; start it: tickseal {service} run")


def _not_ours(state: Path, service: str) -> LinkError:
    try:
        owner = state.owner()
    except (OSError, KeyError):  # it cannot be looked at, or its user has no name
        return LinkError(f"{state} belongs to another user: be the user that the {service} runs as")
    return LinkError(f"{state} belongs to {owner}: be that user, by sudo -u {owner} ...")


@contextlib.contextmanager
def _reachable(state: Path) -> Generator[str]:
    """Yield a name of the socket short enough for the kernel (108 bytes), however deep it lies."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)


async def _write(writer: asyncio.StreamWriter, value: object) -> None:
    writer.write(json.dumps(value).encode() + b"\n")
    await writer.drain()

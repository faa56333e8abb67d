"""Lanes: a thread for each bus, in which the devices on it are used one after the other."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """One thread, which does one thing at a time; a device that hangs blocks its own lane only.

    The thread does not keep the process alive: a hung driver must not delay the end.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"lane {name}", daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in the lane's thread and return what it returned, or raise what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(outcome: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(outcome)  # type: ignore[arg-type]

        def job() -> None:
            outcome: T | None = None
            error: BaseException | None = None
            if not future.cancelled():
                try:
                    outcome = work()
                except BaseException as raised:
                    error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, outcome, error)

        self._jobs.put(job)
        return await future

    def submit(self, work: Callable[[], object]) -> None:
        """Do the work in the lane's thread without waiting for it; what it raises is dropped."""

        def job() -> None:
            with contextlib.suppress(Exception):
                work()

        self._jobs.put(job)

    def close(self) -> None:
        """End the thread after the work that it has."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

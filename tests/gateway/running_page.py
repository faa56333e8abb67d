"""A gateway with its page for tests, beside the test's own thread, with devices on loopback."""

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageDraw
from source_device import Device
from tickseal_gateway.config import Config, load
from tickseal_gateway.health.view import View
from tickseal_gateway.service import Gateway
from waiting import PATIENCE_S

from tickseal.core.errors import LinkError, TicksealError
from tickseal.host.state import StateDirectory
from tickseal.payloads import pictures
from tickseal.sessions import events as ev

T = TypeVar("T")


class RunningPage:
    """A gateway with a page, on an event loop in a thread of its own."""

    def __init__(self, folder: Path, page: str = "", more: str = "") -> None:
        self.state = folder / "state"
        self._file = folder / "gateway.toml"
        self._file.write_text(
            f'[gateway]\nname = "test gateway"\nstate = "{self.state}"\nhost = "127.0.0.1"\n'
            f"port = 0\n[page]\n{page or 'port = 0'}\n{more}\n"
        )
        self.view: View
        self._up = threading.Event()
        self._stop: asyncio.Event
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    @property
    def config(self) -> Config:
        return load(self._file)

    @property
    def url(self) -> str:
        return str(self.link.partition("#")[0])

    @property
    def link(self) -> str:
        return (self.state / "page" / "link").read_text().strip()

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(PATIENCE_S)
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            with StateDirectory.open(self.config.state_path) as state:
                async with Gateway(self.config, state).running() as self.view:
                    self._up.set()
                    await self._stop.wait()
        except BaseException as fault:
            self._fault = fault
            raise
        finally:
            self._up.set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the gateway's loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def invite(self, name: str) -> str:
        return str(self.do(self.view.invite(name=name))["token"])


@contextlib.contextmanager
def running_page(folder: Path, page: str = "", more: str = "") -> Iterator[RunningPage]:
    """Run a gateway with a page while the block lasts."""
    site = RunningPage(folder, page, more)
    site.start()
    try:
        yield site
    finally:
        site.stop()


class Streaming:
    """A device that streams readings and pictures until it is stopped."""

    def __init__(
        self,
        site: RunningPage,
        token: str,
        *,
        prefix: str = "garden",
        picture: bool = True,
        video: Sequence[tuple[bytes, bool]] = (),
    ) -> None:
        self._site = site
        self._device = Device(token)
        self._prefix = prefix
        self._picture = picture
        self._video = video
        self._work = asyncio.run_coroutine_threadsafe(self._run(), site.loop)
        self.value = 20.0
        self.is_silent = False

    def stop(self) -> None:
        self._work.cancel()
        with contextlib.suppress(BaseException):
            self._work.result(PATIENCE_S)

    async def _run(self) -> None:
        while not await self._stream():
            pass

    async def _stream(self) -> bool:
        """Stream in one session; return whether it is not to come back."""
        async with self._device.connected() as device:
            temperature, camera = f"{self._prefix}/temperature", f"{self._prefix}/camera"
            asked: set[str] = set()
            opened: set[str] = set()
            camera_number = 0
            for _ in range(100_000):
                for stream_id, content in ((temperature, None), (camera, pictures.CONTENT)):
                    if stream_id in asked or (content and not self._picture):
                        continue
                    # Where it waits to be approved, it asks again in its next session.
                    asked.add(stream_id)
                    with contextlib.suppress(AssertionError, TicksealError):
                        await device.open(stream_id, **({"content": content} if content else {}))
                        opened.add(stream_id)
                for event in device.events:
                    if isinstance(event, ev.RekeyRequested):
                        asked.clear()
                        opened.clear()
                    if isinstance(event, ev.SessionClosed):
                        return event.detail != "approved"
                device.events.clear()
                with contextlib.suppress(LinkError):
                    if temperature in opened and not self.is_silent:
                        await device.send(self.value, temperature, "air")
                    if camera in opened and not self.is_silent:
                        await device.udp.send(device.seal(self._frame(camera_number), camera))
                        camera_number += 1
                await asyncio.sleep(0.05)
        return True

    def _frame(self, number: int) -> bytes:
        if not self._video:
            return picture(number)
        data, is_key = self._video[number % len(self._video)]
        return pictures.encode_picture(
            pictures.Picture(
                codec="h264",
                width=64,
                height=48,
                time_ns=time.time_ns(),
                sequence=number,
                is_key=is_key,
                data=data,
            )
        )


def picture(number: int, width: int = 160, height: int = 120) -> bytes:
    """Return the payload of a frame: a blue picture with its number, and a dot that moves."""
    image = Image.new("RGB", (width, height), "#204080")
    draw = ImageDraw.Draw(image)
    draw.ellipse((number % width, 40, number % width + 20, 60), fill="orange")
    out = io.BytesIO()
    image.save(out, "JPEG")
    return pictures.encode_picture(
        pictures.Picture(
            codec="jpeg",
            width=width,
            height=height,
            time_ns=time.time_ns(),
            sequence=number,
            is_key=True,
            data=out.getvalue(),
        )
    )

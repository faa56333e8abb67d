"""The C extension; see module.c."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tickseal.native.layout import Layout, Timing
from tickseal.streams.accepting import Interval
from tickseal.streams.generation import Generation
from tickseal.streams.opening import Frame, OpenedSegment, Part, Refused

Buffer = bytes | bytearray | memoryview

LIBCRYPTO: str
MESSAGE_STRIDE: int
SOURCES: str

def open_frames(
    segments: Iterable[Buffer], openers: Mapping[int, Opener], now: Interval, /
) -> tuple[list[Frame], list[Part], list[Buffer]]: ...
def receive_datagrams(
    socket: int, buffer: Any, messages: int, with_addresses: bool, /
) -> list[Any]: ...
def send_datagrams(socket: int, datagrams: list[bytes], /) -> int: ...

class Sealer:
    _started: bool
    _tick: int
    frame_number: int
    keys_derived: int

    def __new__(cls, *layout: Any) -> Sealer: ...
    def seal(self, payload: Buffer, tick: int, flags: int = 0, kind: int = 0, /) -> list[bytes]: ...
    def _start(self, tick: int, epoch_secret: bytes | None, /) -> None: ...
    def _wipe(self) -> None: ...

class Walker:
    end: int
    start: int

    def __new__(cls, nodes: list[tuple[int, int, bytes]], /) -> Walker: ...
    def take(self, epoch: int, /) -> bytes: ...
    def puncture(self, epoch: int, /) -> None: ...
    def secret(self, epoch: int, /) -> bytes: ...
    def nodes(self) -> list[tuple[int, int, bytes]]: ...
    def clear(self) -> None: ...

class Opener:
    _forgeries_left: int
    _highest_tick: int
    _next_frame: int
    frame_bytes: int
    frames: int
    generation: Generation
    gives_frames: bool
    is_live: bool
    keys_derived: int
    opened: int
    refusals: Counter[str]
    source: Any

    def __new__(
        cls,
        layout: Layout,
        timing: Timing,
        walker: Any,
        generation: Generation,
        refusals: Counter[str],
        next_frame: int,
        forgeries: int,
        is_live: bool,
        /,
    ) -> Opener: ...
    def open(self, segment: Buffer, now: Interval, /) -> OpenedSegment | Refused: ...
    def _announce(self, from_tick: int, count: int, /) -> None: ...
    def _hold(self, walker: Any, /) -> None: ...
    def _wipe(self) -> None: ...

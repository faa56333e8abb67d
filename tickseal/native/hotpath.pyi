"""The C extension; see module.c."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tickseal.accepting import Interval
from tickseal.opening import OpenedSegment, Refused

Buffer = bytes | bytearray | memoryview
Layout = tuple[int, bool, bool, int, int, int, int, int, bytes]

LIBCRYPTO: str
MESSAGE_STRIDE: int
SOURCES: str

def children(node: bytes, /) -> tuple[bytes, bytes]: ...
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
    def seal(self, payload: Buffer, tick: int, flags: int = 0, kind: int = 0) -> list[bytes]: ...
    def _skip_to(self, number: int, /) -> None: ...
    def _start(self, tick: int, epoch_secret: bytes | None, /) -> None: ...
    def _wipe(self) -> None: ...

class Opener:
    _forgeries_left: int
    _held: tuple[list[tuple[int, int]], list[int], bytes, bytes]
    _highest_tick: int
    _next_frame: int
    keys_derived: int
    opened: int
    refusals: Counter[str]

    def __new__(
        cls,
        layout: Layout,
        opened: type[OpenedSegment],
        refused: tuple[Refused, ...],
        refusals: Counter[str],
        next_frame: int,
        forgeries: int,
        /,
    ) -> Opener: ...
    def open(self, segment: Buffer, now: Interval) -> OpenedSegment | Refused: ...
    def open_many(
        self, segments: Iterable[Buffer], now: Interval
    ) -> list[OpenedSegment | Refused]: ...
    def _set_ticks(self, *ticks: int) -> None: ...

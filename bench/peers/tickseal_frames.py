"""FrameSealer and FrameOpener: a key a frame, every check of the protocol; in Python and in C."""

from collections.abc import Callable
from typing import NamedTuple

import tickseal
from peers import SEGMENT_BYTES
from tickseal import FrameOpener, FrameSealer, Generation
from tickseal.streams.opening import PureFrameOpener
from tickseal.streams.sealing import PureFrameSealer

_METADATA = tickseal.StreamMetadata(id="bench", type="bytes")


class Reading(NamedTuple):
    """A clock reading."""

    earliest_ns: int
    latest_ns: int


def reading(settings: tickseal.StreamParameters, tick: int) -> Reading:
    """Return the clock in the middle of a tick."""
    middle = tick * settings.interval_ns + settings.interval_ns // 2
    return Reading(middle, middle)


class Tickseal:
    """One of the two implementations, with the functions of a peer."""

    def __init__(
        self, sealer: type[FrameSealer], opener: type[FrameOpener], description: str
    ) -> None:
        self._sealer, self._opener, self._description = sealer, opener, description

    def describe(self) -> str:
        """Return what it is."""
        return self._description

    def pair(self, **changes: int) -> tuple[FrameSealer, FrameOpener, tickseal.StreamParameters]:
        """Return both sides of a generation, with the default parameters but for some."""
        settings = tickseal.StreamParameters(t0_ns=0, segment_bytes=SEGMENT_BYTES, **changes)  # type: ignore[arg-type]

        def generation() -> Generation:
            return Generation.derive(
                _METADATA, settings, initial_secret=bytes(32), salt=bytes(32), handle=1
            )

        return self._sealer(generation()), self._opener(generation()), settings

    def prepare(self, payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """Return the functions that seal and open."""
        sealer, opener, settings = self.pair()
        tick = 1000
        sealed: list[bytes] = []

        def seal() -> None:
            for _ in range(count):
                sealed.extend(sealer.seal(payload, tick))

        def open_all() -> None:
            open_one, now = opener.open, reading(settings, tick)
            for segment in sealed:
                open_one(segment, now)
            if opener.opened != len(sealed):
                raise ValueError(f"segments did not open: {opener.refusals}")

        return seal, open_all


IN_PYTHON = Tickseal(PureFrameSealer, PureFrameOpener, "FrameSealer, FrameOpener, AES-256-GCM")
AS_INSTALLED = Tickseal(
    FrameSealer, FrameOpener, f"the same, native: {tickseal.acceleration().library}"
)

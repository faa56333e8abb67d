"""OutgoingStream: one stream's sealing through its generations, with summaries."""

import contextlib
from dataclasses import dataclass

from tickseal.clock import ClockInterval, TickCounter
from tickseal.core import constants
from tickseal.core.errors import ClockError, ExhaustedError
from tickseal.sessions.negotiation import Wish
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.sealing import FrameSealer
from tickseal.streams.summary import Summary

#: A generation is replaced well before its tree ends: at this share of its ticks.
_RENEW_AT = 0.9


@dataclass(frozen=True, slots=True)
class SealedFrame:
    """One frame, sealed.

    Attributes:
        generation: its number.
        tick, number: of the frame.
        segments: in order.
    """

    generation: int
    tick: int
    number: int
    segments: list[bytes]


class OutgoingStream:
    """Seals what a stream produces under its current generation.

    Attributes:
        metadata, wish: as it is opened.
        frames, payload_bytes, segments: sealed so far, through all generations.
        keys_derived: frame keys derived, likewise.
        generations: how many were started.
        coasted: readings of a clock that had gone back, answered with the last tick again.
    """

    def __init__(self, metadata: StreamMetadata, wish: Wish) -> None:
        self.metadata = metadata
        self.wish = wish
        self.frames = 0
        self.payload_bytes = 0
        self.segments = 0
        self.generations = 0
        self._sealer: FrameSealer | None = None
        self._ticks: TickCounter | None = None
        self._is_offline = False
        self._first_tick = -1
        self._summarised = 0
        self._keys_before = 0
        self._coasted_before = 0

    @property
    def generation(self) -> Generation | None:
        """The generation that is sealed under; None before the first, and after stop()."""
        return self._sealer.generation if self._sealer else None

    @property
    def is_offline(self) -> bool:
        """Whether there is a current generation, begun without the gateway."""
        return self._sealer is not None and self._is_offline

    @property
    def is_live(self) -> bool:
        """Whether there is a current generation, opened by the gateway."""
        return self._sealer is not None and not self._is_offline

    @property
    def has_news(self) -> bool:
        """Whether frames were sealed since the last summary of this generation."""
        return self._sealer is not None and self._sealer.frame_number > self._summarised

    @property
    def coasted(self) -> int:
        """Frames sealed in the tick of the one before, as the clock had gone back."""
        return self._coasted_before + (self._ticks.coasted if self._ticks else 0)

    @property
    def tick(self) -> int:
        """Tick of the last frame; -1 before the first."""
        return self._sealer.tick if self._sealer else -1

    @property
    def frame_number(self) -> int:
        """Number that the next frame of this generation gets."""
        return self._sealer.frame_number if self._sealer else 0

    @property
    def keys_derived(self) -> int:
        """Frame keys derived through all generations."""
        return self._keys_before + (self._sealer.keys_derived if self._sealer else 0)

    def start(self, generation: Generation, *, offline: bool = False) -> None:
        """Switch to a generation; the secrets of the one before are erased."""
        self.stop()
        parameters = generation.parameters
        self._sealer = FrameSealer(generation)
        self._ticks = TickCounter(t0_ns=parameters.t0_ns, interval_ns=parameters.interval_ns)
        self._is_offline = offline
        self._first_tick = -1
        self._summarised = 0
        self.generations += 1

    def stop(self) -> None:
        """Erase the current generation's secrets; nothing can be sealed until the next start."""
        if self._sealer:
            self._keys_before += self._sealer.keys_derived
            self._sealer.clear()
        if self._ticks:
            self._coasted_before += self._ticks.coasted
        self._sealer = self._ticks = None

    def outgrown(self, now: ClockInterval) -> str:
        """Return why the generation should be replaced by the next; empty where it need not be.

        Either its ticks are nearly used up, or the clock has gone back so far that the sink takes
        its last tick for one of the future.
        """
        if not self._sealer or not self._ticks:
            return ""
        parameters = self._sealer.generation.parameters
        if parameters.depth and self._sealer.tick > parameters.tick_count * _RENEW_AT:
            return "its ticks are nearly used up"
        ahead_ns = parameters.t0_ns + self._ticks.last * parameters.interval_ns - now.latest_ns
        if self._ticks.last >= 0 and ahead_ns > parameters.skew_ns:
            return f"the clock went back by {ahead_ns / 1e9:.1f} s"
        return ""

    def seal(
        self, payload: bytes, now: ClockInterval, monotonic_ns: int, *, holdover: bool
    ) -> SealedFrame | None:
        """Return the sealed frame; None where no generation has started.

        Args:
            holdover: mark the frame as sealed by a clock that was not synchronised.
        Raises:
            ClockError: the clock is before t0, or jumped too far ahead.
            ExhaustedError: the generation is used up.
            LocalProtocolError: the payload is larger than was negotiated.
        """
        if not self._sealer or not self._ticks:
            return None
        tick = self._ticks.next(now, monotonic_ns)
        frame = self._seal(self._sealer, payload, tick, constants.KIND_FRAME, holdover=holdover)
        self.frames += 1
        self.payload_bytes += len(payload)
        if self._first_tick < 0:
            self._first_tick = tick
        return frame

    def summary(
        self, now: ClockInterval, monotonic_ns: int, *, is_final: bool = False
    ) -> SealedFrame | None:
        """Return a summary of all up to now; None before the generation's first frame."""
        if not self._sealer or not self._ticks or not self._sealer.frame_number:
            return None
        # A clock that cannot be followed must not keep the sink from knowing what was sealed.
        tick = self._sealer.tick
        with contextlib.suppress(ClockError):
            tick = self._ticks.next(now, monotonic_ns)
        summary = Summary(
            until_frame=self._sealer.frame_number,
            from_tick=max(0, self._first_tick),
            until_tick=tick + 1,
            is_final=is_final,
        )
        try:
            frame = self._seal(
                self._sealer,
                summary.encode(),
                tick,
                constants.KIND_SUMMARY,
                holdover=not now.is_synchronised,
            )
        except ExhaustedError:
            return None
        self._summarised = self._sealer.frame_number
        return frame

    def _seal(
        self, sealer: FrameSealer, payload: bytes, tick: int, kind: int, *, holdover: bool
    ) -> SealedFrame:
        flags = (constants.FLAG_HOLDOVER if holdover else 0) | (
            constants.FLAG_BACKFILL if self._is_offline else 0
        )
        number = sealer.frame_number
        segments = sealer.seal(payload, tick, flags, kind)
        self.segments += len(segments)
        return SealedFrame(sealer.generation.number, tick, number, segments)

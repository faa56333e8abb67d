"""OutgoingStream: one stream's sealing through its generations, with summaries."""

from dataclasses import dataclass

from tickseal.clock import ClockInterval, TickCounter
from tickseal.core import constants
from tickseal.generation import Generation
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import Wish
from tickseal.sealing import FrameSealer
from tickseal.summary import Summary

#: Specification (section 5.3): how often a source says what it has sealed, ns.
SUMMARY_NS = 5_000_000_000
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
        self._summary_due_ns = 0
        self._keys_before = 0

    @property
    def generation(self) -> Generation | None:
        """The generation that is sealed under; None before the first."""
        return self._sealer.generation if self._sealer else None

    @property
    def is_offline(self) -> bool:
        """Whether the current generation was begun without the gateway."""
        return self._is_offline

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

    def start(self, generation: Generation, *, offline: bool = False) -> SealedFrame | None:
        """Switch to a generation; return the final summary of the one before, to be sent first."""
        final = self.summary(is_final=True) if self._sealer and self._sealer.frame_number else None
        if self._sealer:
            self._keys_before += self._sealer.keys_derived
            self._sealer.clear()
        parameters = generation.parameters
        self._sealer = FrameSealer(generation)
        self._ticks = TickCounter(t0_ns=parameters.t0_ns, interval_ns=parameters.interval_ns)
        self._is_offline = offline
        self._first_tick = -1
        self._summary_due_ns = 0
        self.generations += 1
        return final

    def stop(self) -> None:
        """Erase the current generation's secrets; nothing can be sealed until the next start."""
        if self._sealer:
            self._keys_before += self._sealer.keys_derived
            self._sealer.clear()
        self._sealer = self._ticks = None

    def is_ending(self) -> bool:
        """Tell whether the generation's ticks are nearly used up: open the next one."""
        if not self._sealer:
            return False
        parameters = self._sealer.generation.parameters
        if not parameters.depth:
            return False
        return self._sealer.tick > (1 << (parameters.depth + parameters.epoch_bits)) * _RENEW_AT

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
        frame = self._seal(payload, tick, constants.KIND_FRAME, holdover=holdover)
        self.frames += 1
        self.payload_bytes += len(payload)
        if self._first_tick < 0:
            self._first_tick = tick
        return frame

    def summary_if_due(self, monotonic_ns: int) -> SealedFrame | None:
        """Return a summary every 5 s while frames are sealed."""
        if not self._sealer or not self._sealer.frame_number:
            return None
        if not self._summary_due_ns:
            self._summary_due_ns = monotonic_ns + SUMMARY_NS
        if monotonic_ns < self._summary_due_ns:
            return None
        self._summary_due_ns = monotonic_ns + SUMMARY_NS
        return self.summary()

    def summary(self, *, is_final: bool = False) -> SealedFrame | None:
        """Return a summary sealed in the tick of the last frame; None before the first frame."""
        if not self._sealer or self._sealer.tick < 0:
            return None
        summary = Summary(
            until_frame=self._sealer.frame_number,
            from_tick=max(0, self._first_tick),
            until_tick=self._sealer.tick + 1,
            is_final=is_final,
        )
        return self._seal(
            summary.encode(), self._sealer.tick, constants.KIND_SUMMARY, holdover=False
        )

    def _seal(self, payload: bytes, tick: int, kind: int, *, holdover: bool) -> SealedFrame:
        sealer = self._sealer
        if sealer is None:
            raise AssertionError("sealing begins with a generation")
        flags = (constants.FLAG_HOLDOVER if holdover else 0) | (
            constants.FLAG_BACKFILL if self._is_offline else 0
        )
        number = sealer.frame_number
        segments = sealer.seal(payload, tick, flags, kind)
        self.segments += len(segments)
        return SealedFrame(sealer.generation.number, tick, number, segments)

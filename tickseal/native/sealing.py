"""NativeFrameSealer: `sealing.FrameSealer` with its hot half in C."""

from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.forks import clear_in_child
from tickseal.native.hotpath import Sealer
from tickseal.native.layout import layout
from tickseal.streams.generation import Generation


class NativeFrameSealer(Sealer):
    """Seals the frames of one generation; see `sealing.FrameSealer`, whose bytes are the same.

    It is not thread-safe, yet no (key, nonce) comes twice from it even so.
    """

    __slots__ = ("__weakref__", "_epoch", "_generation")

    def __new__(cls, generation: Generation) -> "NativeFrameSealer":
        """Make the native half."""
        return super().__new__(cls, *layout(generation))  # type: ignore[return-value]

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._epoch = -1
        clear_in_child(self)

    @property
    def generation(self) -> Generation:
        """The generation that this sealer seals for."""
        return self._generation

    @property
    def tick(self) -> int:
        """Tick of the last frame; -1 before the first."""
        return self._tick if self._started else -1

    def clear(self) -> None:
        """Erase the secrets; nothing can be sealed any more."""
        self._generation.clear()
        self._epoch = -1
        self._wipe()

    def __repr__(self) -> str:
        return f"<FrameSealer of {self._generation!r}, next frame {self.frame_number}>"

    def _advance(self, tick: int) -> None:
        """Begin a tick; called where it is not the last frame's."""
        if tick < max(self.tick, 0):
            raise LocalProtocolError(f"tick {tick} is before tick {self.tick} of the frame before")
        if tick >> 64:
            raise ExhaustedError(f"tick {tick} is beyond every generation; is the clock set?")
        epoch = self._generation.epoch(tick)
        secret = None if epoch == self._epoch else self._generation.walker.take(epoch)
        self._start(tick, secret)
        self._epoch = epoch

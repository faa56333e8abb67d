"""RecordedGeneration: a copy of a generation's keys that walks behind what is on the disk."""

from tickseal import primitives
from tickseal.core.keytree import Walker
from tickseal.sessions import control
from tickseal.streams.generation import Generation


class RecordedGeneration:
    """One generation that is recorded; moved by the recorder's thread alone.

    Attributes:
        covered_until: first tick whose keys are not on the disk.
        hour: in which the last segments were filed; -1 before the first.
    """

    __slots__ = ("_copy", "covered_until", "device", "hour")

    def __init__(self, generation: Generation, device: str) -> None:
        walker = Walker(primitives, generation.walker.nodes())
        self._copy = Generation(
            generation.metadata, generation.parameters, handle=generation.handle, walker=walker
        )
        self.device = device
        self.covered_until = 0
        self.hour = -1

    @property
    def generation(self) -> Generation:
        """What it is; its keys still ahead of the recording."""
        return self._copy

    def grant(self, from_tick: int, until_tick: int) -> control.Grant | None:
        """Return the keys of the ticks [from, until) that are not on the disk; None for none."""
        start = max(from_tick, self.covered_until)
        until_tick = min(until_tick, self._copy.parameters.tick_count)
        if start >= until_tick:
            return None
        nodes = self._copy.grant(start, until_tick)
        return control.Grant(
            device=self.device,
            handle=self._copy.handle,
            metadata=self._copy.metadata.encode(),
            parameters=self._copy.parameters.encode(),
            ticks=(start, until_tick),
            frame_from=0,
            nodes=tuple(nodes),
        )

    def erase_until(self, tick: int) -> None:
        """Erase the keys before a tick, which are on the disk now."""
        self.covered_until = tick
        # The last epoch is kept: ticks to come may lie in it.
        self._copy.walker.puncture(self._copy.epoch(tick))

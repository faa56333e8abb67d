"""Offering: hands every batch to all outputs, numbered, so that what one misses is told."""

from collections.abc import Sequence

from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.outputs.base import OutputRunner


class Offering:
    """Where batches come together before they go to the outputs; for use on one thread.

    Args:
        outputs: get every batch; each on its own.
    """

    def __init__(self, outputs: Sequence[OutputRunner]) -> None:
        self._outputs = list(outputs)
        self._offered = 0

    def offer(self, batch: Batch) -> None:
        """Hand a batch on, where it holds anything. What an output cannot take, it misses."""
        if not len(batch):
            return
        # All at once, so that every output gets them in the order of their numbers.
        self._offered += 1
        batch.serial = self._offered
        for output in self._outputs:
            output.offer(batch)

"""Outputs that get some streams only, chosen by patterns."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.health.status import Json
from tickseal_gateway.outputs.base import Output
from tickseal_gateway.outputs.catching_up import CatchesUp
from tickseal_gateway.outputs.health import HealthReader

_IDS_MOST = 10_000


class SelectedOutput:
    """An Output in front of another, which lets through what belongs to chosen streams.

    Args:
        patterns: shell patterns of stream ids.
    """

    def __init__(self, output: Output, patterns: Sequence[str]) -> None:
        self.name = output.name
        self.gather_s = output.gather_s
        self.keeps_newest = output.keeps_newest
        self.catches_up = isinstance(output, CatchesUp) and output.catches_up
        self._output = output
        self._is_chosen: Callable[[str], bool] = lru_cache(_IDS_MOST)(
            lambda stream: any(fnmatchcase(stream, pattern) for pattern in patterns)
        )

    def write(self, batches: Sequence[Batch]) -> None:
        """Pass on what is chosen."""
        chosen = [part for batch in batches if len(part := self._select(batch))]
        if chosen:
            self._output.write(chosen)

    def close(self) -> None:
        """Close the output behind."""
        self._output.close()

    def _select(self, batch: Batch) -> Batch:
        return Batch(
            received_ns=batch.received_ns,
            readings=[each for each in batch.readings if self._is_chosen(each.stream)],
            pictures=[each for each in batch.pictures if self._is_chosen(each.stream)],
            others=[each for each in batch.others if self._is_chosen(each.stream)],
        )


class SelectedReader(SelectedOutput):
    """The same for an output that is a HealthReader, too."""

    def __init__(self, output: Output, reader: HealthReader, patterns: Sequence[str]) -> None:
        super().__init__(output, patterns)
        self._reader = reader

    def note(self, snapshot: Json) -> None:
        """Pass on a snapshot with the chosen streams."""
        streams: Any = snapshot["streams"]
        chosen = [stream for stream in streams if self._is_chosen(stream["id"])]
        self._reader.note({**snapshot, "streams": chosen})

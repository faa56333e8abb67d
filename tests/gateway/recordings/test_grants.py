"""Grants of long spans: what was written bit by bit is handed on whole, and opens offline."""

from itertools import pairwise
from pathlib import Path

import pytest
from recorded import SECOND, START, TAI_OFFSET, Recorded, seconds
from tickseal_gateway.recordings.grant_file import (
    GrantEncoder,
    read_grant_file,
    write_grant_file,
)
from tickseal_gateway.recordings.opening import RecordingOpener

from tickseal.core import keytree
from tickseal.payloads.samples import decode_samples

STREAM = "shed/air"


def hand_over(recorded: Recorded, file: Path, first_s: float, until_s: float) -> GrantEncoder:
    library = recorded.library
    span_ns = (
        START + TAI_OFFSET + round(first_s * SECOND),
        START + TAI_OFFSET + round(until_s * SECOND),
    )
    encoder = GrantEncoder()
    write_grant_file(file, encoder.encode(library.pieces(library.find(STREAM), span_ns)))
    return encoder


def test_a_span_of_many_small_writes_is_handed_on_whole(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "recordings")
    recorded.record(STREAM, seconds(0, 30), together=1)  # each write is a node of the tree
    file = tmp_path / "span.grant"
    made = hand_over(recorded, file, 0.5, 29.5)
    assert made.segments == 290
    assert made.pieces > 1
    opener = RecordingOpener()
    values, ticks = [], []
    for piece in read_grant_file(file):
        walker = piece.generation.walker
        ticks.append((walker.start, walker.end))
        for frame in opener.frames(piece):
            values += [sample.value for sample in decode_samples(frame.payload)]
    assert values == list(range(5, 295))
    assert ticks[-1][1] - ticks[0][0] == 290, "not a tick more can be opened"
    assert all(before[1] == after[0] for before, after in pairwise(ticks))
    (found,) = opener.found.values()
    assert (found.missing, found.incomplete, dict(found.refused)) == ([], [], {})


@pytest.mark.parametrize("written_s", [10, 100])
def test_a_span_within_a_long_recording_costs_as_many_key_steps_as_the_tree_is_deep(
    tmp_path: Path, written_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path / "recordings")
    recorded.record(STREAM, seconds(0, written_s), together=written_s * 10)  # one write
    steps: list[int] = []
    real = keytree.children

    def counted(*arguments: object) -> tuple[bytes, bytes]:
        steps.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(keytree, "children", counted)
    hand_over(recorded, tmp_path / "span.grant", written_s / 2 + 0.1, written_s / 2 + 3.2)
    depth = 32
    assert 0 < len(steps) <= 2 * depth

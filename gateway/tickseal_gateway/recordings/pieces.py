"""Pieces: sealed segments of one generation with just the keys that open them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tickseal import primitives
from tickseal.core import constants
from tickseal.core.errors import RemoteProtocolError, StoreError
from tickseal.core.keytree import Walker
from tickseal.sessions import control
from tickseal.sessions.sink_session import read_grant
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import StreamParameters
from tickseal_gateway.recordings.blocks import Row, decode_block
from tickseal_gateway.recordings.files import Entry, Kind, RecordReader

Node = tuple[int, int, bytes]
#: Of one grant (docs/protocol.md section 7.6).
_NODES_MOST = 2 * constants.DEPTH_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A span of one generation.

    Attributes:
        generation: holds the epochs of the ticks and nothing else. It is used up by opening.
        device: name of the source.
        ticks: half-open range.
        rows: the segments of these ticks, about in order; can be gone through once.
    """

    generation: Generation
    device: str
    ticks: tuple[int, int]
    rows: Iterable[Row]

    def grant(self) -> control.Grant:
        """Return the keys as a message."""
        generation = self.generation
        return control.Grant(
            device=self.device,
            handle=generation.handle,
            metadata=generation.metadata.encode(),
            parameters=generation.parameters.encode(),
            ticks=self.ticks,
            frame_from=0,
            nodes=tuple(generation.walker.nodes()),
        )


def piece_of(message: control.Grant, rows: Iterable[Row]) -> Piece:
    """Return a piece from a grant as a message.

    Raises:
        StoreError: the grant contradicts itself.
    """
    try:
        grant = read_grant(message)
    except RemoteProtocolError as error:
        raise StoreError(f"a grant in the file is not accepted: {error}") from None
    return Piece(generation=grant.generation, device=grant.device, ticks=grant.ticks, rows=rows)


def decode_grant(data: bytes, where: object) -> control.Grant:
    """Return the grant of a record.

    Raises:
        StoreError: it is none.
    """
    try:
        message = control.decode(data)
    except RemoteProtocolError as error:
        raise StoreError(f"a grant in {where} is not accepted: {error}") from None
    if not isinstance(message, control.Grant):
        raise StoreError(f"a record of {where} that should be a grant is none")
    return message


def rows_between(
    reader: RecordReader, entries: Iterable[Entry], ticks: tuple[int, int]
) -> Iterator[Row]:
    """Yield the segments of a span that blocks of one generation hold."""
    first, until = ticks
    for entry in entries:
        if entry.kind != Kind.BLOCK or entry.last_tick < first or entry.first_tick >= until:
            continue
        payload = reader.payload(entry)
        if payload is not None:
            yield from (row for row in decode_block(payload) if first <= row.tick < until)


def cut(
    grants: list[control.Grant], parameters: StreamParameters, ticks: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], list[Node]]]:
    """Yield spans of ticks that grants of one generation cover, cut to a span, with their nodes.

    Each has as many nodes as one grant may have: what was written bit by bit stays in small nodes.
    Costs at most `depth` key steps at each end of a span, however long it is.
    """
    bits = parameters.epoch_bits
    first, until = ticks[0] >> bits, ((ticks[1] - 1) >> bits) + 1
    for run in _runs(node for grant in grants for node in grant.nodes):
        walker = Walker(primitives, run)
        start, end = max(first, walker.start), min(until, walker.end)
        nodes = walker.cover(start, end) if start < end else []
        for place in range(0, len(nodes), _NODES_MOST):
            few = nodes[place : place + _NODES_MOST]
            start, end = few[0][1] << few[0][0], few[-1][1] + 1 << few[-1][0]
            yield (max(ticks[0], start << bits), min(ticks[1], end << bits)), few


def _runs(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """Yield lists of nodes without gap; a node within another is left out."""
    run: list[Node] = []
    end = -1
    for level, index, secret in sorted(nodes, key=lambda node: (node[1] << node[0], -node[0])):
        start = index << level
        if start < end:  # nodes of one tree lie within each other, or apart
            continue
        if start > end and run:
            yield run
            run = []
        run.append((level, index, secret))
        end = (index + 1) << level
    if run:
        yield run

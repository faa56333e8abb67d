"""Upkeep: what the gateway does once a second: report, resynchronise, renew, expire, note down."""

import logging
from collections.abc import Callable

from tickseal.core import errors
from tickseal.core.errors import LinkError, LocalProtocolError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.sessions.control import ReportRow
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.controller.controller import Controller
from tickseal_gateway.health.watch import Watch
from tickseal_gateway.ingest.streams import Held, LiveStream
from tickseal_gateway.store.sqlite import GenerationRow

_logger = logging.getLogger(__name__)
_SECOND = 1_000_000_000
#: Section 7.3: so many segments refused in a second, and none opened, ask for a resync.
_RESYNC_SEGMENTS = 8
_RESYNC_REASONS = (errors.WRONG_KEY_HASH, errors.UNKNOWN_GENERATION, errors.EXHAUSTED)
#: A device that does not renew when it is asked is asked again after so long.
_REKEY_AGAIN_NS = 60 * _SECOND
#: Seconds between two notes of the counts of those generations of which something came, and of all.
_NOTE_EVERY, _NOTE_ALL_EVERY = 5, 60


class Upkeep:
    """The second hand.

    Args:
        note_generations: is given the state of generations now and then; None where nobody asks.
    """

    def __init__(
        self,
        controller: Controller,
        watch: Watch,
        note_generations: Callable[[list[GenerationRow]], None] | None = None,
    ) -> None:
        self._controller = controller
        self._watch = watch
        self._note_generations = note_generations
        # Per stream: the generation that is to be replaced, and when its device was asked.
        self._asked: dict[int, tuple[int, int]] = {}
        # Per stream, as of when it was last heard: segments refused by each reason that counts, and
        # frames opened.
        self._before: dict[int, tuple[tuple[int, ...], int]] = {}
        self._seconds = 0

    def tick(self) -> None:
        """Do what is due. Call once a second."""
        controller = self._controller
        now, monotonic_ns = controller.clock.now(), boottime_ns()
        self._seconds += 1
        controller.table.expire(now)
        controller.clocks.check_own(now)
        controller.clocks.review(
            now,
            (
                (connection.device.name, trip)
                for connection in controller.connections.values()
                if connection.device and (trip := connection.session.round_trip)
            ),
        )
        controller.check_displaced(monotonic_ns)
        controller.check_budgets()
        controller.sinks.tick(now)
        self._watch.tick()
        rows: dict[int, list[ReportRow]] = {}
        unheld = controller.table.unheld
        for stream in controller.table:
            is_heard = stream.count_second()
            connection = controller.connections.get(stream.device_id)
            if connection is None:
                self._expire_orphan(stream, monotonic_ns)
                continue
            if is_heard or stream.handle in unheld:
                news = [row for held in stream.held.values() if (row := _report_row(held))]
                rows.setdefault(stream.device_id, []).extend(news)
                self._resync(stream, connection, unheld[stream.handle], monotonic_ns)
            self._renew(stream, connection, monotonic_ns, is_heard=is_heard)
        for device_id, connection in list(controller.connections.items()):
            try:
                if rows.get(device_id):
                    connection.session.report(rows[device_id])
                connection.flush()
            except (LinkError, LocalProtocolError) as error:
                _logger.debug("%s: %s", connection.address, error)
        if self._note_generations and self._seconds % _NOTE_EVERY == 0:
            self.note(is_all=self._seconds % _NOTE_ALL_EVERY == 0)

    def note(self, *, is_all: bool = True) -> None:
        """Give the counts of generations to the store.

        Args:
            is_all: those too that are as they were noted last.
        """
        if self._note_generations is None:
            return
        table = self._controller.table
        rows = []
        for stream in table:
            for held in stream.held.values():
                was, held.noted = held.noted, held.heard
                if is_all or was != held.noted:
                    rows.append(_generation_row(stream, held))
        while table.gone:
            rows.append(_generation_row(*table.gone.popleft()))
        self._note_generations(rows)

    def _expire_orphan(self, stream: LiveStream, monotonic_ns: int) -> None:
        if not stream.held:
            return
        left = self._controller.left_ns.setdefault(stream.device_id, monotonic_ns)
        if monotonic_ns - left > self._controller.config.policy.linger_ns:
            self._controller.table.erase_all(stream)

    def _resync(
        self, stream: LiveStream, connection: Connection, unheld: int, monotonic_ns: int
    ) -> None:
        refused = (
            sum(h.received.opener.refusals[errors.WRONG_KEY_HASH] for h in stream.held.values()),
            unheld,
            sum(h.received.opener.refusals[errors.EXHAUSTED] for h in stream.held.values()),
        )
        before, frames = self._before.get(stream.handle, ((0, 0, 0), 0))
        self._before[stream.handle] = (refused, stream.frames)
        if stream.frames != frames:
            return
        counts = [now - then for now, then in zip(refused, before, strict=True)]
        if sum(counts) < _RESYNC_SEGMENTS:
            return
        reason = _RESYNC_REASONS[counts.index(max(counts))]
        newest = stream.newest
        number = newest.generation.number if newest else 0
        if connection.session.resync(stream.handle, number, reason, monotonic_ns):
            _logger.info("%s: asked to open %s again (%s)", stream.device, stream.id, reason)

    def _renew(
        self, stream: LiveStream, connection: Connection, monotonic_ns: int, *, is_heard: bool
    ) -> None:
        held = stream.newest
        policy = self._controller.config.policy
        if held is None or held.received.ends_at_ns is not None:
            return
        is_old = monotonic_ns - held.opened_monotonic_ns >= policy.renew_after_ns
        if not is_old and not (is_heard and _is_long(held, policy.renew_frames)):
            return
        number, asked_ns = self._asked.get(stream.handle, (None, 0))
        if number != held.generation.number or monotonic_ns - asked_ns >= _REKEY_AGAIN_NS:
            self._asked[stream.handle] = held.generation.number, monotonic_ns
            connection.session.rekey(stream.handle)


def _is_long(held: Held, frames_most: int) -> bool:
    """Tell whether a generation has as many frames as it may have, or most of its epochs."""
    parameters, opener = held.generation.parameters, held.received.opener
    epochs = 1 << parameters.depth if parameters.depth else 1 << 63
    epoch = held.generation.epoch(max(0, opener.highest_tick))
    return opener.highest_frame + 1 >= frames_most or epoch > epochs * 0.9


def _report_row(held: Held) -> ReportRow | None:
    state = (held.received.frames, held.refused)
    if state == held.reported:
        return None
    held.reported = state
    generation = held.generation
    return ReportRow(
        generation.handle,
        generation.number,
        held.received.opener.highest_frame + 1,
        held.received.frames,
        held.refused,
    )


def _generation_row(stream: LiveStream, held: Held) -> GenerationRow:
    received = held.received
    return GenerationRow(
        handle=stream.handle,
        generation=held.generation.number,
        device=stream.device,
        stream=stream.id,
        opened_ns=held.opened_ns,
        last_frame_ns=held.last_frame_ns,
        frames=received.frames,
        payload_bytes=received.payload_bytes,
        missing=max(0, received.missing_frames),
        refusals=dict(received.opener.refusals),
    )

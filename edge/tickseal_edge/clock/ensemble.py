"""ClockEnsemble: the best of several sources, with fall back, return and holdover."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tickseal.clock import Clock, ClockDiscipline, ClockInterval
from tickseal.clock_votes import Vote, describe, judge
from tickseal.core.errors import ClockError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.logs import Once
from tickseal_edge.clock.base import ClockSource, SourceState
from tickseal_edge.clock.holdover import DriftEstimator

_logger = logging.getLogger("tickseal.edge")

_SECOND = 1_000_000_000
#: A better source is taken up again after it was well for so long.
_RETURN_NS = 10 * _SECOND
#: A source that has not been asked with success for so long is lost.
_OLD_NS = 5 * _SECOND
#: A source that is lost is asked again so often.
_AGAIN_NS = 5 * _SECOND
#: Holdover of a clock that was good, before it is no better than one that was set by hand.
_HOLDOVER_MOST_NS = _SECOND
_HISTORY = 360
_HISTORY_NS = 10 * _SECOND


class Standing:
    """How one source stands.

    Attributes:
        state: what it said when it was last well; None before.
        problem: why it is not well; empty where it is.
        asked_ns: when it was last asked; well_ns: when with success; since_ns: well or not since.
        is_false: others outvoted it.
    """

    __slots__ = ("asked_ns", "is_false", "problem", "since_ns", "source", "state", "well_ns")

    def __init__(self, source: ClockSource) -> None:
        self.source = source
        self.state: SourceState | None = None
        self.problem = "not asked yet"
        self.asked_ns = self.well_ns = self.since_ns = -(1 << 62)
        self.is_false = False

    @property
    def is_well(self) -> bool:
        """Whether it knew the time when it was last asked, and is not outvoted."""
        return not self.problem and not self.is_false

    def interval(self, now_ns: int) -> ClockInterval:
        """Return what it says now, or raise ClockError."""
        state = self.state
        if state is None:
            raise ClockError(self.problem)
        uncertainty = state.uncertainty_ns + _grown(now_ns - self.well_ns, state.growth_ppm)
        return ClockInterval.around(self.source.read_ns(), uncertainty, state.discipline)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """All that now() needs, replaced as a whole: it is read by other threads."""

    selected: Standing | None = None
    # The last good reading: when, its lead over the monotonic clock, its uncertainty, its drift.
    at_ns: int = 0
    lead_ns: int = 0
    uncertainty_ns: int = 0
    drift_ppm: float = 0.0
    drift_error_ppm: float = 0.0
    has_reading: bool = False


class ClockEnsemble:
    """A Clock.

    Args:
        sources: in the order of preference.
        free: what is read while no source ever was well.
        witness: returns what the gateway says the time is, if it does: it votes, but is not taken.
        monotonic_ns: counts sleep too.
    Attributes:
        disagreement: which sources are apart, and who is to blame as far as can be known; or "".
    """

    def __init__(
        self,
        sources: Sequence[ClockSource],
        free: Clock,
        *,
        witness: Callable[[], ClockInterval | None] = lambda: None,
        monotonic_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        self._standings = [Standing(source) for source in sources]
        self._free = free
        self._witness = witness
        self._monotonic_ns = monotonic_ns
        self._drift = DriftEstimator()
        self._view = _View()
        self._once = Once(_logger)
        self._history: deque[dict[str, object]] = deque(maxlen=_HISTORY)
        self._noted_ns = -(1 << 62)
        self.disagreement = ""

    def now(self) -> ClockInterval:
        """Return a reading; any thread."""
        view, now_ns = self._view, self._monotonic_ns()
        selected = view.selected
        if selected is not None and now_ns - selected.well_ns <= _OLD_NS:
            try:
                return selected.interval(now_ns)
            except ClockError:
                pass
        if not view.has_reading:
            return self._free.now()
        age_ns = now_ns - view.at_ns
        uncertainty_ns = view.uncertainty_ns + _grown(age_ns, view.drift_error_ppm)
        if uncertainty_ns > _HOLDOVER_MOST_NS:
            free = self._free.now()
            if free.uncertainty_ns <= uncertainty_ns:
                return free
        lead_ns = view.lead_ns + int(age_ns * view.drift_ppm / 1e6)
        return ClockInterval.around(now_ns + lead_ns, uncertainty_ns, ClockDiscipline.HOLDOVER)

    def poll(self) -> None:
        """Ask the sources, and choose. Blocks for a second or two at most; call it every second."""
        for standing in self._standings:
            self._ask(standing)
        now_ns = self._monotonic_ns()
        self._vote(now_ns)
        self._choose(now_ns)
        self._note(now_ns)

    def status(self) -> dict[str, object]:
        """Return how it stands, for people and for JSON."""
        now, now_ns = self.now(), self._monotonic_ns()
        selected = self._view.selected
        is_held = now.discipline is ClockDiscipline.HOLDOVER
        drift, drift_error = self._drift.drift
        return {
            "state": "holdover" if is_held else "synchronised" if now.is_synchronised else "free",
            "source": selected.source.name if selected and not is_held else "",
            "discipline": now.discipline.value,
            "uncertainty_ns": now.uncertainty_ns,
            "drift_ppm": round(drift, 4),
            "drift_error_ppm": round(drift_error, 4),
            "disagreement": self.disagreement,
            "sources": [self._describe(standing, now, now_ns) for standing in self._standings],
            "history": list(self._history),
        }

    def close(self) -> None:
        """Give up what the sources hold."""
        for standing in self._standings:
            standing.source.close()

    # --- Private ---

    def _ask(self, standing: Standing) -> None:
        now_ns = self._monotonic_ns()
        if standing.problem and now_ns - standing.asked_ns < _AGAIN_NS:
            return
        standing.asked_ns = now_ns
        try:
            state = standing.source.poll()
            standing.source.read_ns()
        except ClockError as error:
            if not standing.problem:
                standing.since_ns = now_ns
            standing.problem = str(error)
            return
        if standing.problem:
            standing.since_ns = now_ns
        standing.state, standing.problem, standing.well_ns = state, "", self._monotonic_ns()

    def _vote(self, now_ns: int) -> None:
        """Find who is at odds with whom; a source that others outvote is not used."""
        votes: list[Vote] = []
        for standing in self._standings:
            if not standing.problem:
                source = standing.source
                votes.append(Vote(source.name, source.basis, standing.interval(now_ns)))
        witness = self._witness()
        if witness is not None:
            votes.append(Vote("gateway", "gateway", witness))
        liars, apart = judge(votes)
        for standing in self._standings:
            standing.is_false = standing.source.name in liars
        self.disagreement = describe(liars, apart)
        self._once.change(
            "votes",
            (frozenset(liars), bool(apart)),
            logging.ERROR if apart else logging.DEBUG,
            "%s",
            self.disagreement or "the clock's sources agree",
        )

    def _choose(self, now_ns: int) -> None:
        view = self._view
        selected = view.selected
        if selected is not None and not selected.is_well:
            selected = None
        for standing in self._standings:
            if not standing.is_well:
                continue
            if selected is None or standing is selected:
                selected = standing
                break
            if now_ns - standing.since_ns >= _RETURN_NS:
                selected = standing
                break
        if selected is not view.selected:
            self._say(selected, view)
            if selected is not None:
                self._drift.clear()
        if selected is None:
            self._view = _View(
                at_ns=view.at_ns,
                lead_ns=view.lead_ns,
                uncertainty_ns=view.uncertainty_ns,
                drift_ppm=view.drift_ppm,
                drift_error_ppm=view.drift_error_ppm,
                has_reading=view.has_reading,
            )
            return
        try:
            reading = selected.interval(now_ns)
        except ClockError:
            return
        self._drift.add(now_ns, reading.midpoint_ns - now_ns)
        drift, drift_error = self._drift.drift
        self._view = _View(
            selected=selected,
            at_ns=now_ns,
            lead_ns=reading.midpoint_ns - now_ns,
            uncertainty_ns=reading.uncertainty_ns,
            drift_ppm=drift,
            drift_error_ppm=drift_error,
            has_reading=True,
        )

    def _say(self, selected: Standing | None, view: _View) -> None:
        if selected is not None:
            _logger.info("the clock follows %s", selected.source.name)
        elif view.selected is not None:
            was = view.selected
            why = was.problem or "others outvote it"
            _logger.warning("the clock lost %s: %s; it goes on by itself", was.source.name, why)

    def _note(self, now_ns: int) -> None:
        now = self.now()
        selected = self._view.selected
        name = selected.source.name if selected else ""
        last = self._history[-1] if self._history else {}
        is_news = (last.get("source"), last.get("discipline")) != (name, now.discipline.value)
        if is_news or now_ns - self._noted_ns >= _HISTORY_NS:
            self._noted_ns = now_ns
            state = selected.state if selected else None
            self._history.append(
                {
                    "at_unix_s": round(time.time(), 1),
                    "source": name,
                    "discipline": now.discipline.value,
                    "uncertainty_ns": now.uncertainty_ns,
                    "offset_ns": state.offset_ns if state else None,
                }
            )

    def _describe(self, standing: Standing, now: ClockInterval, now_ns: int) -> dict[str, object]:
        row: dict[str, object] = {
            "name": standing.source.name,
            "is_selected": standing is self._view.selected,
            "is_well": standing.is_well,
            "problem": standing.problem or ("others outvote it" if standing.is_false else ""),
        }
        state = standing.state
        if state is not None and not standing.problem:
            try:
                reading = standing.interval(now_ns)
            except ClockError as error:
                return {**row, "is_well": False, "problem": str(error)}
            row |= {
                "uncertainty_ns": reading.uncertainty_ns,
                "from_selected_ns": reading.midpoint_ns - now.midpoint_ns,
                "offset_ns": state.offset_ns,
                "details": dict(state.details),
                "notes": list(state.notes),
            }
        return row


def _grown(age_ns: int, ppm: float) -> int:
    return int(max(0, age_ns) * ppm / 1e6)

"""One stream of the board: its generations, its ticks, its segments."""

from device import cborlite, primitives
from tickseal.core import constants, keyschedule
from tickseal.core.errors import ExhaustedError, RemoteProtocolError
from tickseal.core.keytree import Walker
from tickseal.core.sealer import Sealer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECOND = 1_000_000_000
#: A forward jump of the clock beyond this is not followed on a live generation (section 4), ns.
_JUMP_NS = 60 * _SECOND
_SUMMARY_NS = 5 * _SECOND
#: Time between openings of a stream that the gateway asked for (section 7.3), ns.
_AGAIN_NS = 5 * _SECOND
_AGAIN_MOST_NS = 60 * _SECOND
#: A refused stream is asked for again after so long, ns.
_REFUSED_NS = 30 * _SECOND
#: What the board takes of its gateway: lowest and highest.
_POLICY = {
    "depth": (1, 48),
    "epoch_bits": (0, 32),
    "frame_bytes": (1, 1 << 26),
    "generation": (0, (1 << 64) - 1),
    "hash": (8, 32),
    "interval": (1_000_000, 3600 * _SECOND),
    "past": (0, 60 * _SECOND),
    "profile": (constants.COMPACT, constants.COMPACT),
    "renewal": (0, 1),
    "segment_bytes": (16, 1024),
    "skew": (0, 10 * _SECOND),
    "suite": (constants.AES_128_CCM_8, constants.AES_128_CCM_8),
    "t0": (0, (1 << 64) - 1),
}


class Stream:
    """A stream and its present generation, if it has one.

    Args:
        metadata: the map of docs/protocol.md section 2.1.
        wish: what it wants of its parameters (section 7.2), without suites.
    Attributes:
        handle: that the gateway gave; 0 before it did.
        parameters: of the present or the last generation.
        is_offline: the present generation was begun without the gateway.
        asked: an opening is under way.
        ask_ns: when to ask for a generation again, by the counter; 0 for now, -1 for not at all.
        frames: sealed since the board started.
    """

    def __init__(self, metadata: "dict[str, Any]", wish: "dict[str, int]") -> None:
        self.id: str = metadata["id"]
        self.metadata = cborlite.encode(metadata)
        self.wish: "dict[str, Any]" = {"profile": constants.COMPACT, "hash": 8}
        self.wish.update(wish)
        self.wish["suites"] = [constants.AES_128_CCM_8]
        self.handle = 0
        self.parameters: "dict[str, int]" = {}
        self.is_offline = self.asked = False
        self.ask_ns = 0
        self.frames = 0
        self._sealer: "Sealer | None" = None
        self._tick = self._first_tick = -1
        self._lead_ns = 0
        self._summary_ns = 0
        self._pause_ns = _AGAIN_NS
        self._asked_ns = -_AGAIN_MOST_NS

    @property
    def generation(self) -> int:
        """The number of the present generation; -1 where there is none."""
        return self.parameters["generation"] if self._sealer else -1

    @property
    def frame_number(self) -> int:
        """The number of the next frame of the present generation."""
        return self._sealer.frame_number if self._sealer else 0

    @property
    def tick(self) -> int:
        """The last tick sealed in; -1 before the first."""
        return self._tick

    # --- Generations ---

    def ask(self) -> "dict[str, Any]":
        """Return the message that asks for a generation."""
        self.asked = True
        self.ask_ns = -1
        return {"m": "open", "metadata": self.metadata, "wish": self.wish}

    def check(self, encoded: bytes) -> "dict[str, int]":
        """Return the parameters that the gateway grants, where the board can take them.

        Raises:
            RemoteProtocolError: it cannot.
        """
        parameters: "dict[str, int]" = cborlite.decode(encoded)
        if not isinstance(parameters, dict) or set(parameters) != set(_POLICY):
            raise RemoteProtocolError("stream parameters with other keys")
        for key, (low, high) in _POLICY.items():
            value = parameters[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise RemoteProtocolError("the gateway grants %s = %r" % (key, value))
        return parameters

    def begin(
        self,
        parameters: "dict[str, int]",
        encoded: bytes,
        secret: bytes,
        salt: bytes,
        confirm: "bytes | None",
    ) -> bool:
        """Switch to a generation; return False where the gateway derived other keys.

        Args:
            confirm: of the gateway; None for a generation begun offline.
        """
        context = keyschedule.context(primitives, self.metadata, encoded)
        prk = keyschedule.extract(primitives, salt, secret)
        if confirm is not None and not primitives.equal(
            keyschedule.confirm(primitives, prk, context), confirm
        ):
            return False
        root = keyschedule.root(primitives, prk, context)
        walker = Walker.from_root(primitives, root, parameters["depth"])
        self.end()
        self.parameters = parameters
        self.is_offline = confirm is None
        self._sealer = Sealer(primitives, context, walker, parameters, self.handle)
        return True

    def end(self) -> None:
        """Erase the keys of the present generation."""
        if self._sealer:
            self._sealer.clear()
        self._sealer = None
        self._tick = self._first_tick = -1
        self._summary_ns = 0

    def refused(self, at_ns: int) -> None:
        """Note that the gateway refused a generation."""
        self.asked = False
        self.ask_ns = at_ns + _REFUSED_NS

    def renew(self, at_ns: int) -> None:
        """Ask for the next generation, not more often than is allowed."""
        if not self.asked and at_ns - self._asked_ns >= self._pause_ns:
            self._asked_ns = at_ns
            self._pause_ns = min(2 * self._pause_ns, _AGAIN_MOST_NS)
            self.ask_ns = 0

    def helped(self) -> None:
        """Note that the gateway opens what this generation seals."""
        self._pause_ns = _AGAIN_NS

    # --- Sealing ---

    def tick_now(self, at_ns: int, tai_ns: int) -> int:
        """Return the tick to seal with, -1 where nothing may be sealed now.

        Never an earlier one than the last; and where the clock jumped far ahead, none before the
        gateway has agreed by a new generation.
        """
        parameters = self.parameters
        if self._sealer is None or tai_ns < parameters["t0"]:
            return self._tick
        lead = tai_ns - at_ns
        if self._tick >= 0 and lead - self._lead_ns > _JUMP_NS:
            self.renew(at_ns)
            return -1
        if self._tick < 0 or lead < self._lead_ns:
            self._lead_ns = lead
        return max(self._tick, (tai_ns - parameters["t0"]) // parameters["interval"])

    def seal(self, payload: bytes, tick: int, flags: int, kind: int = 0) -> "list[bytes]":
        """Return the segments of a frame; none where the generation is used up."""
        if self._sealer is None or tick < 0:
            return []
        try:
            segments = self._sealer.seal(payload, tick, flags, kind)
        except ExhaustedError:
            self.end()
            self.ask_ns = 0
            return []
        self._tick = tick
        if self._first_tick < 0:
            self._first_tick = tick
        self.frames += 1
        return segments

    def summary(self, at_ns: int, tick: int, flags: int, final: bool = False) -> "list[bytes]":
        """Return the segments of a summary where one is due (section 5.3)."""
        if self._first_tick < 0 or not (final or at_ns - self._summary_ns >= _SUMMARY_NS):
            return []
        if not self._summary_ns and not final:
            self._summary_ns = at_ns
            return []
        self._summary_ns = at_ns
        tick = max(tick, self._tick)
        content = {
            "frames": [0, self.frame_number],
            "ticks": [self._first_tick, tick + 1],
            "final": final,
        }
        return self.seal(cborlite.encode(content), tick, flags, constants.KIND_SUMMARY)

    def __repr__(self) -> str:
        return "<Stream %s>" % self.id

"""What the board runs: read, seal, send, for ever. Ctrl-C on the REPL's cable ends it."""

import gc
import sys
import time

from device import cable, clock, config, files, identity, pins, senml, sensors, spool, streams
from device.prepared import Prepared
from device.randomness import Randomness
from device.session import CLOSED, RUNNING, Session
from tickseal.core import constants
from tickseal.core.errors import TicksealError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The file with the modules that no other imports at its top (tickseal_flash/bundle.py).
_HANDSHAKE = "tickseal_handshake"
_MILLISECOND = 1_000_000
_SECOND = 1_000 * _MILLISECOND
#: Pauses between connections that fail, ms: the first, and the longest.
_PAUSE_MS = 100
_PAUSE_MOST_MS = 1000
#: After the gateway said no, ms.
_REFUSED_MS = 30_000
#: Longest wait for the cable, ms.
_WAIT_MS = 200
#: After a start, and between slow steps of preparing the next handshake, ns.
_PREPARE_NS = 3 * _SECOND
#: After a fault of the program itself the board starts anew, ms later.
_RESTART_MS = 2000
#: Garbage is collected whenever so many bytes have come: a collection takes a Pico some 10 ms.
_GARBAGE_BYTES = 16384
#: A stream whose turn has passed by so much is not made up for, ns.
_BEHIND_NS = 2 * _SECOND


class Board:
    """One board, from its start to Ctrl-C.

    Args:
        settings: of device.config.
    """

    def __init__(self, settings: "dict[str, Any]") -> None:
        self._counter = clock.Monotonic()
        self._clock = clock.Clock()
        self._random = Randomness(identity.load_key())
        self._identity = identity.load(self._random)
        self._prepared = Prepared(
            self._random, self._identity.private, self._identity.gateway, self._identity.shared
        )
        self._spool = spool.Spool(settings["spool_bytes"])
        self._cable = cable.Cable(cable.open_port(settings["cable"]))
        self._leap_ns = settings["leap_seconds"] * _SECOND
        self._streams: "list[streams.Stream]" = []
        # Of each stream: its sensors with what they gave last, its period, and when it is next.
        self._turns: "list[list[Any]]" = []
        now = self._counter.ns()
        for one in settings["streams"]:
            metadata = {"id": one["id"], "type": one["type"], "content": senml.CONTENT}
            self._streams.append(streams.Stream(metadata, config.wish(one)))
            made = [[sensors.make(sensor), []] for sensor in one["sensors"]]
            self._turns.append([made, one["period_ms"] * _MILLISECOND, now])
        self._hello = {"name": settings["name"], "software": settings["software"]}
        self._session: "Session | None" = None
        self._retry_ms = 0
        self._pause_ms = _PAUSE_MS
        self._notes: "list[str]" = []
        self._prepare_ns = 0
        self.pins = pins.Pins(settings["led"], settings["pps"], settings["watchdog"])

    # --- The loop ---

    def step(self) -> None:
        """Do what is due, then wait for the cable, shortly."""
        self.pins.feed()
        at_ns = self._counter.ns()
        edge = self.pins.edge()
        if edge >= 0:
            self._clock.pulse(self._counter.at(edge))
        now_ms = at_ns // _MILLISECOND
        try:
            self._connect(at_ns, now_ms)
            self._measure(at_ns)
            wait_ms = self._wait_ms(at_ns, now_ms)
            self._cable.flush(now_ms)
            records = self._cable.receive(wait_ms, now_ms)
            at_ns = self._counter.ns()
            # What came is acknowledged before it is worked on, which may take long.
            self._cable.flush(at_ns // _MILLISECOND)
            session = self._session
            if session is not None:
                for kind, body in records:
                    session.receive(kind, body, at_ns)
                if not self._cable.channel.was_answered:
                    session.wait_on(at_ns)
                session.tend(at_ns)
                if session.state == RUNNING:
                    channel = self._cable.channel
                    if self._spool.offer(session, channel):
                        session.open_streams(at_ns)
                    sealing = [stream.generation for stream in self._streams]
                    self._spool.work(session, channel, sealing)
            self._cable.flush(at_ns // _MILLISECOND)
            self._watch(at_ns)
            self._prepare(at_ns)
        except TicksealError as fault:
            self.note("the session ends: %s" % fault)
            self._disconnect(at_ns)
        while self._notes:
            self._cable.say(self._notes.pop(0))
        if self._session is None or self._session.state >= RUNNING:
            # The code of handshakes is in memory only while there is one.
            sys.modules.pop(_HANDSHAKE, None)

    def _connect(self, at_ns: int, now_ms: int) -> None:
        if self._session is None and now_ms >= self._retry_ms:
            self._cable.connect(int.from_bytes(self._random(2), "big") or 1, now_ms)
            self._session = Session(
                self, self._queue, self._identity, self._prepared, self._clock, self._streams,
                self._hello, at_ns,
            )  # fmt: skip

    def _prepare(self, at_ns: int) -> None:
        """Do a slow step of the next handshake, where this one has long been over."""
        if self._prepare_ns and at_ns >= self._prepare_ns:
            more = self._prepared.step()
            self._prepare_ns = at_ns + _PREPARE_NS if more else 0

    def _watch(self, at_ns: int) -> None:
        """End the session where the host, the gateway or the cable ended it."""
        session = self._session
        if session is None:
            return
        channel = self._cable.channel
        if session.state == CLOSED:
            self.note("the gateway ends the session: " + session.ended)
            self._disconnect(at_ns)
            if session.ended in ("revoked", "unknown", "used", "expired", "incompatible"):
                self._retry_ms = at_ns // _MILLISECOND + _REFUSED_MS
        elif self._cable.was_reset:
            self._disconnect(at_ns)
        elif channel.was_answered and channel.is_dead(at_ns // _MILLISECOND):
            self.note("the cable is dead")
            self._disconnect(at_ns)

    def _disconnect(self, at_ns: int) -> None:
        if self._session is not None:
            self._pause_ms = min(2 * self._pause_ms, _PAUSE_MOST_MS)
            if self._session.state == RUNNING:
                self._pause_ms = _PAUSE_MS
            self._session.close()
        self._session = None
        self._cable.was_reset = False
        self._retry_ms = at_ns // _MILLISECOND + self._pause_ms
        self._spool.restart()
        for stream in self._streams:
            if not stream.is_offline:
                stream.end()
        self._prepare_ns = 0
        self.pins.show(False)
        gc.collect()

    def _wait_ms(self, at_ns: int, now_ms: int) -> int:
        wait = _WAIT_MS
        if self._session is not None:
            wait = min(wait, self._session.wait_ns(at_ns) // _MILLISECOND)
            again = self._cable.wait_ms(now_ms)
            if again >= 0:
                wait = min(wait, again)
        for _, _, due_ns in self._turns:
            wait = min(wait, max(0, due_ns - at_ns) // _MILLISECOND)
        return wait

    # --- Frames ---

    def _measure(self, at_ns: int) -> None:
        for index, turn in enumerate(self._turns):
            stream = self._streams[index]
            if at_ns >= turn[2]:
                turn[2] += turn[1]
                if at_ns - turn[2] > _BEHIND_NS:
                    turn[2] = at_ns + turn[1]
                self._frame(stream, turn[0], at_ns)

    def _frame(self, stream: "streams.Stream", made: "list[Any]", at_ns: int) -> None:
        earliest, latest, discipline = self._clock.now(at_ns)
        if discipline == "none":
            return
        tai_ns = (earliest + latest) // 2
        is_running = self._session is not None and self._session.state == RUNNING
        if stream.generation < 0 and not is_running:
            self._spool.begin(stream, self._identity, self._prepared, self._random, tai_ns)
        tick = stream.tick_now(at_ns, tai_ns)
        if stream.generation < 0 or tick < 0:
            return
        flags = constants.FLAG_HOLDOVER if discipline == "holdover" else 0
        payload = senml.pack(sensors.read(made), tai_ns - self._leap_ns)
        self._give(stream, tick, flags, payload)
        self._summarise(stream, at_ns, tick, flags, False)

    def _give(self, stream: "streams.Stream", tick: int, flags: int, payload: bytes) -> None:
        number, generation = stream.frame_number, stream.generation
        if stream.is_offline:
            flags |= constants.FLAG_BACKFILL
        segments = stream.seal(payload, tick, flags)
        self._pass_on(stream, generation, number, segments)

    def _pass_on(
        self, stream: "streams.Stream", generation: int, number: int, segments: "list[bytes]"
    ) -> None:
        if stream.is_offline and segments:
            self._spool.add(generation, number, stream.tick, segments)
        else:
            self._cable.send_segments(segments, self._counter.ns() // _MILLISECOND)

    def _summarise(
        self, stream: "streams.Stream", at_ns: int, tick: int, flags: int, final: bool
    ) -> None:
        number, generation = stream.frame_number, stream.generation
        if stream.is_offline:
            flags |= constants.FLAG_BACKFILL
        self._pass_on(stream, generation, number, stream.summary(at_ns, tick, flags, final))

    def _queue(self, kind: int, body: bytes) -> bool:
        return self._cable.channel.queue(kind, body)

    # --- What the session tells ---

    def note(self, text: str) -> None:
        """Tell people something."""
        if len(self._notes) < 8:
            self._notes.append(text)

    def enrolled(self, device: str, psk: bytes) -> None:
        """Write the identity to flash."""
        import os

        identity.save(self._identity, device, psk, self._prepared.shared)
        if files.exists(identity.INVITE):
            os.remove(identity.INVITE)
        self.note("enrolled as " + device)

    def running(self) -> None:
        """Note that streams can be opened now."""
        self._pause_ms = _PAUSE_MS

    def ending(self, stream: "streams.Stream") -> None:
        """Seal the last summary of a generation that another follows."""
        if stream.generation >= 0:
            self._summarise(stream, self._counter.ns(), stream.tick, 0, True)

    def started(self, stream: "streams.Stream") -> None:
        """Note that a stream has a live generation."""
        self.note("streaming " + stream.id)
        self.pins.show(True)
        self._prepare_ns = self._counter.ns() + _PREPARE_NS

    def offered(self, handle: int, generation: int, accepted: bool) -> None:
        """Pass on to the spool."""
        self._spool.offered(handle, generation, accepted)

    def stored(self, handle: int, generation: int, until: int) -> None:
        """Pass on to the spool."""
        self._spool.stored(handle, generation, until)


def forget() -> None:
    """Let go of what only the start needs; tickseal_flash fills in how."""


def run() -> None:
    """Run until Ctrl-C; start the board anew after a fault of the program."""
    gc.threshold(_GARBAGE_BYTES)
    try:
        board = Board(config.load())
    except TicksealError as fault:
        print("tickseal cannot start: %s" % fault)
        return
    forget()
    try:
        while True:
            board.step()
    except KeyboardInterrupt:
        board.pins.release()
        print("tickseal stopped")
    except Exception as fault:
        board.pins.release()
        _restart(fault)


def _restart(fault: Exception) -> None:
    """Tell of a fault, leave a person time to press Ctrl-C, and start anew."""
    sys.print_exception(fault)
    import machine

    time.sleep_ms(_RESTART_MS)
    machine.reset()

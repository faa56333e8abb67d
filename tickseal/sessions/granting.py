"""GrantingSession: what a controller says to a separate sink (docs/protocol.md section 9)."""

from collections.abc import Sequence

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.events import CloseReason, Event
from tickseal.sessions.outbox import Lane
from tickseal.sessions.records import RecordType
from tickseal.sessions.session import Session, State
from tickseal.streams.generation import Generation


class GrantingSession(Session):
    """The part of a controller's session that is for sinks; it does nothing for sources."""

    def __init__(self, monotonic_ns: int) -> None:
        super().__init__(monotonic_ns)
        self._role = Role.SOURCE
        self._expected: Role | None = None
        self._recalled = ""

    # --- What the application calls ---

    def expect_role(self, role: Role) -> None:
        """Let the device's hello name this role, or else the session ends; call before accept()."""
        self._expected = role

    @property
    def dropped_segments(self) -> int:
        """Segments that forward() dropped, as the sink did not keep up, so far."""
        return self._outbox.dropped_segments

    def grant_span(
        self,
        generation: Generation,
        *,
        device: str,
        from_tick: int,
        until_tick: int,
        frame_from: int,
    ) -> None:
        """Give a sink the keys of the ticks [from, until), rounded out to whole epochs.

        Args:
            generation: as the gateway holds it; nothing of it moves.
            device: name of the source, 0..200 bytes.
            frame_from: first frame number that the sink may open.
        Raises:
            LocalProtocolError: not running, no sink, the span is empty or not held any more, or the
                stream's depth is 0.
        """
        self._require_running_sink()
        self._send(
            control.Grant(
                device=device,
                handle=generation.handle,
                metadata=generation.metadata.encode(),
                parameters=generation.parameters.encode(),
                ticks=(from_tick, until_tick),
                frame_from=frame_from,
                nodes=tuple(generation.grant(from_tick, until_tick)),
            )
        )

    def withdraw(self, handle: int, generation: int, reason: str) -> None:
        """Tell a sink to erase what it holds of a generation.

        Raises:
            LocalProtocolError: not running, no sink, or a value out of range.
        """
        self._require_running_sink()
        self._send(control.Withdrawn(handle=handle, generation=generation, reason=reason))

    def refuse_subscription(self, stream_id: str, reason: str, detail: str = "") -> None:
        """Tell a sink that it gets no grant for a stream that it named.

        Raises:
            LocalProtocolError: not running, no sink, or a text too long.
        """
        self._require_running_sink()
        self._send(control.Refused(stream=stream_id, reason=reason, detail=detail))

    def forward(self, segments: Sequence[bytes], handle: int | None = None) -> None:
        """Send sealed segments on to a sink; where too many wait, the oldest are dropped.

        Args:
            segments: 1..65528 bytes each.
            handle: of the stream that all are of, where their headers are compact.
        Raises:
            LocalProtocolError: not running, no sink, or a segment has a size that there is not.
        """
        self._require_running_sink()
        self._outbox.put_newest(segments, handle)

    def send_recalled(self, part: bytes, *, is_last: bool = False, reason: str = "") -> bool:
        """Send the next part of the grant file that answers RecallRequested, behind segments.

        Args:
            part: 0..12288 bytes.
            reason: a word for why it ends without being whole.
        Returns:
            False, and nothing is sent, where too much waits: try it again after data_to_send().
        Raises:
            LocalProtocolError: not running, no sink, no such request, or a value out of range.
        """
        self._require_running_sink()
        if not self._recalled:
            raise LocalProtocolError("the sink has not asked for a recording")
        message = control.Recalled(stream=self._recalled, part=part, last=is_last, reason=reason)
        if not self._outbox.put(RecordType.CONTROL, control.encode(message), Lane.BACKFILL):
            return False
        if is_last:
            self._recalled = ""
        return True

    # --- What the device sends ---

    def _take_role(self, hello: control.Hello) -> list[Event]:
        """Note what a device is; return the end where it is not what it was enrolled as."""
        self._role = hello.role
        if self._expected in (None, hello.role):
            return []
        self._send(control.Bye(reason=CloseReason.ROLE.value))
        return [self._end(CloseReason.ROLE, f"a {hello.role.value} that is to be another role")]

    def _on_sink_message(self, message: control.Subscribe | control.Recall) -> Event:
        if self._role is not Role.SINK:
            raise RemoteProtocolError("a source reads nothing: it has no subscriptions")
        if isinstance(message, control.Subscribe):
            return ev.SubscribeRequested(streams=message.streams)
        if self._recalled:
            raise RemoteProtocolError("recall while another is being answered")
        self._recalled = message.stream
        return ev.RecallRequested(stream_id=message.stream, tai=message.tai)

    def _require_source(self) -> None:
        if self._role is not Role.SOURCE:
            raise RemoteProtocolError("a sink seals nothing: it sends no streams")

    def _require_running_sink(self) -> None:
        self._require(State.RUNNING)
        if self._role is not Role.SINK:
            raise LocalProtocolError("a source is given no grants and no segments")

"""SinkSession: one connection of a separate Data Sink to its gateway, without I/O (section 9)."""

from collections.abc import Sequence

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Message, Role
from tickseal.sessions.device_session import DeviceSession, device_table
from tickseal.sessions.events import Event
from tickseal.sessions.records import RecordType, unpack_segments, unpack_stream_segments
from tickseal.sessions.session import State
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters


class SinkSession(DeviceSession):
    """One connection of a Data Sink on another machine, which opens streams by grants.

    GrantReceived, GrantWithdrawn and SegmentsReceived are for `sessions.grants.GrantHolder`.

    Args, Raises: as of DeviceSession.
    """

    _table = device_table(
        control.Grant, control.Withdrawn, control.Refused, control.Recalled,
        RecordType.DATA, RecordType.STREAM_DATA,
    )  # fmt: skip
    _role = Role.SINK
    _recalling = ""

    def subscribe(self, streams: Sequence[str] = ()) -> None:
        """Ask for grants; they follow as GrantReceived while the gateway's policy allows.

        Args:
            streams: ids, up to 64 different ones; none for all that this sink may read. They
                replace those of the call before.
        Raises:
            LocalProtocolError: not running, or the ids are not allowed.
        """
        self._require(State.RUNNING)
        self._send(control.Subscribe(streams=tuple(streams)))

    def recall(self, stream_id: str, tai: tuple[int, int]) -> None:
        """Ask for what was recorded of a stream; RecallReceived follows, until its last.

        Args:
            tai: half-open range (from, until), ns TAI.
        Raises:
            LocalProtocolError: not running, another recall is under way, or a value is not allowed.
        """
        self._require(State.RUNNING)
        if self._recalling:
            raise LocalProtocolError(f"{self._recalling!r} is being recalled: one at a time")
        self._send(control.Recall(stream=stream_id, tai=tai))
        self._recalling = stream_id

    # --- What the gateway sends ---

    def _on_data(self, body: bytes) -> list[Event]:
        return [ev.SegmentsReceived(segments=tuple(unpack_segments(body)))]

    def _on_stream_data(self, body: bytes) -> list[Event]:
        handle, segments = unpack_stream_segments(body)
        return [ev.SegmentsReceived(segments=tuple(segments), handle=handle)]

    def _on_stream_message(self, message: Message, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Grant():
                return [read_grant(message)]
            case control.Withdrawn(handle=handle, generation=generation, reason=reason):
                gone = ev.GrantWithdrawn(handle=handle, generation=generation, reason=reason)
                return [gone]
            case control.Recalled():
                return [self._on_recalled(message)]
            case control.Refused(stream=stream, reason=reason, detail=detail):
                return [ev.StreamRefused(stream_id=stream, reason=reason, detail=detail)]
            case _:
                raise RemoteProtocolError("a message that is not for a sink")

    def _on_recalled(self, message: control.Recalled) -> Event:
        if message.stream != self._recalling:
            raise RemoteProtocolError("a part of a recording that was not asked for")
        if message.last:
            self._recalling = ""
        return ev.RecallReceived(
            stream_id=message.stream,
            part=message.part,
            is_last=message.last,
            reason=message.reason,
        )


def read_grant(message: control.Grant) -> ev.GrantReceived:
    """Return what a grant holds.

    Raises:
        RemoteProtocolError: its nodes are not those of its ticks, or a part is none.
    """
    first, until = message.ticks
    try:
        generation = Generation.from_grant(
            StreamMetadata.decode(message.metadata),
            StreamParameters.decode(message.parameters),
            message.nodes,
            handle=message.handle,
        )
    except LocalProtocolError as fault:
        raise RemoteProtocolError(f"a grant that is not accepted: {fault}") from None
    walker = generation.walker
    held = (walker.start, walker.end)
    if first >= until or held != (generation.epoch(first), generation.epoch(until - 1) + 1):
        raise RemoteProtocolError("a grant whose nodes are not those of its ticks")
    return ev.GrantReceived(
        generation=generation,
        device=message.device,
        ticks=message.ticks,
        frame_from=message.frame_from,
    )

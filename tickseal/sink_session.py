"""SinkSession: one connection of a separate Data Sink to its gateway, without I/O (section 9)."""

from collections.abc import Sequence

from tickseal import control
from tickseal import events as ev
from tickseal.control import Message, Role
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.device_session import DeviceSession, device_table
from tickseal.events import Event
from tickseal.generation import Generation
from tickseal.metadata import StreamMetadata
from tickseal.parameters import StreamParameters
from tickseal.records import RecordType, unpack_segments
from tickseal.session import State


class SinkSession(DeviceSession):
    """One connection of a Data Sink on another machine, which opens streams by grants.

    GrantReceived, GrantWithdrawn and SegmentsReceived are for a `tickseal.grants.GrantHolder`.

    Args, Raises: as of DeviceSession.
    """

    _table = device_table(control.Grant, control.Withdrawn, control.Refused, RecordType.DATA)
    _role = Role.SINK

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

    # --- What the gateway sends ---

    def _on_data(self, body: bytes) -> list[Event]:
        return [ev.SegmentsReceived(segments=tuple(unpack_segments(body)))]

    def _on_stream_message(self, message: Message, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Grant():
                return [read_grant(message)]
            case control.Withdrawn(handle=handle, generation=generation, reason=reason):
                gone = ev.GrantWithdrawn(handle=handle, generation=generation, reason=reason)
                return [gone]
            case control.Refused(stream=stream, reason=reason, detail=detail):
                return [ev.StreamRefused(stream_id=stream, reason=reason, detail=detail)]
            case _:
                raise RemoteProtocolError("a message that is not for a sink")


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

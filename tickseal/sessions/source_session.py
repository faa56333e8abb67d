"""SourceSession: one connection of a Data Source to its gateway, without I/O."""

from collections.abc import Callable, Sequence

from tickseal.core.errors import RemoteProtocolError
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Message, Role
from tickseal.sessions.device_session import Credentials, DeviceSession, device_table
from tickseal.sessions.events import Event
from tickseal.sessions.negotiation import AcceptancePolicy, Wish
from tickseal.sessions.outbox import Lane
from tickseal.sessions.session import State
from tickseal.sessions.source_streams import SourceStreams
from tickseal.streams.metadata import StreamMetadata

__all__ = ["Credentials", "SourceSession"]


class SourceSession(DeviceSession):
    """One connection of a Data Source.

    Args:
        policy: what it takes from the controller; its suites are offered in their order.
        others: as of DeviceSession.
    Raises: as DeviceSession.
    """

    _table = device_table(
        control.Opened,
        control.Refused,
        control.Report,
        control.Resync,
        control.Rekey,
        control.Offered,
        control.StoredUntil,
    )
    _role = Role.SOURCE

    def __init__(
        self,
        *,
        credentials: Credentials,
        name: str,
        software: str,
        policy: AcceptancePolicy,
        random_bytes: Callable[[int], bytes],
        monotonic_ns: int,
    ) -> None:
        super().__init__(
            credentials=credentials,
            name=name,
            software=software,
            suites=tuple(int(suite) for suite in policy.suites),
            random_bytes=random_bytes,
            monotonic_ns=monotonic_ns,
        )
        self._streams = SourceStreams(policy, self.counters)
        self._offers_unanswered = 0

    # --- What the application calls ---

    @property
    def refused_segments(self) -> int:
        """Segments that send_segments() did not take, so far."""
        return self._outbox.refused_segments

    def open_stream(self, metadata: StreamMetadata, wish: Wish) -> bool:
        """Ask for a generation of a stream; GenerationStarted or StreamRefused follows.

        Args:
            wish: without suites, those of the policy are offered.
        Returns:
            False, and nothing is sent, where an opening of this stream is under way.
        Raises:
            LocalProtocolError: not running, or 256 streams are open.
        """
        self._require(State.RUNNING)
        message = self._streams.ask(metadata, wish)
        if message is not None:
            self._send(message)
        return message is not None

    def close_stream(self, handle: int, generation: int) -> None:
        """Tell the gateway that a generation is done with.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        self._send(control.Close(handle=handle, generation=generation))
        self._streams.close(handle, generation)

    def offer(self, blob: bytes) -> None:
        """Offer an offline generation; OfferAnswered follows. Offer the next one after it.

        Args:
            blob: from seal_offline_generation(), at most 8192 bytes.
        Raises:
            LocalProtocolError: not running, or the blob is too long.
        """
        self._require(State.RUNNING)
        self._send(control.Offer(blob=blob))
        self._offers_unanswered += 1

    def announce_backfill(
        self, handle: int, generation: int, *, ticks: tuple[int, int], frames: tuple[int, int]
    ) -> None:
        """Say what the next backfilled segments hold.

        Args:
            ticks, frames: half-open ranges (from, until).
        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        message = control.Backfill(handle=handle, generation=generation, ticks=ticks, frames=frames)
        self._send(message, Lane.BACKFILL)

    def finish_backfill(self, handle: int, generation: int) -> None:
        """Say, behind all backfilled segments so far, that nothing more follows in this generation.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        self._send(control.Backfilled(handle=handle, generation=generation), Lane.BACKFILL)

    def send_segments(self, segments: Sequence[bytes], *, backfill: bool = False) -> int:
        """Send sealed segments on this connection, live ones ahead of backfill.

        Args:
            segments: 1..65532 bytes each.
            backfill: in order with announce_backfill() and finish_backfill().
        Returns:
            How many, from the first, were taken. The others found no room (256 KiB a lane) and are
            the caller's still: try them again after data_to_send(). refused_segments counts them.
        Raises:
            LocalProtocolError: not running, or a segment has a size that there is not.
        """
        self._require(State.RUNNING)
        return self._outbox.put_segments(segments, Lane.BACKFILL if backfill else Lane.LIVE)

    # --- What the gateway sends ---

    def _on_data(self, body: bytes) -> list[Event]:
        raise RemoteProtocolError("segments are not for a source")

    def _on_stream_message(self, message: Message, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Opened():
                return [self._on_opened(message)]
            case control.Refused():
                return [self._streams.refused(message)]
            case control.Report():
                return self._streams.report(message)
            case control.Resync():
                return self._streams.resync(message, monotonic_ns)
            case control.Rekey():
                return self._streams.rekey(message)
            case control.Offered():
                return [self._on_offered(message)]
            case control.StoredUntil(handle=handle, generation=generation, frame_until=until):
                stored = ev.StoredUntil(handle=handle, generation=generation, frame_until=until)
                return [stored]
            case _:
                raise RemoteProtocolError("a message that only a device sends")

    def _on_opened(self, message: control.Opened) -> Event:
        event = self._streams.opened(message, self._transport().exporter)
        if isinstance(event, ev.StreamRefused):
            self._send(control.Close(handle=message.handle, generation=message.generation))
        return event

    def _on_offered(self, message: control.Offered) -> Event:
        if not self._offers_unanswered:
            raise RemoteProtocolError("an answer to an offer that was not made")
        self._offers_unanswered -= 1
        return ev.OfferAnswered(
            handle=message.handle,
            generation=message.generation,
            accepted=message.accepted,
            reason=message.reason,
        )

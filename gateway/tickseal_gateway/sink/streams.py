"""The streams that a separate sink is granted: segments in, readings and pictures out."""

import logging
import time
from collections import Counter
from collections.abc import Sequence

from tickseal.clock import Clock
from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import tick_start
from tickseal.sessions.events import GrantReceived
from tickseal.sessions.grants import GrantHolder
from tickseal.streams.generation import Generation
from tickseal.streams.opening import Buffer
from tickseal.streams.receiving import ReceivedGeneration
from tickseal_gateway.frames.readings import Batch, Content, content_of, read_frame

_logger = logging.getLogger(__name__)


class GrantedStream:
    """One stream that was granted since this sink started.

    Attributes:
        id, device, type: what it is, and whose.
        frames, payload_bytes: opened in all.
        unreadable: frames that are not what the metadata promise.
        last_frame_ns: when the last frame came, ns since 1970 UTC; 0 before the first.
        granted_until_ns: until when it may be opened, ns TAI; 0 where it may not.
    """

    def __init__(self) -> None:
        self.id = self.device = self.type = ""
        self.content = Content.OPAQUE
        self.frames = 0
        self.payload_bytes = 0
        self.unreadable = 0
        self.last_frame_ns = 0
        self.granted_until_ns = 0
        self._past_refusals: Counter[str] = Counter()
        self._past_missing = 0
        self._past_keys = 0

    def describe(self, grant: GrantReceived) -> None:
        """Take in what a grant says."""
        generation = grant.generation
        parameters = generation.parameters
        self.id, self.type = generation.metadata.id, generation.metadata.type
        self.device = grant.device
        self.content = content_of(generation.metadata)
        end_ns = tick_start(grant.ticks[1], parameters.t0_ns, parameters.interval_ns)
        self.granted_until_ns = max(self.granted_until_ns, end_ns)

    def fold(self, received: ReceivedGeneration) -> None:
        """Keep the counts of a generation that is erased."""
        self._past_refusals.update(received.opener.refusals)
        self._past_missing += received.missing_frames
        self._past_keys += received.opener.keys_derived

    def to_json(self, held: Sequence[ReceivedGeneration], tai_ns: int) -> dict[str, object]:
        """Return what machines are told.

        Args:
            held: its generations.
            tai_ns: now.
        """
        refusals = Counter(self._past_refusals)
        for received in held:
            refusals.update(received.opener.refusals)
        left_s = (self.granted_until_ns - tai_ns) / 1e9
        last = self.last_frame_ns
        return {
            "id": self.id,
            "device": self.device,
            "type": self.type,
            "content": self.content.value,
            "granted_s": round(left_s, 1) if held and left_s > 0 else 0,
            "generations_held": len(held),
            "frames": self.frames,
            "payload_bytes": self.payload_bytes,
            "keys_derived": self._past_keys + sum(r.opener.keys_derived for r in held),
            "missing": self._past_missing + sum(r.missing_frames for r in held),
            "unreadable": self.unreadable,
            "refusals": dict(refusals),
            "last_frame_s": round((time.time_ns() - last) / 1e9, 3) if last else None,
        }


class GrantedStreams:
    """All streams that were granted.

    Args:
        clock: by which segments are judged.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holder = GrantHolder()
        self._streams: dict[int, GrantedStream] = {}

    def take_grant(self, grant: GrantReceived) -> None:
        """Hold a grant."""
        handle = grant.generation.handle
        if handle not in self._streams:
            metadata = grant.generation.metadata
            _logger.info("may read %s of %s", metadata.id, grant.device)
        stream = self._streams.setdefault(handle, GrantedStream())
        before = self._holder.generations(handle)
        try:
            self._holder.take(grant)
        except LocalProtocolError as error:
            _logger.error("a grant was not taken: %s", error)  # noqa: TRY400 - told
            return
        stream.describe(grant)
        held = self._holder.generations(handle)
        for received in before:
            if received not in held:  # it made way
                stream.fold(received)

    def withdraw(self, handle: int, number: int, reason: str) -> None:
        """Erase a generation."""
        received = self._holder.find(handle, number)
        stream = self._streams.get(handle)
        if received is None or stream is None:
            return
        stream.fold(received)
        self._holder.erase(handle, number)
        if not self._holder.generations(handle):
            stream.granted_until_ns = 0
        if reason != "ended":
            _logger.info("may not read %s any more: %s", stream.id, reason)

    def clear(self) -> None:
        """Erase everything: this sink was revoked."""
        for handle, stream in self._streams.items():
            for received in self._holder.generations(handle):
                stream.fold(received)
            stream.granted_until_ns = 0
        self._holder.clear()

    def expire(self) -> None:
        """Erase what is over, or not granted any more. Call about once a second."""
        for received in self._holder.expire(self._clock.now()):
            self._stream_of(received.opener.generation).fold(received)

    def open(self, segments: Sequence[Buffer], handle: int = 0) -> Batch:
        """Open segments and return what their frames hold. Nothing is raised.

        Args:
            handle: of the stream that all are of; 0 where each tells its own.
        """
        received_ns = time.time_ns()
        batch = Batch(received_ns=received_ns)
        for frame in self._holder.receive(segments, self._clock.now(), handle):
            stream = self._stream_of(frame.source)
            stream.frames += 1
            stream.payload_bytes += len(frame.payload)
            stream.last_frame_ns = received_ns
            if not read_frame(frame, stream.device, stream.content, batch):
                stream.unreadable += 1
        return batch

    def to_json(self) -> list[dict[str, object]]:
        """Return what machines are told."""
        tai_ns = self._clock.now().midpoint_ns
        return [
            stream.to_json(self._holder.generations(handle), tai_ns)
            for handle, stream in self._streams.items()
        ]

    @property
    def unknown(self) -> dict[str, int]:
        """Segments refused before a generation was found, by reason."""
        return dict(self._holder.receiver.refusals)

    def _stream_of(self, generation: Generation) -> GrantedStream:
        return self._streams[generation.handle]

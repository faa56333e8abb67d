"""What a source remembers of its streams, so that it can begin without the gateway."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tickseal.clock import ClockInterval
from tickseal.core.errors import RemoteProtocolError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.state import StateDirectory
from tickseal.sessions.negotiation import pick_generation
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.offline import OfflineGeneration, seal_offline_generation
from tickseal.streams.parameters import StreamParameters

_FILE = "streams.json"
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The last that the controller granted for a stream; nothing of it is secret.

    Args:
        handle: the stream's number on the wire.
        parameters: of the last generation.
    """

    handle: int
    parameters: StreamParameters


class StreamMemory:
    """The streams' handles and parameters, on disk."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._streams: dict[str, Remembered] = {}
        data = state.read(_FILE)
        if data is None:
            return
        try:
            for stream_id, row in json.loads(data).items():
                self._streams[stream_id] = Remembered(
                    handle=int(row["handle"]),
                    parameters=StreamParameters.decode(bytes.fromhex(row["parameters"])),
                )
        except (ValueError, KeyError, TypeError, AttributeError, RemoteProtocolError):
            # It only helps to begin without the gateway, which will tell it all again.
            self._streams = {}

    def get(self, stream_id: str) -> Remembered | None:
        """Return what is remembered of a stream."""
        return self._streams.get(stream_id)

    def remember(self, generation: Generation) -> None:
        """Keep what the controller granted; the disk is written only where it differs."""
        before = self._streams.get(generation.stream_id)
        now = Remembered(handle=generation.handle, parameters=generation.parameters)
        self._streams[generation.stream_id] = now
        if before is None or _lasting(before) != _lasting(now):
            content = {
                stream_id: {"handle": row.handle, "parameters": row.parameters.encode().hex()}
                for stream_id, row in self._streams.items()
            }
            self._state.write(_FILE, json.dumps(content, indent=1).encode())


def forget_streams(state: StateDirectory) -> None:
    """Forget what another gateway, or another identity, was granted: its handles mean nothing."""
    state.delete(_FILE)


def _lasting(row: Remembered) -> Remembered:
    return replace(row, parameters=replace(row.parameters, generation=0, t0_ns=0))


def begin_offline(
    metadata: StreamMetadata,
    remembered: Remembered,
    identity: DeviceIdentity,
    *,
    now: ClockInterval,
    held: Iterable[int],
    random_bytes: Callable[[int], bytes],
) -> tuple[Generation, bytes]:
    """Return a generation begun without the gateway, and the blob by which the gateway can open it.

    Args:
        now: the clock; t0 is the whole second at or before its midpoint.
        held: numbers of generations whose low bits are in use.
    Source: docs/protocol.md section 6.4.
    """
    before = remembered.parameters
    parameters = replace(
        before,
        generation=pick_generation(random_bytes, {*held, before.generation}, before.profile),
        t0_ns=now.midpoint_ns - now.midpoint_ns % _SECOND,
    )
    secret, salt = random_bytes(32), random_bytes(32)
    blob = seal_offline_generation(
        OfflineGeneration(
            handle=remembered.handle,
            metadata=metadata.encode(),
            parameters=parameters.encode(),
            salt=salt,
            secret=secret,
        ),
        private=identity.private_key,
        gateway_public=identity.gateway_key,
        psk=identity.psk,
        random_bytes=random_bytes,
    )
    generation = Generation.derive(
        metadata, parameters, initial_secret=secret, salt=salt, handle=remembered.handle
    )
    return generation, blob

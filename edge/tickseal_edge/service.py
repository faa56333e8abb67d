"""The service: puts the device's parts together, runs them, and ends them in order."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from tickseal.clock import Clock, ClockPolicy, GatewayTimeFilter
from tickseal.host.control_socket import ControlSocket
from tickseal.host.gateway_clock import GatewayAssistedClock
from tickseal.host.kernel_clock import boottime_ns
from tickseal.host.service_manager import ServiceManager
from tickseal.host.state import StateDirectory
from tickseal.links.backoff import Backoff
from tickseal.sessions import events as ev
from tickseal_edge import status
from tickseal_edge.clock.build import build_clock
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.clock.utc import UTC
from tickseal_edge.config import EdgeConfig
from tickseal_edge.enrolment import load_identity
from tickseal_edge.generations import Generations
from tickseal_edge.lanes import Lane
from tickseal_edge.pipeline import Pipeline
from tickseal_edge.production.producers import describe
from tickseal_edge.production.production import Production
from tickseal_edge.spool.backfill import Backfill
from tickseal_edge.spool.spool import Spool
from tickseal_edge.spool.spool_folder import SpoolFolder
from tickseal_edge.streams.memory import StreamMemory
from tickseal_edge.streams.streams import OutgoingStream
from tickseal_edge.streams.suites import first_wish, policy_of
from tickseal_edge.upkeep import Upkeep
from tickseal_edge.uplink.connection import Connection
from tickseal_edge.uplink.uplink import Uplink

_logger = logging.getLogger("tickseal.edge")

#: How long the first frames wait for the gateway before they go on without it, s.
_PATIENCE_S = 2.0
#: How long the goodbye may take, s: the whole end stays below 2 s.
_GOODBYE_S = 1.2
_FLUSH_S = 0.6


class EdgeService:
    """Runs one device.

    Args:
        config: what to stream.
        state: the state directory, owned by this process.
        software: name and version, told to the gateway.
        clock: the device's own; by default the one that the configuration names.
        backoff: the waits between attempts to connect.
        manager: is told how the service stands.
    """

    def __init__(
        self,
        config: EdgeConfig,
        state: StateDirectory,
        *,
        software: str = "tickseal",
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        manager: ServiceManager | None = None,
    ) -> None:
        self._config = config
        self._state = state
        self._software = software
        self._manager = manager or ServiceManager()
        self._started_ns = boottime_ns()
        self._identity = load_identity(state)
        self._gateway_time = GatewayTimeFilter()
        self._own_clock = clock or build_clock(
            config.clock, lambda: self._gateway_time.now(boottime_ns())
        )
        self._clock = GatewayAssistedClock(self._own_clock, self._gateway_time)
        self._utc = UTC()
        self._disk = Lane("spool")
        self._spool = Spool(SpoolFolder(state.path / "spool"), config.spool.most_bytes, self._disk)
        policy = policy_of(config.suite)
        streams = {stream.id: stream for stream in config.streams}
        self._outgoing: dict[str, OutgoingStream] = {}
        for stream in config.streams:
            metadata, wish = describe(stream)
            wish = replace(wish, suites=first_wish(policy))
            self._outgoing[stream.id] = OutgoingStream(metadata, wish)
        self._pipeline = Pipeline(
            clock=self._clock,
            policy=ClockPolicy(action=config.clock.action, widest_ns=config.clock.widest_ns),
            streams=streams,
            outgoing=self._outgoing,
            spool=self._spool,
            connection=lambda: self._uplink.connection,
        )
        self._generations = self._pipeline.generations = Generations(
            outgoing=self._outgoing,
            keeps=lambda stream_id: streams[stream_id].keep,
            send_live=self._pipeline.pass_on,
            identity=self._identity,
            memory=StreamMemory(state),
            spool=self._spool,
            suites=policy.suites,
        )
        self._uplink = Uplink(
            identity=self._identity,
            software=software,
            policy=policy,
            clock=self._own_clock,
            # A gateway's return is noticed within 15 s, and a fleet still spreads over that time.
            backoff=backoff or Backoff(most_ns=15_000_000_000),
            on_event=self._on_event,
            serve=self._serve,
            on_down=self._on_down,
        )
        self._upkeep = Upkeep(self._own_clock, self._spool, self._uplink)
        self._backfill: Backfill | None = None
        # The gateway was reached, or it is known that it cannot be.
        self._tried = asyncio.Event()
        self._lanes: dict[str, Lane] = {}
        self._productions = [
            Production(
                stream,
                self._lane(stream.lane),
                utc_ns=lambda: self._utc.at(self._clock.now().midpoint_ns),
                emit=_emitter(self._pipeline, stream.id),
            )
            for stream in config.streams
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Stream until told to stop; then say goodbye, within 2 s."""
        _logger.info(
            "device %s with %d stream(s); gateway at %s",
            self._identity.name,
            len(self._outgoing),
            ", ".join(self._identity.addresses),
        )
        socket = ControlSocket({"status": self._on_status, "clock": self._on_clock})
        await socket.open(self._state.path)
        try:
            await self._upkeep.ask_clock()
            async with asyncio.TaskGroup() as tasks:
                work = [
                    tasks.create_task(self._upkeep.keep_time()),
                    tasks.create_task(self._upkeep.keep_flushing(self._config.spool.sync_ns)),
                    tasks.create_task(self._upkeep.keep_telling(self._manager)),
                    tasks.create_task(self._uplink.run()),
                    tasks.create_task(self._pipeline.deliver("udp")),
                    tasks.create_task(self._pipeline.deliver("tcp")),
                    tasks.create_task(self._pipeline.summarise()),
                ]
                reading = tasks.create_task(self._produce())
                self._manager.ready(f"{len(self._outgoing)} stream(s)")
                await stop.wait()
                self._manager.stopping()
                reading.cancel()
                await asyncio.wait([reading])
                await self._end()
                for task in work:
                    task.cancel()
        finally:
            await socket.close()
            for lane in (*self._lanes.values(), self._disk, self._upkeep.lane):
                lane.close()
        _logger.info("stopped")

    def reload(self, config: EdgeConfig) -> None:
        """Take over the rates of a configuration; what else differs waits for a restart."""
        new = {stream.id: stream for stream in config.streams}
        for production in self._productions:
            stream = new.pop(production.stream.id, None)
            if stream is None or replace(stream, rate_hz=1.0) != replace(
                production.stream, rate_hz=1.0
            ):
                _logger.warning(
                    "%s: more than its rate differs; restart to apply it", production.stream.id
                )
            elif stream.rate_hz != production.rate_hz:
                production.rate_hz = stream.rate_hz
                _logger.info("%s: now %g a second", stream.id, stream.rate_hz)
        for stream_id in new:
            _logger.warning("%s: it is new; restart to apply it", stream_id)

    def snapshot(self) -> dict[str, object]:
        """Return how everything stands, for JSON."""
        return status.snapshot(
            identity=self._identity,
            software=self._software,
            started_ns=self._started_ns,
            uplink=self._uplink,
            own_clock=self._own_clock,
            clock=self._clock,
            config=self._config,
            outgoing=self._outgoing,
            productions=self._productions,
            generations=self._generations,
            pipeline=self._pipeline,
            spool=self._spool,
        )

    # --- Tasks ---

    async def _produce(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._tried.wait()
        async with asyncio.TaskGroup() as tasks:
            for production in self._productions:
                tasks.create_task(production.run())

    async def _serve(self, connection: Connection) -> None:
        self._backfill = Backfill(connection, self._spool)
        await self._backfill.offer_all()
        self._generations.up(connection)
        await self._backfill.run()

    async def _end(self) -> None:
        self._generations.finish(self._clock.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._pipeline.drained()
                await self._uplink.goodbye("stopping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._spool.flush()

    # --- What happens ---

    def _on_event(self, event: ev.Event) -> None:
        match event:
            case ev.GenerationStarted():
                self._generations.on_started(event, self._clock.now())
            case ev.ResyncRequested():
                self._generations.renew(
                    event.stream_id, f"the gateway asks for it ({event.reason})", self._clock.now()
                )
            case ev.RekeyRequested():
                self._generations.rekey(event.stream_id)
            case ev.StreamRefused():
                self._generations.on_refused(event)
            case ev.Reported():
                self._generations.on_report(event)
                self._pipeline.ways.reported(event.rows)
            case ev.OfferAnswered() | ev.StoredUntil():
                if self._backfill:
                    self._backfill.on_event(event)
            case _:
                self._on_clock_event(event)
        if self._generations.are_settled:
            self._tried.set()

    def _on_clock_event(self, event: ev.Event) -> None:
        match event:
            case ev.GatewayTime():
                self._clock.learn(event)
                self._pipeline.ways.answered(event.sent_monotonic_ns)
            case ev.ClockDisagreement():
                _logger.error(
                    "the gateway's clock and this one disagree by %.3f s beyond both uncertainties",
                    abs(event.apart_ns) / 1e9,
                )
            case ev.ClockAgreement():
                _logger.info("the gateway's clock and this one agree again")
            case ev.AlarmRaised():
                _logger.warning("the gateway says: %s (%s)", event.reason, event.detail)
            case _:
                pass

    def _on_down(self) -> None:
        self._backfill = None
        self._pipeline.down()
        self._generations.down(self._clock.now())
        self._tried.set()

    async def _on_status(self, _request: dict[str, object]) -> object:
        return self.snapshot()

    async def _on_clock(self, _request: dict[str, object]) -> object:
        clock = self._own_clock
        return clock.status() if isinstance(clock, ClockEnsemble) else {}

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = Lane(name)
        return self._lanes[name]


def _emitter(pipeline: Pipeline, stream_id: str) -> Callable[..., None]:
    return lambda payload: pipeline.emit(stream_id, payload.data, is_key=payload.is_key)

"""What was recorded at the gateway comes to a separate sink, as far back as it may read."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from made_recordings import RECORD
from running_gateway import Done, GatewayFactory, run, tickseal
from sink_in_process import enrol, reading_sink, running, source, until_recorded
from source_device import reading, until
from tickseal_gateway.recordings.grant_file import GrantEncoder, read_grant_file
from tickseal_gateway.recordings.opening import RecordingOpener
from tickseal_gateway.recordings.playing import to_tai
from tickseal_gateway.sink.config import SinkSettings
from tickseal_gateway.sink.service import Sink
from tickseal_gateway.sink.service import run as serve

from tickseal.core.errors import LocalProtocolError, StoreError
from tickseal.payloads.samples import decode_samples


async def recalled(sink: Sink, stream: str, span: tuple[int, int]) -> list[Any]:
    """Recall a span; return what its grant file opens to."""
    path = None
    async for progress in sink.recall(stream, span):
        assert isinstance(progress, dict)
        path = progress.get("path", path)
    assert path is not None
    opener = RecordingOpener()
    return [
        (frame.tick, sample.value)
        for piece in read_grant_file(Path(path))
        for frame in opener.frames(piece)
        for sample in decode_samples(frame.payload)
    ]


def test_a_sink_recalls_what_was_recorded_as_far_back_as_it_may(
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await source(view)
            await enrol(view, sink_settings)
            async with running(sink_settings) as sink, device.connected():
                await until(lambda: sink.status()["gateway"]["is_up"])
                generation = await device.open()
                parameters = generation.parameters
                for value in range(8):
                    await device.send(value)
                    await asyncio.sleep(parameters.interval_ns / 1e9)  # the next tick

                await until_recorded(view, 8)
                everything = (parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
                for stream in ("garden", "nothing"):
                    with pytest.raises(StoreError, match="does not allow it"):
                        await recalled(sink, stream, everything)
                await view.allow("office", "garden")
                with pytest.raises(StoreError, match="does not allow it"):
                    await recalled(sink, "garden", everything)
                await view.allow("office", "garden", None, time.time_ns() - 3600 * 10**9)
                found = await recalled(sink, "garden", everything)
                assert [value for _, value in found] == list(range(8))
                ticks = [tick for tick, _ in found]
                span = tuple(
                    parameters.t0_ns + tick * parameters.interval_ns
                    for tick in (ticks[2], ticks[5])
                )
                part = await recalled(sink, "garden", (span[0], span[1]))
                assert [value for _, value in part] == [2, 3, 4]
                now_ns = time.time_ns()
                since_ns = now_ns - (to_tai(now_ns) - span[0])
                await view.allow("office", "garden", None, since_ns)
                part = await recalled(sink, "garden", everything)
                assert [value for _, value in part] == [2, 3, 4, 5, 6, 7]
                with pytest.raises(StoreError, match="no recording"):
                    await recalled(sink, "garden", (0, 10**9))
                first = asyncio.create_task(recalled(sink, "garden", everything))
                await asyncio.sleep(0)
                with pytest.raises(LocalProtocolError, match="one at a time"):
                    await recalled(sink, "garden", everything)
                assert len(await first) == 6

    run(main())


def test_what_is_backfilled_while_the_stream_is_live_comes_by_recall(
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with reading_sink(gateways, sink_settings, RECORD, since_ns=1) as (
            view,
            device,
            sink,
        ):
            online = await device.open()
            await until(lambda: sink.status()["streams"])
            blob, sealer = device.begin_offline(online)
            await device.offer(blob)
            sealed = [(n, n, sealer.seal(reading(100 + n), n)) for n in range(5)]
            device.backfill(sealer, sealed)
            await device.stored(sealer.generation.number, 5)
            await device.send(1)
            await until(lambda: sink.status()["streams"][0]["frames"] == 1)

            await until_recorded(view, 6)
            span = (sealer.generation.parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
            found = await recalled(sink, "garden", span)
            assert [value for _, value in found] == [100, 101, 102, 103, 104, 1]

    run(main())


def test_a_large_recording_comes_whole_while_live_frames_go_on(
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with reading_sink(gateways, sink_settings, RECORD, since_ns=1) as (
            view,
            device,
            sink,
        ):
            generation = await device.open(content="opaque")
            await until(lambda: sink.status()["streams"])
            for number in range(40):
                segments = device.seal(bytes([number]) * 100_000)
                for start in range(0, len(segments), 20):
                    await device.udp.send(segments[start : start + 20])
                    await asyncio.sleep(0)
                (stream,) = view._parts.table
                await until(lambda n=number, held=stream: held.frames > n)

            await until_recorded(view, 40 * 84)
            span = (generation.parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
            path, before = None, sink.status()["streams"][0]["frames"]
            async for progress in sink.recall("garden", span):
                assert isinstance(progress, dict)
                path = progress.get("path", path)
            assert path is not None
            opener = RecordingOpener()
            sizes = [
                len(frame.payload)
                for piece in read_grant_file(Path(path))
                for frame in opener.frames(piece)
            ]
            assert sizes == [100_000] * 40
            await device.udp.send(device.seal(b"live"))
            await until(lambda: sink.status()["streams"][0]["frames"] == before + 1)

    run(main())


def test_a_sink_is_told_when_its_recall_fails_at_the_gateway(
    gateways: GatewayFactory, sink_settings: SinkSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Any:
        raise LocalProtocolError("a grant that cannot be")

    monkeypatch.setattr(GrantEncoder, "encode", fails)

    async def main() -> None:
        async with reading_sink(gateways, sink_settings, RECORD, since_ns=1) as (
            view,
            device,
            sink,
        ):
            await device.open()
            await device.send(1)

            await until_recorded(view, 1)
            with pytest.raises(StoreError, match="could not read its recording"):
                await recalled(sink, "garden", (0, to_tai(time.time_ns()) + 10**9))

    run(main())


def test_the_command_recalls_by_the_running_sink(
    gateways: GatewayFactory, sink_settings: SinkSettings, tmp_path: Path
) -> None:
    config = ("--config", str(tmp_path / "sink.toml"))

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await source(view)
            await enrol(view, sink_settings)
            await view.allow("office", "garden", None, 1)
            serving = asyncio.create_task(serve(sink_settings, lambda _: None))
            async with device.connected():
                await device.open()
                for value in range(5):
                    await device.send(value)
                out, kept = tmp_path / "out.csv", tmp_path / "kept.grant"
                span = ("garden", "--from", "10min")

                async def command(*arguments: str) -> Done:
                    done = await asyncio.to_thread(tickseal, "sink", *arguments, *config)
                    assert isinstance(done, Done)
                    return done

                async def is_there() -> bool:
                    done = await command("recall", *span, "-o", str(out), "--force")
                    return done.returncode == 0 and "5 frames" in done.stdout

                await until(is_there)
                assert len(out.read_text().splitlines()) == 6
                assert (await command("recall", *span, "--grant", str(kept))).returncode == 0
                assert tickseal("open", str(kept)).stdout.count("\n") == 5
                assert not (sink_settings.state_path / "recalled.grant").exists()
                done = await command("recall", "other", "--from", "1min")
                assert done.returncode == 1
                assert "does not allow it" in done.stderr
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(main())

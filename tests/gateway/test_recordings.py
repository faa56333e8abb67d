"""Sealed recordings: kept as they came, opened by span; and what is missing is told."""

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from made_recordings import (
    RECORD,
    SECOND,
    enrolled,
    library,
    play,
    record,
    summary,
    values,
    written,
)
from running_gateway import GatewayFactory, run
from source_device import reading, until
from tickseal_gateway.recordings.keys import KEY_FILE
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.recordings.opening import RecordingOpener
from tickseal_gateway.recordings.playing import to_tai

from tickseal.core import keytree
from tickseal.core.errors import StoreError
from tickseal.payloads.pictures import CONTENT as PICTURES
from tickseal.payloads.pictures import Picture, encode_picture


def test_what_was_recorded_is_played_and_nothing_is_kept_by_default(
    gateways: GatewayFactory,
) -> None:
    record(gateways, 20)
    done = play(gateways, "garden", "--from", "10min")
    assert values(done) == list(range(20))
    assert "20 frames" in done.stderr
    assert "none of the frames that are known to be sealed" in done.stderr
    listed = play(gateways).stdout
    assert "garden" in listed
    (row,) = json.loads(play(gateways, "--json").stdout)
    assert (row["stream"], row["hours"]) == ("garden", 1)
    (other,) = [p for p in [gateways.file.parent / "other"] if not p.exists()]
    other.mkdir()
    plain = GatewayFactory(other)

    async def main() -> None:
        async with plain.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open()
                await device.send(1)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)

    run(main())
    assert not (plain.state / "recordings").exists()
    assert not (plain.state / KEY_FILE).exists()


def test_the_segments_lie_there_as_they_came_and_nothing_lies_there_in_clear(
    gateways: GatewayFactory,
) -> None:
    device = record(gateways, 10)
    files = [p for p in (gateways.state / "recordings").rglob("*") if p.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert all(segment in content for segment in device.sent)
    for text in (b"garden", b"metadata", b"telemetry", b"nodes", b"Cel"):
        assert text not in content
    sealer = device.sealers["garden"]
    for _, _, secret in sealer.generation.walker.nodes():
        assert secret not in content
    for path in (*files, gateways.state / KEY_FILE):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_keys_on_the_disk_open_nothing_that_is_still_to_come(
    gateways: GatewayFactory,
) -> None:
    device = record(gateways, 5)
    shelf = library(gateways)
    now = to_tai(time.time_ns())
    generation = device.sealers["garden"].generation
    last = device.sealers["garden"].tick
    (piece,) = shelf.pieces(shelf.find("garden"), (now - 3600 * SECOND, now + 3600 * SECOND))
    assert piece.generation.number == generation.number
    assert piece.generation.walker.end == last + 1


def test_a_span_is_cut_to_the_tick(gateways: GatewayFactory) -> None:
    device = record(gateways, 0)

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device.move(view)
            async with device.connected():
                await device.open(wish=device.wish(past_ns=20 * SECOND))
                sealer = device.sealers["garden"]
                start = sealer.generation.parameters.tick_at(device.clock.now().midpoint_ns)
                for tick in range(start, start + 5):
                    await device.udp.send(sealer.seal(reading(tick - start), tick))
                await written(view, 5)

    run(main())
    parameters = device.sealers["garden"].generation.parameters
    sealed = device.sealers["garden"].tick
    shelf = library(gateways)
    recorded = shelf.find("garden")
    for first in range(sealed - 4, sealed + 1):
        for last in range(first, sealed + 1):
            begin_ns = parameters.t0_ns + first * parameters.interval_ns
            end_ns = parameters.t0_ns + (last + 1) * parameters.interval_ns
            opener = RecordingOpener()
            pieces = []
            ticks = []
            for piece in shelf.pieces(recorded, (begin_ns, end_ns)):
                pieces.append((piece.generation.walker.start, piece.generation.walker.end))
                ticks += [frame.tick for frame in opener.frames(piece)]
            assert pieces == [(first, last + 1)]
            assert ticks == list(range(first, last + 1))


def test_lost_frames_are_told_from_ticks_in_which_nothing_was_sealed(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open(wish=device.wish(past_ns=20 * SECOND, skew_ns=10 * SECOND))
                sealer = device.sealers["garden"]
                start = sealer.generation.parameters.tick_at(device.clock.now().midpoint_ns)
                await device.udp.send(sealer.seal(reading(0), start))
                for _ in range(3):
                    sealer.seal(reading(-1), start + 1)  # lost on the way
                await device.udp.send(sealer.seal(reading(1), start + 2))
                await device.udp.send(sealer.seal(reading(2), start + 12))  # 9 empty ticks
                cut = sealer.seal(bytes(3000), start + 12)
                await device.udp.send(cut[:2])  # its last segment is lost
                sealer.seal(reading(-1), start + 13)  # cut off by whoever stops the stream
                await summary(device, final=True)
                await written(view, 6)

    run(main())
    span = ("garden", "--from", "10min", "--to", "2100-01-01")  # some ticks lie ahead
    done = play(gateways, *span, "--json")
    assert values(done) == [0, 1, 2]
    (row,) = json.loads(done.stderr)["generations"]
    assert row["missing_frames"] == [[1, 4], [6, 8]]
    assert row["missing"] == 5
    assert row["incomplete_frames"] == [6]
    assert row["empty_ticks"] == 9
    assert row["is_final"] is True
    text = play(gateways, *span).stderr
    assert "missing      5 frames that were sealed: 1-3, 6-7; lost on the way, or withheld" in text
    assert "never sent   in 9 ticks nothing was sealed" in text
    assert "proved       to the generation's end" in text


def test_a_seek_costs_as_many_key_steps_as_the_tree_is_deep(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = record(gateways, 0)

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device.move(view)
            async with device.connected():
                wish = device.wish(past_ns=60 * SECOND, skew_ns=10 * SECOND, interval_ns=10**6)
                await device.open(wish=wish)
                sealer = device.sealers["garden"]
                start = sealer.generation.parameters.tick_at(device.clock.now().midpoint_ns)
                # One write covers ten thousand ticks: a flat list of keys would take as many steps.
                for tick in (start - 1000, start + 9000):
                    await device.udp.send(sealer.seal(reading(tick), max(0, tick)))
                await written(view, 2)

    run(main())
    parameters = device.sealers["garden"].generation.parameters
    last = device.sealers["garden"].tick
    at_ns = parameters.t0_ns + last * parameters.interval_ns
    steps = []
    real = keytree.children

    def counted(*arguments: Any) -> Any:
        steps.append(1)
        return real(*arguments)

    monkeypatch.setattr(keytree, "children", counted)
    shelf = library(gateways)
    opener = RecordingOpener()
    recorded = shelf.find("garden")
    found = [
        frame.tick
        for piece in shelf.pieces(recorded, (at_ns, at_ns + parameters.interval_ns))
        for frame in opener.frames(piece)
    ]
    assert found == [last]
    assert len(steps) <= 2 * parameters.depth


def test_a_recording_goes_on_after_a_kill_with_a_torn_end(gateways: GatewayFactory) -> None:
    device = record(gateways, 10)
    (file,) = (gateways.state / "recordings").rglob("*.rec")
    whole = file.stat().st_size
    index = file.with_suffix(".idx")
    for torn in (1, 20, 100):
        os.truncate(file, whole - torn)
        played = values(play(gateways, "garden", "--from", "10min"))
        assert played == list(range(len(played)))
        assert len(played) < 10 or torn < 100

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device.move(view)
            async with device.connected():
                await device.open()
                for value in range(100, 105):
                    await device.send(value)
                await written(view, 5)

    run(main())
    again = values(play(gateways, "garden", "--from", "10min"))
    assert again[-5:] == list(range(100, 105))
    index.unlink()
    assert values(play(gateways, "garden", "--from", "10min")) == again
    index.write_bytes(b"nonsense" * 50)
    assert values(play(gateways, "garden", "--from", "10min")) == again


def test_a_record_that_was_altered_is_left_out_and_an_altered_grant_is_said(
    gateways: GatewayFactory,
) -> None:
    record(gateways, 3)
    (file,) = (gateways.state / "recordings").rglob("*.rec")
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(data)
    assert values(play(gateways, "garden", "--from", "10min")) == []
    (gateways.state / KEY_FILE).write_bytes(bytes(32))
    done = play(gateways, "garden", "--from", "10min")
    assert done.returncode == 1
    assert "another recording key" in done.stderr


def test_old_hours_go_by_age_and_by_size(gateways: GatewayFactory) -> None:
    device = record(gateways, 3)
    (file,) = (gateways.state / "recordings").rglob("*.rec")
    old = file.with_name("20200101T00.rec")
    old.write_bytes(file.read_bytes())
    # An hour that is about to come; what lies further ahead has a clock that is wrong.
    big = file.with_name(time.strftime("%Y%m%dT%H.rec", time.gmtime(time.time() + 2 * 3600)))
    big.write_bytes(bytes(3 << 20))

    async def main() -> None:
        async with gateways.inside(RECORD + 'size = "1MiB"\n') as view:
            device.move(view)
            async with device.connected():
                await device.open()
                await device.send(1)
                await written(view, 1)

    run(main())
    assert not old.exists()
    assert not file.exists(), "the oldest go first"
    assert not big.exists(), "nothing outgrows the size, not even the hour that is written last"


def test_only_the_streams_that_are_named_are_recorded(gateways: GatewayFactory) -> None:
    async def main() -> None:
        more = RECORD + 'streams = ["garden/*"]\n[policy]\nforward_secrecy = false\n'
        async with gateways.inside(more) as view:
            device = await enrolled(view)
            from tickseal.sessions.negotiation import AcceptancePolicy  # noqa: PLC0415

            device.policy = AcceptancePolicy(depth_min=0)
            async with device.connected():
                await device.open("garden/a")
                await device.open("house")
                await device.open("garden/flat", wish=device.wish(depth=0))
                for name in ("garden/a", "house", "garden/flat"):
                    await device.send(1, name)
                await written(view, 1)
                alarms: Any = view.snapshot()["alarms"]
                assert ["depth 0" in alarm["detail"] for alarm in alarms] == [True]

    run(main())
    (row,) = json.loads(play(gateways, "--json").stdout)
    assert row["stream"] == "garden/a"


def test_backfilled_frames_are_filed_by_the_hour_in_which_they_were_sealed(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await enrolled(view)
            async with device.connected():
                online = await device.open()
                await device.send(0)
                blob, sealer = device.begin_offline(online)  # its t0 is an hour ago
                parameters = sealer.generation.parameters
                hour = 3600 * SECOND // parameters.interval_ns
                frames = [
                    (tick, number, sealer.seal(reading(number), tick))
                    for number, tick in enumerate((1, 2, hour - 600, hour - 500))
                ]
                await device.offer(blob)
                device.backfill(sealer, frames)
                await device.stored(sealer.generation.number, 4)
                await written(view, 5)

    run(main())
    done = play(gateways, "garden", "--from", "2h")
    assert sorted(values(done)) == [0, 0, 1, 2, 3]
    early = play(gateways, "garden", "--from", "2h", "--to", "30min")
    assert values(early) == [0, 1]


# --- Pictures ---


def test_pictures_are_played_as_files_as_mjpeg_and_as_mp4(
    gateways: GatewayFactory, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    import io  # noqa: PLC0415

    def jpeg(shade: int) -> bytes:
        drawn = io.BytesIO()
        pillow.new("RGB", (32, 24), (shade, 0, 0)).save(drawn, "JPEG")
        return drawn.getvalue()

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open("yard", content=PICTURES)
                for number in range(5):
                    picture = Picture(
                        codec="jpeg", width=32, height=24, sequence=number, is_key=True,
                        time_ns=time.time_ns() + number * 10**8, data=jpeg(number * 40),
                    )  # fmt: skip
                    await device.udp.send(device.seal(encode_picture(picture), "yard"))
                await written(view, 5)

    run(main())
    span = ("yard", "--from", "10min")
    assert play(gateways, *span, "-o", str(tmp_path / "files")).returncode == 0
    shown = sorted((tmp_path / "files").iterdir())
    assert [path.suffix for path in shown] == [".jpg"] * 5
    assert play(gateways, *span, "-o", str(tmp_path / "yard.mjpeg")).returncode == 0
    assert (tmp_path / "yard.mjpeg").read_bytes() == b"".join(p.read_bytes() for p in shown)
    again = play(gateways, *span, "-o", str(tmp_path / "yard.mjpeg"))
    assert "is there already" in again.stderr
    av = pytest.importorskip("av", reason="needs PyAV: pip install 'tickseal[video]'")
    assert play(gateways, *span, "-o", str(tmp_path / "yard.mp4")).returncode == 0
    with av.open(str(tmp_path / "yard.mp4")) as container:
        shades = [frame.to_image().getpixel((0, 0))[0] for frame in container.decode(video=0)]
    assert [round(shade / 40) for shade in shades] == list(range(5))
    text = play(gateways, *span)
    assert "5 frames have no form in lines of text" in text.stderr


def test_a_library_of_another_key_is_said(gateways: GatewayFactory) -> None:
    record(gateways, 1)
    with pytest.raises(StoreError, match="another recording key"):
        Library(gateways.state / "recordings", bytes(32)).streams()

"""A span of a recording is handed on: whoever gets the file opens that, and nothing else."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from made_recordings import (
    play,
    record,
    values,
)
from running_gateway import GatewayFactory, tickseal
from tickseal_gateway.recordings import pieces as pieces_module
from tickseal_gateway.recordings.keys import KEY_FILE


def hand_over(gateways: GatewayFactory, folder: Path, *more: str) -> Path:
    file = folder / f"span{len(more)}.grant"
    arguments = ("garden", "--from", "10min", "--to", "now", "-o", str(file), *more)
    done = tickseal("grant", *arguments, "--config", str(gateways.file))
    assert done.returncode == 0, done.stderr
    assert "Whoever has this file can open this span" in done.stdout
    return file


def test_a_grant_file_is_opened_offline_by_somebody_who_has_nothing_else(
    gateways: GatewayFactory, tmp_path: Path
) -> None:
    record(gateways, 20)
    file = hand_over(gateways, tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (gateways.state / KEY_FILE).unlink()
    done = tickseal("open", str(file))
    assert values(done) == list(range(20))
    assert "none of the frames that are known to be sealed" in done.stderr
    out = tmp_path / "readings.csv"
    assert tickseal("open", str(file), "-o", str(out)).returncode == 0
    assert len(out.read_text().splitlines()) == 21
    report = json.loads(tickseal("open", str(file), "--json", "--force", "-o", str(out)).stdout)
    assert (report["frames"], report["missing"], report["written"]) == (20, 0, 20)


def test_a_grant_file_with_the_keys_alone_needs_the_recordings_beside_it(
    gateways: GatewayFactory, tmp_path: Path
) -> None:
    device = record(gateways, 20)
    file = hand_over(gateways, tmp_path, "--keys-only")
    content = file.read_bytes()
    assert all(segment not in content for segment in device.sent)
    alone = tickseal("open", str(file))
    assert alone.returncode == 1
    assert "holds keys, and no segments: say by --recordings" in alone.stderr
    moved = tmp_path / "handed"
    (gateways.state / "recordings").rename(moved)
    assert values(tickseal("open", str(file), "--recordings", str(moved))) == list(range(20))


def test_a_frame_that_is_taken_out_of_a_grant_file_is_missed(
    gateways: GatewayFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(gateways, 20)
    real = pieces_module.decode_block
    withheld = (7, 8, 9)

    def without(payload: bytes) -> Any:
        return (row for row in real(payload) if row.frame not in withheld)

    monkeypatch.setattr(pieces_module, "decode_block", without)
    file = hand_over(gateways, tmp_path)
    monkeypatch.undo()
    done = tickseal("open", str(file), "--json")
    assert values(done) == [value for value in range(20) if value not in withheld]
    (row,) = json.loads(done.stderr)["generations"]
    assert row["missing_frames"] == [[7, 10]]


def test_a_grant_opens_its_span_and_nothing_else(gateways: GatewayFactory, tmp_path: Path) -> None:
    device = record(gateways, 5)
    file = hand_over(gateways, tmp_path)
    from tickseal_gateway.recordings.grant_file import read_grant_file  # noqa: PLC0415

    (piece,) = read_grant_file(file)
    sealer = device.sealers["garden"]
    walker = piece.generation.walker
    assert walker.end == sealer.tick + 1
    assert piece.ticks[1] == walker.end
    assert "garden" not in repr(walker)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("play", "garden", "--from", "half past"), "is no instant"),
        (("play", "garden", "--from", "1min", "--to", "5min"), "is not before"),
        (("play", "garden", "-o", "x.avi"), "do not know what .avi is"),
        (("play", "nothing"), "nothing is recorded of 'nothing'; recorded: garden"),
        (("grant", "garden", "--from", "3d", "--to", "2d", "-o", "{tmp}/g"), "nothing was"),
        (("open", "{tmp}/none"), "cannot read"),
        (("open", "{tmp}/gateway.toml"), "is no recording and no grant"),
        (("open", "{rec}"), "which its gateway plays"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(
    gateways: GatewayFactory, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    record(gateways, 1)
    (rec,) = (gateways.state / "recordings").rglob("*.rec")
    filled = [one.format(tmp=tmp_path, rec=rec) for one in arguments]
    config = [] if arguments[0] == "open" else ["--config", str(gateways.file)]
    done = tickseal(*filled, *config)
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert says in line


def test_without_recordings_play_says_how_to_record(gateways: GatewayFactory) -> None:
    gateways.state.mkdir()
    done = play(gateways)
    assert done.returncode == 1
    assert "[recordings] record = true" in done.stderr

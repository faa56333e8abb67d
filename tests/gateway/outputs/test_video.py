"""MP4 without encoding: every picture is in the file, bit for bit, and the files play."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from batches import SECOND, T0, batch, jpeg, picture
from PIL import Image

av = pytest.importorskip("av", reason="needs PyAV: pip install 'tickseal[video]'")

from tickseal_gateway.outputs.video import VideoFiles  # noqa: E402 - it needs PyAV


def files(folder: Path, *, every_s: int = 600, size: int = 1 << 30) -> VideoFiles:
    return VideoFiles(folder, every_ns=every_s * SECOND, size_most=size)


def h264(count: int, key_every: int = 10) -> list[tuple[bytes, bool]]:
    """Pictures of an encoder, as a camera's hardware gives them: Annex B, keys with their sets."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base = Fraction(1, 10)
    context.options = {
        "tune": "zerolatency",
        "bf": "0",
        "g": str(key_every),
        "x264-params": "repeat-headers=1:scenecut=0",
    }
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (number * 8 % 256, 60, 90)))
        frame.pts = number
        packets += [(bytes(packet), packet.is_keyframe) for packet in context.encode(frame)]
    return packets


def packets_of(path: Path) -> tuple[str, list[bytes], list[float]]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        found = [packet for packet in file.demux(stream) if packet.size]
        name = stream.codec_context.name
        return name, [bytes(p) for p in found], [float(p.pts * p.time_base) for p in found]


def test_mjpeg_goes_in_as_it_came(tmp_path: Path) -> None:
    output = files(tmp_path)
    for number in range(30):
        output.write([batch(shown=[picture(number)])])
    output.close()
    (path,) = tmp_path.rglob("*.mp4")
    assert path.relative_to(tmp_path).parts[1:] == ("2026-05-28", "20-26-40.000000Z.mp4")
    name, data, times = packets_of(path)
    assert name == "mjpeg"
    assert data == [jpeg(number) for number in range(30)]
    assert times == pytest.approx([number / 10 for number in range(30)])


def test_h264_goes_in_as_it_came_and_decodes(tmp_path: Path) -> None:
    output = files(tmp_path)
    made = h264(40)
    for number, (data, is_key) in enumerate(made):
        output.write([batch(shown=[picture(number, data, codec="h264", is_key=is_key)])])
    output.close()
    (path,) = tmp_path.rglob("*.mp4")
    name, data, _ = packets_of(path)
    assert (name, len(data)) == ("h264", 40)
    # MP4 holds lengths where Annex B has start codes; the units between are the same.
    assert data[5][4:] == made[5][0].removeprefix(b"\0\0\0\1").removeprefix(b"\0\0\1")
    with av.open(str(path)) as file:
        reds = [frame.to_image().getpixel((20, 20))[0] for frame in file.decode(video=0)]
    assert reds == pytest.approx([number * 8 % 256 for number in range(40)], abs=14)


def test_ffprobe_finds_no_fault(tmp_path: Path) -> None:
    if not shutil.which("ffprobe"):
        pytest.skip("needs ffprobe (Debian: ffmpeg)")
    output = files(tmp_path)
    for number, (data, is_key) in enumerate(h264(20)):
        output.write([batch(shown=[picture(number, data, codec="h264", is_key=is_key)])])
    output.close()
    (path,) = tmp_path.rglob("*.mp4")
    done = subprocess.run(
        ["ffprobe", "-v", "warning", "-count_frames", "-show_entries",
         "stream=codec_name,nb_read_frames", "-of", "csv=p=0", path],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("h264,20", "")


def test_a_file_that_was_not_finished_plays(tmp_path: Path) -> None:
    output = files(tmp_path)
    for number in range(50):
        output.write([batch(shown=[picture(number)])])
    copy = tmp_path / "as-after-a-kill.mp4"
    shutil.copy(next(tmp_path.rglob("*.mp4")), copy)
    assert len(packets_of(copy)[1]) >= 30, "all but the last second and a bit"
    output.close()


def test_a_file_ends_in_time_and_the_next_begins_with_a_key(tmp_path: Path) -> None:
    output = files(tmp_path, every_s=2)
    for number, (data, is_key) in enumerate(h264(70, key_every=15)):
        output.write([batch(shown=[picture(number, data, codec="h264", is_key=is_key)])])
    output.close()
    counts = [len(packets_of(path)[1]) for path in sorted(tmp_path.rglob("*.mp4"))]
    assert counts == [30, 30, 10]


def test_another_size_and_a_long_silence_begin_new_files(tmp_path: Path) -> None:
    output = files(tmp_path)
    output.write([batch(shown=[picture(0), picture(1)])])
    output.write([batch(shown=[picture(2, size=(32, 24))])])
    output.write([batch(shown=[picture(3, size=(32, 24), time_ns=T0 + 100 * SECOND)])])
    output.close()
    assert len(list(tmp_path.rglob("*.mp4"))) == 3


def test_a_clock_that_is_set_back_does_not_stop_the_video(tmp_path: Path) -> None:
    output = files(tmp_path)
    times = [T0, T0 + SECOND, T0 + SECOND // 2, T0 + SECOND // 2, T0 + 2 * SECOND]
    for number, time_ns in enumerate(times):
        output.write([batch(shown=[picture(number, time_ns=time_ns)])])
    output.close()
    (path,) = tmp_path.rglob("*.mp4")
    _, data, shown = packets_of(path)
    assert len(data) == 5
    assert shown == sorted(set(shown))


def test_a_video_waits_for_a_key(tmp_path: Path) -> None:
    output = files(tmp_path)
    made = h264(20)
    for number, (data, is_key) in list(enumerate(made))[4:]:
        output.write([batch(shown=[picture(number, data, codec="h264", is_key=is_key)])])
    output.close()
    (path,) = tmp_path.rglob("*.mp4")
    assert len(packets_of(path)[1]) == 10


def test_rubbish_spoils_no_other_stream(tmp_path: Path) -> None:
    output = files(tmp_path)
    for number in range(5):
        output.write([batch(shown=[picture(number, b"rubbish", stream="bad"), picture(number)])])
        output.write([batch(shown=[picture(number, b"", stream="empty", codec="h264")])])
    output.close()
    good = [path for path in tmp_path.rglob("*.mp4") if "camera" in str(path)]
    assert [len(packets_of(path)[1]) for path in good] == [5]


def test_the_oldest_files_go_when_it_is_too_much(tmp_path: Path) -> None:
    output = files(tmp_path, every_s=1, size=30_000)
    for number in range(200):
        output.write([batch(shown=[picture(number)])])
    output.close()
    kept = sorted(tmp_path.rglob("*.mp4"))
    assert sum(path.stat().st_size for path in kept) <= 30_000
    assert kept[-1].name == "20-26-59.000000Z.mp4", "the newest stays"

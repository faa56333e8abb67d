"""The device's code and the shared core pass their own tests on MicroPython itself."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNNER = ROOT / "tests" / "core" / "run.py"
PLAIN = sorted((ROOT / "tests" / "core").glob("test_*.py")) + sorted(HERE.glob("plain/test_*.py"))

# A Raspberry Pi Pico leaves a program about this much.
HEAP = "192k"


def run(micropython: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [micropython, "-X", f"heapsize={HEAP}", *arguments],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": f"{ROOT}:{ROOT / 'firmware_mpy'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_passes_on_micropython_in_a_picos_heap(path: Path, micropython: Path) -> None:
    result = run(micropython, RUNNER, path)
    passed, failed = result.stdout.splitlines()[-1].split(", ")
    assert result.returncode == 0, result.stdout + result.stderr
    assert failed == "0 failed"
    assert passed != "0 passed"


def test_the_runner_reports_a_failure(micropython: Path, tmp_path: Path) -> None:
    file = tmp_path / "test_one.py"
    file.write_text("def test_fails():\n    assert False\n\ndef test_passes():\n    pass\n")
    result = run(micropython, RUNNER, file)
    assert result.returncode == 1
    assert "FAILED test_one.py: test_fails" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 passed, 1 failed"

"""The device's code and the shared core pass their own tests on MicroPython itself."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORE = HERE.parent / "core"
RUNNER = CORE / "run.py"
PLAIN = sorted(CORE.glob("test_*.py")) + sorted(HERE.glob("plain/test_*.py"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_passes_on_micropython_in_a_picos_heap(path: Path, micropython: Run) -> None:
    result = micropython(RUNNER, path)
    passed, failed = result.stdout.splitlines()[-1].split(", ")
    assert result.returncode == 0, result.stdout + result.stderr
    assert failed == "0 failed"
    assert passed != "0 passed"


def test_the_runner_reports_a_failure(micropython: Run, tmp_path: Path) -> None:
    file = tmp_path / "test_one.py"
    file.write_text("def test_fails():\n    assert False\n\ndef test_passes():\n    pass\n")
    result = micropython(RUNNER, file)
    assert result.returncode == 1
    assert "FAILED test_one.py: test_fails" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 passed, 1 failed"

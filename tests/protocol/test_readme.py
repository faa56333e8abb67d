"""The Python that README.md shows runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE_S

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text()) if README.exists() else []


@pytest.mark.skipif(not blocks(), reason="README.md shows no Python yet")
@pytest.mark.parametrize("code", blocks() or [""], ids=lambda code: code.split("\n")[0][:40])
def test_the_readmes_python_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_blocks_are_found_whole() -> None:
    text = "a\n```python\nx = 1\n```\nb\n```sh\nls\n```\n```python\ny = 2\nz = 3\n```\n"
    assert BLOCK.findall(text) == ["x = 1\n", "y = 2\nz = 3\n"]

"""The protocol's promises hold without native code too: the same tests once more."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What seals, opens and receives, in tests/protocol.
PROMISES = (
    "sealing", "opening", "opening_order", "opening_time", "receiving", "framekeys", "generation",
    "grants",
)  # fmt: skip


def test_the_protocols_promises_hold_without_native_code() -> None:
    paths = [f"tests/protocol/test_{name}.py" for name in PROMISES]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TICKSEAL_PURE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert re.search(r"[0-9]+ passed", done.stdout)

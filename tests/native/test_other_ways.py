"""The same tests once more: without native code, and with a native code that watches itself."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What seals, opens and receives, in tests/protocol.
PROMISES = (
    "sealing", "opening", "opening_order", "opening_time", "receiving", "framekeys", "generation",
    "grants",
)  # fmt: skip
CC = shutil.which("gcc")


def run_tests(*paths: str, package: Path = ROOT, **changes: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        env=os.environ | {"PYTHONPATH": str(package)} | changes,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert re.search(r"[0-9]+ passed", done.stdout)


def test_the_protocols_promises_hold_without_native_code() -> None:
    run_tests(*(f"tests/protocol/test_{name}.py" for name in PROMISES), TICKSEAL_PURE="1")


def sanitizer(name: str) -> str:
    assert CC
    found = subprocess.check_output([CC, f"-print-file-name=lib{name}.so"], text=True).strip()
    if not Path(found).is_absolute():
        pytest.skip(f"gcc has no lib{name} here (Debian: libgcc-12-dev)")
    return found


@pytest.mark.skipif(
    CC is None or not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="no gcc, or no Python.h",
)
def test_no_byte_is_touched_that_is_not_ours_and_nothing_is_undefined(tmp_path: Path) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer, with every Python object in their sight."""
    preloaded = f"{sanitizer('asan')} {sanitizer('ubsan')}"
    package = tmp_path / "tickseal"
    shutil.copytree(
        ROOT / "tickseal", package, ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    subprocess.run(
        [sys.executable, "hatch_build.py"],
        env=os.environ
        | {
            "CC": "gcc",
            "CFLAGS": "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all",
        },
        check=True,
        cwd=tmp_path,
    )
    # The interpreter itself leaks on purpose; what we might is for test_boundary.
    run_tests(
        "tests/native/test_equal.py",
        "tests/native/test_boundary.py",
        package=tmp_path,
        LD_PRELOAD=preloaded,
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        HYPOTHESIS_PROFILE="dev",
    )

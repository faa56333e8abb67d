"""What a system is given to run the gateway as a service."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tickseal_gateway.config import load

SYSTEMD = Path(__file__).parents[2] / "gateway" / "systemd"
UNIT = SYSTEMD / "tickseal-gateway.service"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def test_the_configuration_names_the_state_that_the_unit_makes() -> None:
    state = load(SYSTEMD / "gateway.toml").state_path
    assert f"StateDirectory={state.relative_to('/var/lib')}\n" in UNIT.read_text()


@needs_systemd
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/tickseal/bin/tickseal", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if UNIT.name in line]


@needs_systemd
def test_the_unit_leaves_little_open() -> None:
    """systemd's own scale is 0 to 10; what is left is the network."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "offline" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    assert done.returncode == 0, done.stdout.splitlines()[-1:]

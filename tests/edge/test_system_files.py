"""What a system is given fits what the service does and what its configuration says."""

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from tickseal_edge.config import load_config

EDGE = Path(__file__).parents[2] / "edge"
UNIT = EDGE / "systemd" / "tickseal-edge.service"


def service() -> dict[str, str]:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_unit_is_what_the_service_expects() -> None:
    unit = service()
    assert unit["Type"] == "notify"
    assert unit["WatchdogSec"] == "30"
    assert int(unit["TimeoutStopSec"]) > 2
    assert "HUP" in unit["ExecReload"]
    assert unit["User"] == "tickseal"
    # Reading the clock's state is a call of @clock, which ProtectClock would forbid.
    assert "@clock" in unit["SystemCallFilter"]
    assert "ProtectClock" not in unit
    assert unit["LimitCORE"] == "0"


def test_the_example_configuration_is_one_and_fits_the_unit() -> None:
    config = load_config(EDGE / "systemd" / "edge.toml")
    assert config.state_path == Path("/var/lib") / service()["StateDirectory"]
    text = (EDGE / "systemd" / "edge.toml").read_text()
    assert "/etc/tickseal/edge.toml" in service()["ExecStart"]
    assert "/etc/tickseal/edge.toml" in text


def test_what_it_shows_commented_out_works_too(tmp_path: Path) -> None:
    text = (EDGE / "systemd" / "edge.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    path = tmp_path / "edge.toml"
    path.write_text("\n".join(line for line in lines if "=" in line or line.startswith("[[")))
    kinds = [stream.kind for stream in load_config(path).streams]
    assert kinds == ["host", "i2c", "i2c", "camera"]


def test_the_configuration_that_the_guide_shows_is_one(tmp_path: Path) -> None:
    block = (EDGE / "README.md").read_text().split("```toml\n")[1].split("```")[0]
    (tmp_path / "edge.toml").write_text(block)
    config = load_config(tmp_path / "edge.toml")
    assert [stream.label for stream in config.streams] == [
        "bme280", "scd4x", "bme280", "ds18b20", "gpio", "camera",
    ]  # fmt: skip


def test_udev_gives_devices_to_groups_that_the_user_is_in() -> None:
    rules = (EDGE / "udev" / "60-tickseal.rules").read_text()
    users = (EDGE / "systemd" / "tickseal.sysusers").read_text()
    for line in rules.splitlines():
        if line.startswith("SUBSYSTEM"):
            group = line.split('GROUP="')[1].split('"')[0]
            assert f"m tickseal {group}" in users or f"u {group} " in users


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/tickseal/bin/tickseal", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert not [line for line in complaints if "tickseal" not in line or "Unknown" in line]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_leaves_little_open() -> None:
    """systemd's own scale is 0 to 10; what is left is devices and the network."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "offline" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    assert done.returncode == 0, done.stdout.splitlines()[-1:]

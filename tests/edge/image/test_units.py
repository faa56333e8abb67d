"""What a first boot runs fits together: units, the script, the program and the service's rules."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from tickseal_edge.image.contents import PREFIX, system_file
from tickseal_edge.image.first_enrolment import EXIT_REFUSED
from tickseal_edge.image.request import STATE

UNITS = ("tickseal-first-boot.service", "tickseal-enrol.service", "tickseal-edge.service")


def parsed(name: str) -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(system_file(name))
    return parser


def test_enrolment_is_tried_while_there_is_an_invite_and_then_the_service_starts() -> None:
    unit = parsed("tickseal-enrol.service")
    assert unit["Unit"]["ConditionPathExists"] == f"{STATE}/invite"
    assert unit["Unit"]["OnSuccess"] == "tickseal-edge.service"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "it may take days until there is a gateway"
    assert unit["Service"]["RestartPreventExitStatus"] == str(EXIT_REFUSED)
    assert unit["Service"]["User"] == "tickseal"
    condition = parsed("tickseal-enrolled.conf")["Unit"]["ConditionPathExists"]
    assert condition == f"{STATE}/identity.json"


def test_the_boot_does_not_wait_for_a_gateway() -> None:
    assert parsed("tickseal-enrol.service")["Service"]["Type"] == "exec"


def test_the_script_is_one_and_sees_to_all_devices_of_the_rules() -> None:
    script = system_file("tickseal-first-boot")
    subprocess.run(["sh", "-n", script], check=True)
    rules = system_file("60-tickseal.rules").read_text()
    subsystems = set(re.findall(r'SUBSYSTEM=="([\w-]+)"', rules))
    assert subsystems <= set(re.findall(r"--subsystem-match=([\w-]+)", script.read_text()))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        text = system_file(name).read_text()
        (tmp_path / name).write_text(re.sub(rf"{PREFIX}/bin/\S+", "/bin/true", text))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "tickseal-" in line]
    assert not [line for line in complaints if "Unknown" in line or "Failed" in line], complaints

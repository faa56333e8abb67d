"""The commands: what they print, how they fail, and that they reach a gateway that runs."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from running_gateway import GatewayFactory, tickseal
from waiting import PATIENCE_S

from tickseal.invite import InviteToken


def fails(gateways: GatewayFactory, *arguments: str) -> str:
    """Return the one line that a command fails with."""
    done = gateways.command(*arguments)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tickseal: ")
    return line


def test_invites_and_devices_work_while_no_gateway_runs(gateways: GatewayFactory) -> None:
    made = gateways.command("invite", "--name", "garden", "--address", "10.0.0.1:4710", "--json")
    token = InviteToken.parse(json.loads(made.stdout)["token"])
    assert token.addresses == ("10.0.0.1:4710",)
    assert token.hybrid
    assert "garden" in gateways.command("invites").stdout
    (row,) = json.loads(gateways.command("invites", "--json").stdout)
    assert row["id"] in gateways.command("withdraw", row["id"]).stdout
    assert gateways.command("invites").stdout == "no invite is open\n"
    assert json.loads(gateways.command("devices", "--json").stdout) == []
    assert "make an invite" in gateways.command("devices").stdout


def test_a_fleet_gets_an_invite_for_each_device(gateways: GatewayFactory, tmp_path: Path) -> None:
    fleet = ("invite", "--count", "3", "--address", "gw:1")
    lines = gateways.command(*fleet, "--name", "bed").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["bed-1", "bed-2", "bed-3"]
    tokens = [InviteToken.parse(line.split()[1]) for line in lines]
    assert len({token.secret for token in tokens}) == 3
    made = json.loads(gateways.command(*fleet, "--json").stdout)
    assert [row["name"] for row in made] == [None] * 3
    assert len(json.loads(gateways.command("invites", "--json").stdout)) == 6
    sheet = tmp_path / "codes.html"
    shown = gateways.command(*fleet, "--name", "<bay>", "-o", str(sheet)).stdout
    assert shown.startswith(f"{sheet}: 3 codes to print")
    text = sheet.read_text()
    assert (text.count("<svg"), text.count("tks1_")) == (3, 3)
    assert "&lt;bay&gt;-2" in text
    assert "<bay>" not in text
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    again = gateways.command(*fleet, "-o", str(sheet))
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    nowhere = gateways.command(*fleet, "-o", str(tmp_path / "none" / "codes.html"))
    assert "nothing can be written into" in nowhere.stderr
    assert len(json.loads(gateways.command("invites", "--json").stdout)) == 9, "none was made"


def test_an_invite_is_shown_as_text_and_as_a_code(gateways: GatewayFactory) -> None:
    shown = gateways.command("invite", "--expires", "2d", "--address", "gw", "--classical")
    assert shown.returncode == 1
    assert "say the port too" in shown.stderr  # the configured port is 0: any free one
    shown = gateways.command("invite", "--expires", "2d", "--address", "gw:1", "--classical")
    assert "▀" in shown.stdout or "█" in shown.stdout
    lines = shown.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("tks1_")]
    assert not InviteToken.parse(line).hybrid
    assert "tickseal mcu flash --invite TOKEN" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("invite", "--expires", "soon"), "not a number with one of the units"),
        (("invite", "--expires", "400d"), "at most 366 days"),
        (("invite", "--address", "no good:x"), "is not an address"),
        (("invite", "--address", "gw:1", "--name", "a\nb"), "1 to 64 printable characters"),
        (("status",), "no gateway runs on"),
        (("streams",), "start it: tickseal gateway run"),
        (("rekey", "--all"), "no gateway runs on"),
        (("rekey",), "say which device, by its name, or --all"),
        (("revoke", "nobody"), "there is no device 'nobody'; known: none yet"),
        (("approve", "nobody"), "there is no device 'nobody'"),
        (("rename", "nobody", "x"), "there is no device 'nobody'"),
        (("run", "--level", "loud"), "--level is debug, info, warning or error"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    gateways: GatewayFactory, arguments: tuple[str, ...], says: str
) -> None:
    assert says in fails(gateways, *arguments)


def test_a_wrong_configuration_is_named_by_line_and_key(gateways: GatewayFactory) -> None:
    with gateways.file.open("a") as file:
        file.write('[policy]\nsuites = ["rot13"]\npast = "soon"\n')
    done = gateways.command("run")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "policy.suites[0]" in first
    assert "aes-256-gcm" in first
    assert "policy.past" in second


def test_a_gateway_runs_answers_and_stops(gateways: GatewayFactory) -> None:
    with gateways.process() as process:
        status = json.loads(gateways.command("status", "--json").stdout)
        assert status["gateway"]["tcp_port"] == process.ready["gateway"]["tcp_port"] > 0
        assert status["gateway"]["udp_port"] == status["gateway"]["tcp_port"]
        token = json.loads(gateways.command("invite", "--json").stdout)["token"]
        port = process.ready["gateway"]["tcp_port"]
        assert InviteToken.parse(token).addresses == (f"127.0.0.1:{port}",)
        shown = gateways.command("status").stdout
        assert f"test gateway at 127.0.0.1:{port}" in shown
        assert "no device is enrolled yet" in shown
        sock = gateways.state / "control.sock"
        assert stat.S_IMODE(sock.stat().st_mode) == 0o600
        code, last = process.stop()
        assert (code, last["event"]) == (0, "stopped")
        assert not sock.exists()


def test_ctrl_c_stops_it_in_order(gateways: GatewayFactory) -> None:
    with gateways.process() as process:
        process.popen.send_signal(signal.SIGINT)
        out, _ = process.popen.communicate(timeout=PATIENCE_S)
        assert process.popen.returncode == 0
        assert json.loads(out.splitlines()[-1])["event"] == "stopped"


def test_one_process_owns_the_state_directory(gateways: GatewayFactory) -> None:
    with gateways.process() as process:
        line = fails(gateways, "run")
        assert f"in use by process {process.popen.pid}" in line


def test_after_a_kill_it_starts_again_as_the_same_gateway(gateways: GatewayFactory) -> None:
    with gateways.process() as process:
        os.kill(process.popen.pid, signal.SIGKILL)
        process.popen.wait(PATIENCE_S)
        before = process.ready["gateway"]["fingerprint"]
        # The socket of the killed process is still there, and nobody answers on it.
        assert json.loads(gateways.command("devices", "--json").stdout) == []
    with gateways.process() as again:
        assert again.ready["gateway"]["fingerprint"] == before


def test_a_port_that_is_taken_is_said_to_be_so(gateways: GatewayFactory, tmp_path: Path) -> None:
    with gateways.process() as process:
        (tmp_path / "other").mkdir()
        other = GatewayFactory(tmp_path / "other")
        line = fails(other, "run", "--port", str(process.ready["gateway"]["tcp_port"]))
        assert "in use; stop what uses it, or choose another port" in line


def test_every_command_has_help_with_what_it_does() -> None:
    shown = tickseal("gateway", "--help")
    for command in ("run", "invite", "devices", "streams", "revoke", "rekey", "status"):
        assert command in shown.stdout
    assert "Examples:" in tickseal("gateway", "invite", "--help").stdout

"""The command as a person uses it: what it says, and what it says when something is wrong."""

import json
from pathlib import Path

import pytest
from tickseal_edge.image import commands, debian
from tickseal_edge.image.commands import app
from typer.testing import CliRunner

from tickseal.core.errors import ConfigError, EnrolmentError, TicksealError

from .conftest import INVITE
from .stand_in import MISSING, REASON, StandIn

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFyZSB5b3UgcmVhZGluZyB0aGlzPw me@desk"


def run(*arguments: str) -> tuple[str, str]:
    """Run the command; raise what it raises."""
    done = CliRunner().invoke(app, ["build", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def arguments(tmp_path: Path, **changes: str) -> list[str]:
    options = {
        "board": "rpi4", "invite": INVITE, "base": str(tmp_path / "base.img"),
        "output": str(tmp_path / "edge.img"), **changes,
    }  # fmt: skip
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


@pytest.mark.skipif(bool(MISSING), reason=REASON)
def test_says_what_was_made_and_what_comes_next(tmp_path: Path, no_index: object) -> None:
    StandIn().write(tmp_path / "base.img")
    (tmp_path / "key.pub").write_text(f"{KEY}\n")
    (tmp_path / "token").write_text(f"{INVITE}\n")
    out, err = run(
        *arguments(tmp_path, invite=f"@{tmp_path / 'token'}", ssh_key=str(tmp_path / "key.pub")),
        "--hostname=garden",
    )
    assert "ssh pi@garden.local" in out
    assert "192.0.2.1:4710" in out
    assert "flash it" in out
    assert "unpacked" in err
    assert INVITE not in out + err
    out, err = run(*arguments(tmp_path), "--json", "--force")
    assert json.loads(out)["python"] == "3.11"
    assert err == ""


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"board": "pico"}, ConfigError, "rpi4"),
        ({"invite": "tks1_wrong"}, EnrolmentError, "copy the whole token again"),
        ({"invite": "@/no/such/file"}, ConfigError, "/no/such/file"),
        ({"base": "/no/such.img"}, ConfigError, "Raspberry Pi OS"),
        ({"board": "rpi5", "base": "debian"}, ConfigError, "take Raspberry Pi OS"),
        ({"wifi": "Garden"}, ConfigError, "--wifi-country"),
        ({"wifi": "x" * 33, "wifi_country": "GB"}, ConfigError, "1 to 32 bytes"),
        ({"hostname": "under_score"}, ConfigError, "hyphens"),
        ({"ssh_key": "/no/such.pub"}, ConfigError, "cannot read"),
        ({"ssh_key": __file__}, ConfigError, "no public key"),
        ({"config": "/no/such.toml"}, ConfigError, "cannot read"),
    ],
)
def test_mistakes_are_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str], error: type[TicksealError], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("TICKSEAL_WIFI_PASSWORD", "password")
    monkeypatch.setattr(commands, "build_image", lambda *_, **__: pytest.fail("work was begun"))
    (tmp_path / "base.img").touch()
    if "base" in change or "config" in change:
        (tmp_path / "base.img").unlink()
    with pytest.raises(error, match=message):
        run(*arguments(tmp_path, **change))


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    (tmp_path / "base.img").touch()
    with pytest.raises(ConfigError, match=r"\.pub"):
        run(*arguments(tmp_path, ssh_key=str(tmp_path / "id")))


def test_a_state_that_the_service_may_not_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.img").touch()
    (tmp_path / "edge.toml").write_text('state = "/home/pi/state"\n')
    with pytest.raises(ConfigError, match="leave the line out"):
        run(*arguments(tmp_path, config=str(tmp_path / "edge.toml")))


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "base.img").touch()
    (tmp_path / "edge.img").write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        run(*arguments(tmp_path))


def test_a_machine_that_cannot_run_arm_programs_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "_BINFMT", tmp_path)
    monkeypatch.setattr(debian, "need", lambda *_: None)
    monkeypatch.setattr(
        debian, "run", lambda *_, **__: type("Done", (), {"returncode": 1, "stdout": b""})
    )
    with pytest.raises(TicksealError, match="apt install qemu-user-static && sudo mount"):
        run(*arguments(tmp_path, base="debian"))

"""An invite as commands are given it: it need not stand in a shell's history, or in `ps`."""

import io
import sys
from pathlib import Path

import pytest

from tickseal.core.errors import ConfigError
from tickseal.host.enrolment import read_invite

TOKEN = "tks1_abc"


def test_a_token_is_given_by_itself_by_a_file_or_by_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOKEN}\nmore\n"))
    assert [read_invite(given) for given in (f" {TOKEN}\n", f"@{file}", "-")] == [TOKEN] * 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none: cannot be read"):
        read_invite(f"@{tmp_path / 'none'}")

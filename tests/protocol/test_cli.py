"""The command line: what it lists, how it loads, and what it says when something is wrong."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickseal import cli

TICKSEAL = Path(sys.executable).with_name("tickseal")

GOOD = '''"""Greet somebody.

More, which the list does not show.
"""
import typer
import tickseal
app = typer.Typer()

@app.command()
def greet(name: str) -> None:
    if name == "nobody":
        raise tickseal.ConfigError("nobody cannot be greeted; name somebody")
    if name == "lazy":
        import absent_when_used
    if name == "interrupted":
        raise KeyboardInterrupt
    typer.echo(f"hello {name}")

@app.command()
def wave() -> None:
    pass
'''


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path that registers commands as an installed package would."""
    (tmp_path / "good_commands.py").write_text(GOOD)
    (tmp_path / "bare_commands.py").write_text(
        '"""Need what is not there."""\nimport absent_thing\n'
    )
    (tmp_path / "empty_commands.py").write_text("")
    info = tmp_path / "plugins-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[tickseal.commands]\n"
        "good = good_commands:app\n"
        "serial = bare_commands:app\n"
        "empty = empty_commands:app\n"
        "gone = tickseal_gone.commands:app\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cli._registered.cache_clear()
    yield tmp_path
    cli._registered.cache_clear()
    for name in ("good_commands", "bare_commands", "empty_commands"):
        sys.modules.pop(name, None)


def run(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tickseal", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    output = capsys.readouterr()
    assert isinstance(exit_info.value.code, int)
    return exit_info.value.code, output.out, output.err


@pytest.fixture
def tickseal(monkeypatch, capsys, plugins):
    return lambda *arguments: run(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def test_help_lists_each_command_with_its_first_line_and_imports_none(tickseal) -> None:
    code, out, _ = tickseal("--help")
    assert code == 0
    assert re.search(r"^  good +Greet somebody\.$", out, re.MULTILINE)
    assert re.search(r"^  serial +Need what is not there\.$", out, re.MULTILINE)
    assert re.search(r"^  gone +\(not installed\)$", out, re.MULTILINE)
    assert "More, which the list" not in out
    assert "tickseal demo --seconds 10" in out
    assert not {"good_commands", "bare_commands"} & set(sys.modules)


def test_runs_the_command_that_was_named(tickseal) -> None:
    assert tickseal("good", "greet", "you") == (0, "hello you\n", "")


def test_help_of_a_command_is_plain_and_has_no_completion_options(tickseal) -> None:
    code, out, _ = tickseal("good", "--help")
    assert code == 0
    assert "greet" in out
    assert "completion" not in out


def test_an_error_is_one_line_and_exit_code_1(tickseal) -> None:
    expected = "tickseal: nobody cannot be greeted; name somebody\n"
    assert tickseal("good", "greet", "nobody") == (1, "", expected)


def test_a_full_disk_behind_the_output_is_one_line_and_exit_code_1() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [TICKSEAL, "edge", "profiles"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    expected = "tickseal: the disk is full: make room, then run it again\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_debugging_shows_where_an_error_came_from(tickseal, monkeypatch) -> None:
    monkeypatch.setenv("TICKSEAL_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["tickseal", "good", "greet", "nobody"])
    with pytest.raises(cli.TicksealError, match="nobody"):
        cli.main()


def test_an_interrupt_is_quiet_and_exit_code_130(tickseal) -> None:
    assert tickseal("good", "greet", "interrupted") == (130, "", "")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("good", "nonsense"), ("good", "greet"), ("--x",)]
)
def test_wrong_usage_is_exit_code_2_and_names_the_help(tickseal, arguments) -> None:
    code, out, err = tickseal(*arguments)
    assert (code, out) == (2, "")
    assert "--help' for help." in err


@pytest.mark.parametrize(("typed", "meant"), [("wave", "good wave"), ("goood", "good")])
def test_an_unknown_command_is_answered_with_what_may_be_meant(tickseal, typed, meant) -> None:
    code, _, err = tickseal(typed)
    assert code == 2
    assert f"No such command '{typed}'. Did you mean 'tickseal {meant}'?" in err


@pytest.mark.parametrize("group", ["", "gateway", "edge", "sink", "mcu", "image"])
def test_lists_of_commands_fit_on_a_line_of_80(group: str) -> None:
    help_of = [TICKSEAL, *group.split(), "--help"]
    done = subprocess.run(
        help_of, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "80"}
    )
    commands = done.stdout.partition("Commands:")[2].partition("Example")[0]
    assert commands and "..." not in commands


def test_a_missing_extra_is_one_line_that_names_it(tickseal) -> None:
    code, out, err = tickseal("serial", "anything")
    assert (code, out) == (1, "")
    assert err == (
        "tickseal: the command 'serial' needs the package absent_thing; "
        "install it with: pip install 'tickseal[serial]'\n"
    )


def test_a_package_missing_only_at_use_is_told_the_same_way(tickseal) -> None:
    code, _, err = tickseal("good", "greet", "lazy")
    assert code == 1
    assert "needs the package absent_when_used" in err
    assert "pip install 'tickseal[edge,gateway]'" in err


def test_a_missing_or_broken_application_is_told_apart_from_a_missing_package(tickseal) -> None:
    code, _, err = tickseal("gone")
    assert code == 1
    assert "this installation lacks tickseal_gone" in err
    code, _, err = tickseal("empty")
    assert code == 1
    assert "the command 'empty' is broken" in err
    assert err.count("\n") == 1


def test_completes_commands_and_their_commands(tickseal, monkeypatch) -> None:
    monkeypatch.setenv("_TICKSEAL_COMPLETE", "complete_bash")
    for words, position, expected in [
        ("tickseal ", "1", {"good", "serial", "gone"}),
        ("tickseal good ", "2", {"greet", "wave"}),
        ("tickseal serial ", "2", set()),
    ]:
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", position)
        code, out, err = tickseal()
        assert code == 0
        assert expected <= set(out.split())
        assert err == ""


def test_version_is_that_of_the_installed_package() -> None:
    done = subprocess.run([TICKSEAL, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "tickseal 0.1.0\n"


def test_loads_neither_pydantic_nor_rich_for_its_help() -> None:
    code = "import sys, tickseal.cli as c\ntry: c.app(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "print([m for m in ('rich', 'pydantic', 'asyncio') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_writes_no_colour_codes_into_a_pipe_or_a_terminal_without_colours() -> None:
    controller, terminal = pty.openpty()
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb"}
    subprocess.run([TICKSEAL, "--help"], stdout=terminal, env=environment, check=True)
    os.close(terminal)
    assert b"\x1b" not in os.read(controller, 65536)
    os.close(controller)

"""Logs for people, for journald and for machines."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from tickseal.host.logs import Once, set_up_logging


@pytest.fixture(autouse=True)
def keep_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_plain_lines_carry_utc_level_and_origin() -> None:
    stream = io.StringIO()
    set_up_logging("info", stream=stream)
    logging.getLogger("tickseal.x").info("seen %d", 3)
    logging.getLogger("tickseal.x").debug("unseen")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO    tickseal\.x: seen 3\n", stream.getvalue()
    )


def test_json_is_one_object_a_line_even_with_a_traceback() -> None:
    stream = io.StringIO()
    set_up_logging("warning", as_json=True, stream=stream)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("tickseal").exception("failed\nbadly")
    (line,) = stream.getvalue().splitlines()
    content = json.loads(line)
    assert (content["level"], content["message"]) == ("error", "failed\nbadly")
    assert "ZeroDivisionError" in content["traceback"]
    assert content["time"].endswith("Z")


def test_under_systemd_every_line_carries_its_priority(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    set_up_logging("debug")
    logging.getLogger("a").warning("two\nlines")
    logging.getLogger("a").debug("fine")
    assert capsys.readouterr().err == "<4>a: two\n<4>lines\n<7>a: fine\n"


def test_set_up_again_does_not_say_everything_twice() -> None:
    stream = io.StringIO()
    set_up_logging(stream=io.StringIO())
    set_up_logging(stream=stream)
    logging.getLogger("a").warning("once")
    assert stream.getvalue().count("once") == 1


def test_a_state_is_said_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    once = Once(logging.getLogger("a"))
    with caplog.at_level(logging.INFO):
        said = [
            once.change("clock", state, logging.WARNING, "the clock is %s", state)
            for state in ("bad", "bad", "good", "good", "bad")
        ]
        assert once.change("other", "bad", logging.WARNING, "another")
    assert said == [True, False, True, False, True]
    assert [record.getMessage() for record in caplog.records] == [
        "the clock is bad", "the clock is good", "the clock is bad", "another",
    ]  # fmt: skip


def test_memory_of_states_is_bounded() -> None:
    once = Once(logging.getLogger("a"))
    for n in range(5000):
        once.change(f"stream {n}", 1, logging.DEBUG, "x")
    assert len(once._states) <= 1024
    assert not once.change("stream 4999", 1, logging.DEBUG, "x")

"""Configuration: any text gives a model or an error that names its line, and says what to do."""

import enum
import re
import tomllib
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import ConfigError
from tickseal.configuration.configuration import Between, Duration, Length, Mark, Size, parse_toml
from tickseal.configuration.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from tickseal.configuration.toml_lines import find_lines


class Renewal(enum.IntEnum):
    EVERY_FRAME = 1
    EVERY_INTERVAL = 2


class Even(Mark):
    def allowed(self, base: str) -> str:
        return f"an even {base.removeprefix('an ')}"

    def read(self, value: object) -> object:
        if not isinstance(value, int) or value % 2:
            raise ValueError
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    lane: Literal["live", "late"] = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSensor(Sensor):
    driver: Literal["host"]
    every_ns: Annotated[int, Duration("10ms", "1h")] = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSensor(Sensor):
    driver: Literal["bme280", "sht4x"]
    address: Annotated[int, Between(3, 119)] = 118


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    id: Annotated[str, Length(1, 8)]
    interval_ns: Annotated[int, Duration("1ms", "1h")] = 100_000_000
    spool_bytes: Annotated[int, Size("1KiB")] = 8 << 20
    renewal: Renewal = Renewal.EVERY_INTERVAL
    sensors: tuple[HostSensor | BusSensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    name: str = "edge"
    port: Annotated[int, Between(1, 65535)] = 7411
    gain: float = 1.0
    retry: Literal["never"] | Annotated[int, Duration("1s", "1h")] = "never"
    password: str = field(default="", repr=False)
    channels: Annotated[int, Even()] = 2
    labels: Annotated[dict[str, str], Length(0, 4)] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)
    clock: Literal["ptp", "pps"] | None = None
    streams: list[Stream] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.clock == "pps" and self.port == 1:
            raise ConfigError("clock pps does not go with port 1; choose another port")


FULL = """
name = "porch"
port = 7_000
gain = 2
retry = "5s"
labels = { floor = "1", "the room" = "hall" }
extra = { deep = [1, { er = true }] }
clock = "ptp"

[[streams]]
id = "air"
interval = "2s"
spool = "1.5MiB"
renewal = "every-frame"
sensors = [
    { driver = "host", lane = "late" },
    { driver = "sht4x", address = 0x44 },
]

[[streams]]
id = "light"
"""


def errors_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, Config, where="edge.toml")
    return str(caught.value).splitlines()


def test_reads_every_kind_of_value_into_its_type() -> None:
    assert parse_toml(FULL, Config, where="edge.toml") == Config(
        name="porch",
        port=7000,
        gain=2.0,
        retry=5_000_000_000,
        labels={"floor": "1", "the room": "hall"},
        extra={"deep": [1, {"er": True}]},
        clock="ptp",
        streams=[
            Stream(
                id="air",
                interval_ns=2_000_000_000,
                spool_bytes=3 << 19,
                renewal=Renewal.EVERY_FRAME,
                sensors=(
                    HostSensor(driver="host", lane="late"),
                    BusSensor(driver="sht4x", address=0x44),
                ),
            ),
            Stream(id="light"),
        ],
    )


def test_an_empty_text_gives_the_defaults() -> None:
    assert parse_toml("", Config, where="edge.toml") == Config()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("port = 0", "port: found the number 0; allowed: an integer from 1 to 65535"),
        ("port = true", "port: found true; allowed: an integer from 1 to 65535"),
        ("port = 80.0", "port: found the number 80.0; allowed: an integer from 1 to 65535"),
        ("name = 1", "name: found the number 1; allowed: text"),
        ("name = 1979-05-27", "name: found a date or time; allowed: text"),
        ("gain = inf", "gain: found the number inf; allowed: a finite number"),
        ("channels = 3", "channels: found the number 3; allowed: an even integer"),
        (
            "channels = 0x1_0000_0000_0000_0000",
            "channels: found an integer of more than 64 bits; allowed: an even integer",
        ),
        (
            "retry = 'sometimes'",
            'retry: found "sometimes"; allowed: "never" or '
            'a duration such as "100ms" or "2s", from "1s" to "1h"',
        ),
        (
            "labels = []",
            "labels: found a list of 0; allowed: a table of 0 to 4 elements, each value text",
        ),
        (
            "labels = { a = '', b = '', c = '', d = '', e = '' }",
            "labels: found a table; allowed: a table of 0 to 4 elements, each value text",
        ),
        ("labels.floor = 1", "labels.floor: found the number 1; allowed: text"),
        ("clock = 'gps'", 'clock: found "gps"; allowed: "ptp" or "pps"'),
        (
            "prot = 1",
            "prot: unknown key; did you mean port? allowed here: channels, clock, extra, ",
        ),
        ("'a b'.c = 1", '"a b": unknown key; allowed here: channels, clock, extra, '),
        ("streams = [{ id = '' }]", 'streams[0].id: found ""; allowed: text of 1 to 8 characters'),
        ("streams = [{}]", "streams[0].id: missing; allowed: text of 1 to 8 characters"),
        (
            "streams = [1]",
            "streams[0]: found the number 1; allowed: "
            "a table with the keys id, interval, spool, renewal, sensors",
        ),
        (
            "streams = [{ id = 'a', interval = 100 }]",
            "streams[0].interval: found the number 100; allowed: "
            'a duration such as "100ms" or "2s", from "1ms" to "1h"',
        ),
        (
            "streams = [{ id = 'a', spool = '8 megs' }]",
            'streams[0].spool: found "8 megs"; allowed: '
            'a size such as "512KiB" or "8MiB", from "1KiB" to "1024TiB"',
        ),
        (
            "streams = [{ id = 'a', renewal = 'daily' }]",
            'streams[0].renewal: found "daily"; allowed: "every-frame" or "every-interval"',
        ),
        (
            "streams = [{ id = 'a', sensors = [{ driver = 'bmp' }] }]",
            'streams[0].sensors[0].driver: found "bmp"; allowed: "host" or "bme280" or "sht4x"',
        ),
        (
            "streams = [{ id = 'a', sensors = [{}] }]",
            'streams[0].sensors[0].driver: missing; allowed: "host" or "bme280" or "sht4x"',
        ),
        ("clock = 'pps'\nport = 1", "clock pps does not go with port 1; choose another port"),
        ("port = ", "not TOML: Invalid value"),
        ("port = 1\nport = 2", "not TOML: Cannot overwrite a value"),
        ('name = """', "not TOML: Unterminated string"),
        ("port = " + "9" * 5000, "not TOML: a number has too many digits"),
        ("extra.a = " + "[" * 9000 + "]" * 9000, "not TOML: nested too deeply"),
    ],
)
def test_says_where_what_was_found_and_what_is_allowed(line: str, message: str) -> None:
    (error,) = errors_of(line)
    assert re.match(r"edge\.toml:[12]: ", error)
    assert error.partition(": ")[2].startswith(message)


def test_lists_every_error_in_the_order_of_the_lines() -> None:
    errors = errors_of(
        FULL.replace("7_000", "0").replace('"air"', "5").replace("0x44", "1") + "\nx=1"
    )
    assert [error.split(": ")[:2] for error in errors] == [
        ["edge.toml:3", "port"],
        ["edge.toml:11", "streams[0].id"],
        ["edge.toml:17", "streams[0].sensors[1].address"],
        ["edge.toml:23", "streams[1].x"],
    ]


def test_a_flood_of_errors_is_cut_short() -> None:
    errors = errors_of("".join(f"key{number} = 1\n" for number in range(50)))
    assert len(errors) == 21
    assert errors[-1] == "edge.toml: and 30 more"


def test_never_shows_the_value_of_a_hidden_key() -> None:
    assert errors_of("password = 271828") == [
        "edge.toml:1: password: found an integer (not shown); allowed: text"
    ]


def test_control_characters_do_not_reach_the_terminal() -> None:
    (error,) = errors_of(r'clock = "\u001b[31m\u009b\u202e' + "x" * 999 + '"')
    assert error.isprintable()
    assert len(error) < 200


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse_toml("\ufeffport = 1", Config, where="edge.toml").port == 1


WORDS = ["port", "name", "streams", "id", "=", ".", "[", "]", "[[", "]]", "{", "}", ",", "#", "\\"]
VALUES = ["1", "0x1F", "inf", "true", "'a'", '"2s"', "1979-05-27 07:32:00", '"""', "'''"]
BLANKS = [" ", "\n", "\r\n"]
FRAGMENTS = st.sampled_from(WORDS + VALUES + BLANKS)


@given(st.one_of(st.text(), st.lists(FRAGMENTS).map("".join)))
def test_any_text_gives_a_model_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(parse_toml(text, Config, where="edge.toml"), Config)
    except ConfigError as error:
        for line in str(error).splitlines():
            assert re.match(r"edge\.toml(:\d+)?: ", line), line


# Documents of which the line of every path is known, written in every layout that TOML has.
KEYS = st.sampled_from(["a", "b-c", '"d.e"', "'f g'", '"\\u00e9\\t"', "1"])
SCALARS = st.sampled_from(
    [
        "1",
        "-2.5e3",
        "true",
        "1979-05-27T07:32:00Z",
        "1979-05-27 07:32:00",
        "'#]}'",
        '"\\"#,\\\\"',
        '""',
        "''",
        '""""""',
        '"""x\n#\\"\n"""""',
        "'''\n\n]'''",
    ]
)
SPACE = st.sampled_from(["", " ", "\t"])
BREAK = st.sampled_from(["", " ", "\n", " # ]}',\n", "\r\n\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["scalar", "list", "table"])) if depth else "scalar"
    if kind == "list":
        elements = draw(st.lists(values(depth=depth - 1), max_size=3))
        comma = draw(st.sampled_from(["", ","])) if elements else ""
        inner = ",".join(draw(BREAK) + element + draw(BREAK) for element in elements)
        return f"[{inner}{comma}{draw(BREAK)}]"
    if kind == "table":
        names = draw(st.lists(KEYS, max_size=3, unique=True))
        pairs = [
            f"{name}{draw(SPACE)}={draw(SPACE)}{draw(values(depth=depth - 1))}" for name in names
        ]
        return "{" + ", ".join(pairs) + "}"
    return draw(SCALARS)


@st.composite
def documents(draw: st.DrawFn) -> str:
    def pairs() -> str:
        names = draw(st.lists(KEYS, max_size=3, unique=True))
        return "".join(f"{draw(SPACE)}k.{name} = {draw(values())}{draw(SPACE)}\n" for name in names)

    text = draw(BREAK) + pairs()
    for number in range(draw(st.integers(0, 3))):
        text += f"[table{number}.{draw(KEYS)}] # [\n" + pairs() + draw(BREAK) + "\n"
        for _ in range(draw(st.integers(0, 2))):
            text += f"[[ array{number} . x ]]\n" + pairs() + f"[array{number}.x.y]\n" + pairs()
    return text


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    return {path}.union(*(paths(child, (*path, key)) for key, child in children))


@given(documents())
def test_every_path_of_a_document_has_a_line_and_no_other(text: str) -> None:
    assert set(find_lines(text)) == paths(tomllib.loads(text))


@given(documents(), st.data())
def test_the_line_of_a_path_is_where_it_stands(text: str, data: st.DataObject) -> None:
    # The first unknown key of a table is put on a line that we know.
    lines = text.split("\n")
    tops = [number for number, line in enumerate(lines) if line.startswith("[array")]
    position = data.draw(st.sampled_from([*tops, len(lines)]))
    marked = "\n".join(
        [*lines[:position], "[here]", "  it . is = {x = [1,", "2]}", *lines[position:]]
    )
    try:
        tomllib.loads(marked)
    except tomllib.TOMLDecodeError:  # the position was inside a text of several lines
        return
    found = find_lines(marked)
    assert found["here",] == position + 1
    assert found["here", "it", "is", "x"] == found["here", "it", "is", "x", 0] == position + 2
    assert found["here", "it", "is", "x", 1] == position + 3


def test_the_line_of_a_table_is_its_header_even_if_it_was_named_before() -> None:
    assert find_lines("[a.b]\n[a]\nx = 1") == {(): 1, ("a",): 2, ("a", "b"): 1, ("a", "x"): 3}


@given(st.integers(0, 2**63 - 1))
def test_a_quantity_reads_back_as_it_was_written(amount: int) -> None:
    assert parse_duration(format_duration(amount)) == amount
    assert parse_size(format_size(amount)) == amount


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("100ms", 10**8),
        ("1.5s", 15 * 10**8),
        ("2 min", 12 * 10**10),
        ("0.001us", 1),
        ("250 µs", 250_000),
    ],
)
def test_durations_are_exact(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "1", "ms", "-1s", "1e3s", "0.1ns", "1S", "1 fortnight", "300y", "20000000000s", "\u0661s"],
)
def test_refuses_what_is_no_exact_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except ValueError:
            pass

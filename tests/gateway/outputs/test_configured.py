"""Outputs by configuration: every kind, chosen streams, and a gateway whose outputs all fail."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from batches import batch, picture, reading
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.config import Config
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.outputs.configured import configured_outputs, health_readers
from tickseal_gateway.outputs.selection import SelectedOutput, SelectedReader

from tickseal.configuration.configuration import parse_toml
from tickseal.core.errors import ConfigError

ALL = """
[[outputs]]
kind = "jsonl"
path = "{folder}/readings.jsonl"
[[outputs]]
kind = "csv"
path = "{folder}/readings.csv"
size = "1MiB"
keep = 3
[[outputs]]
kind = "parquet"
folder = "{folder}/parquet"
every = "15min"
[[outputs]]
kind = "pictures"
folder = "{folder}/pictures"
every = "1min"
[[outputs]]
kind = "video"
name = "cameras"
streams = ["*/camera"]
folder = "{folder}/video"
[[outputs]]
kind = "mqtt"
host = "127.0.0.1"
port = 1
[[outputs]]
kind = "prometheus"
port = 0
[[outputs]]
kind = "influx"
url = "http://127.0.0.1:1/write?db=x"
[[outputs]]
kind = "jsonl"
path = "/dev/null/impossible"
"""


def parse(text: str) -> Config:
    return parse_toml(text, Config, where="gateway.toml")


def test_every_kind_is_made(tmp_path: Path) -> None:
    outputs = configured_outputs(parse(ALL.format(folder=tmp_path)))
    assert [output.name for output in outputs] == [
        "jsonl", "csv", "parquet", "pictures", "cameras", "mqtt", "prometheus", "influx", "jsonl-2",
    ]  # fmt: skip
    assert [type(each).__name__ for each in health_readers(outputs)] == [
        "MQTTOutput", "PrometheusMetrics",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('kind = "mqtt"', "outputs[0].host: missing"),
        ('kind = "nothing"', 'found "nothing"; allowed: "jsonl"'),
        ('kind = "influx"\nurl = "ftp://x"', "begins with"),
        ('kind = "mqtt"\nhost = "h"\ntopic = "a/#"', "no + and #"),
        ('kind = "mqtt"\nhost = "h"\npassword = "a"\npassword_file = "b"', "not both"),
        ('kind = "csv"\npath = "x"\nsize = "1B"', "size"),
    ],
)
def test_a_wrong_entry_is_told_by_its_line(entry: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"[[outputs]]\n{entry}\n")
    assert message in str(caught.value)
    assert str(caught.value).startswith("gateway.toml:")


def test_two_of_one_name_are_refused() -> None:
    entry = '[[outputs]]\nkind = "jsonl"\npath = "x"\nname = "a"\n'
    with pytest.raises(ConfigError, match="two outputs are called 'a'"):
        configured_outputs(parse(entry * 2))


def test_a_secret_can_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim\n")
    entry = f'[[outputs]]\nkind = "influx"\nurl = "http://h/w"\ntoken_file = "{tmp_path}/token"\n'
    (output,) = configured_outputs(parse(entry))
    assert output._headers["authorization"] == "Token geheim"  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="cannot read"):
        configured_outputs(parse(entry.replace("token_file = ", 'token_file = "/none" #')))


def test_a_secret_is_in_no_repr() -> None:
    config = parse('[[outputs]]\nkind = "mqtt"\nhost = "h"\npassword = "geheim"\n')
    assert "geheim" not in repr(config)


# --- Chosen streams ---


class Recorder:
    name, gather_s, keeps_newest = "recorder", 0.0, False

    def __init__(self) -> None:
        self.got: list[Batch] = []
        self.noted: list[Any] = []

    def write(self, batches: Any) -> None:
        self.got += batches

    def close(self) -> None:
        self.got = []

    def note(self, snapshot: Any) -> None:
        self.noted.append(snapshot)


def test_only_chosen_streams_come_through() -> None:
    inner = Recorder()
    output = SelectedOutput(inner, ("garden/*", "hall"))
    output.write([
        batch(reading(stream="garden/air"), reading(stream="attic"), shown=[picture(1)]),
        batch(reading(stream="attic")),
        batch(reading(stream="hall")),
    ])  # fmt: skip
    streams = [[each.stream for each in one.readings] for one in inner.got]
    assert streams == [["garden/air"], ["hall"]]
    assert len(inner.got[0].pictures) == 1


def test_health_is_of_chosen_streams_too() -> None:
    inner = Recorder()
    SelectedReader(inner, inner, ("a*",)).note({"streams": [{"id": "ab"}, {"id": "b"}], "x": 1})
    assert inner.noted == [{"streams": [{"id": "ab"}], "x": 1}]


# --- In a gateway ---


def test_outputs_that_fail_harm_neither_each_other_nor_the_stream(
    gateways: GatewayFactory, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gateways.inside(ALL.format(folder=tmp_path)) as view:
            device = Device(str((await view.invite(name="garden"))["token"]))
            async with device.connected():
                await device.open("garden/temperature")
                for value in range(50):
                    await device.send(value, "garden/temperature")
                await until(lambda: view.snapshot()["totals"]["frames"] == 50)  # type: ignore[index]

                def outputs() -> dict[str, Any]:
                    rows: Any = view.snapshot()["outputs"]
                    return {row["name"]: row for row in rows}

                await until(lambda: outputs()["store"]["written"] == 50)
                await until(lambda: outputs()["csv"]["written"] == 50)
                await until(lambda: outputs()["jsonl-2"]["error"])
                await until(lambda: outputs()["influx"]["error"], what="influx to fail")
                assert outputs()["store"]["missed"] == 0
                await asyncio.sleep(0)

    run(main())
    rows = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert [row["value"] for row in rows] == list(range(50))
    assert len((tmp_path / "readings.csv").read_text().splitlines()) == 51
    assert len(list((tmp_path / "parquet").rglob("*.parquet"))) == 1


@pytest.fixture
def gateways(tmp_path: Path) -> GatewayFactory:
    return GatewayFactory(tmp_path)

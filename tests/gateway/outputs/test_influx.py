"""Line protocol: a database reads what was measured; refusals and outages are told apart."""

import contextlib
import gzip
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from batches import HOSTILE, batch, numbered, reading
from line_protocol_parser import parse_line
from ports import free_port
from tickseal_gateway.outputs.influx import InfluxLines, RefusedLinesError
from waiting import PATIENCE_S, eventually

from tickseal.core.errors import LinkError


class Database(http.server.HTTPServer):
    """As much of InfluxDB's write address as clients see."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.bodies: list[bytes] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/v2/write?org=home&bucket=b"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        if self.server.status == 204:
            self.server.bodies.append(gzip.decompress(body))
        self.send_response(self.server.status)
        self.end_headers()
        if self.server.status != 204:
            self.wfile.write(b'{"message": "because"}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    server = Database()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def lines(database: Database) -> list[str]:
    return [line for body in database.bodies for line in body.decode().split("\n")]


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running InfluxDB 1.x."""
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("needs influxd (Debian: influxdb)")
    folder, port = tmp_path_factory.mktemp("influxdb"), free_port()
    own = {
        "INFLUXDB_DATA_DIR": folder / "data",
        "INFLUXDB_DATA_WAL_DIR": folder / "wal",
        "INFLUXDB_META_DIR": folder / "meta",
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "INFLUXDB_REPORTING_DISABLED": "true",
    }
    (folder / "empty.conf").touch()
    process = subprocess.Popen(
        [program, "run", "-config", folder / "empty.conf"],
        env={**os.environ, **{key: str(value) for key, value in own.items()}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(url), "influxd answers")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/ping", timeout=PATIENCE_S):
        return True
    return False


def ask(url: str, query: str, db: str = "") -> Any:
    data = urllib.parse.urlencode({"q": query, "db": db, "epoch": "ns"}).encode()
    with urllib.request.urlopen(f"{url}/query", data, timeout=10) as answer:
        (result,) = json.load(answer)["results"]
    return result.get("series", [None])[0]


def output(database: Database, token: str = "") -> InfluxLines:
    return InfluxLines(database.url, measurement="tick seal", token=token)


def test_the_lines_are_what_was_measured(database: Database) -> None:
    output(database, "secret").write([batch(reading(20.5), *HOSTILE[:1], *HOSTILE[2:])])
    parsed = [parse_line(line) for line in lines(database)]
    assert len(parsed) == 5, "all but the one that failed at its sensor"
    assert parsed[0] == {
        "measurement": "tick seal",
        "tags": {
            "device": "garden", "stream": "garden/temperature", "name": "air", "unit": "Cel",
        },
        "fields": {"value": 20.5},
        "time": HOSTILE[0].time_ns,
    }  # fmt: skip
    assert parsed[1]["tags"]["name"] == "a,b=c d"
    assert parsed[2]["fields"] == {"truth": True}
    assert parsed[3]["fields"] == {"value": float(2**70)}
    path, headers = database.asked[0]
    assert path.endswith("org=home&bucket=b&precision=ns")
    assert headers["authorization"] == "Token secret"


def test_influxdb_reads_back_what_was_measured(influxdb: str) -> None:
    ask(influxdb, "CREATE DATABASE t")
    InfluxLines(f"{influxdb}/write?db=t", measurement="tick seal").write(
        [batch(reading(), *HOSTILE)]
    )
    found = ask(influxdb, 'SELECT * FROM "tick seal"', db="t")
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["values"]]
    by_name = {row["name"]: row for row in rows if row["name"] != "air"}
    assert set(by_name) == {"a,b=c d", "door", "huge", "whole"}
    hostile = by_name["a,b=c d"]
    assert hostile["stream"] == 'x "y"/', "databases differ in what a backslash is in a tag"
    assert (hostile["device"], hostile["value"]) == ("käse/", 1.5)
    assert by_name["door"]["truth"] is True
    (air,) = [row for row in rows if row["name"] == "air"]
    assert air["text"] == str(HOSTILE[1].value).replace("\n", " ")
    assert (air["value"], air["unit"], air["time"]) == (20.5, "Cel", HOSTILE[0].time_ns)


def test_no_device_writes_a_line_in_anothers_name(database: Database) -> None:
    """Some databases take any line end for the end of a point, and `\\\\,` for a comma."""
    output(database).write(
        [
            batch(
                reading('x"\ntickseal,device=other value=1 1\r'),
                reading(1.0, stream="a\\,device=other"),
            )
        ]
    )
    text, number = lines(database)
    assert text.count('"') == 3 and text.count(r"\"") == 1
    assert r"stream=a/\,device\=other," in number


def test_many_readings_go_in_several_requests(database: Database) -> None:
    output(database).write([numbered(6000), numbered(6000, 6000)])
    assert len(database.bodies) == 3
    assert len(lines(database)) == 12_000


@pytest.mark.parametrize("status", [429, 500, 503])
def test_not_now_is_for_later(database: Database, status: int) -> None:
    database.status = status
    with pytest.raises(LinkError, match="tried again later"):
        output(database).write([numbered(1)])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_not_like_this_says_what_to_see_to(database: Database, status: int) -> None:
    database.status = status
    with pytest.raises(LinkError, match="url and token"):
        output(database, "secret").write([numbered(1)])


def test_never_is_given_up(database: Database) -> None:
    database.status = 400
    with pytest.raises(RefusedLinesError, match="because"):
        output(database).write([numbered(1)])


def test_nobody_there_is_for_later() -> None:
    away = InfluxLines("http://127.0.0.1:1/write", measurement="m", token="secret")
    with pytest.raises(LinkError, match="is it running") as caught:
        away.write([numbered(1)])
    assert "secret" not in str(caught.value)

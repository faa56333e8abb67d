"""A card made by `tickseal image build --base debian` boots, enrols by itself and streams.

Slower than the other tests (`./dev image`): Debian for ARM is installed once, by an emulator, and
then booted by another.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.partitions import read_layout

from hil_tests.bench.card import HOST_ADDRESS, PROGRAM, Card
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask

#: A busy machine without hardware help takes minutes for what takes a Pi half a minute.
BOOT_S, STREAM_S, STOP_S = 900.0, 120.0, 180.0
FRAMES = 100
GATEWAY = """
[gateway]
state = {state}
host = "127.0.0.1"
port = 0
[page]
port = 0
"""
CONFIG = """
name = "garden"
[[streams]]
id = "garden/host"
kind = "host"
rate_hz = 5.0
"""

pytestmark = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed (Debian: qemu-system-arm)"
)


def tickseal(*arguments: str) -> dict[str, Any]:
    """Run a command that prints JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tickseal.cli", *arguments, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "binfmt" in done.stderr or "install it: sudo apt" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Gateway:
    """A gateway as a process of its own, reached from the card as QEMU shows the host."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "gateway"
        config = folder / "gateway.toml"
        config.write_text(GATEWAY.format(state=json.dumps(str(self.state))))
        self.log = folder / "gateway.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tickseal.cli", "gateway", "run", "--config", str(config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """Return its status; nothing while it starts."""
        try:
            answer: dict[str, Any] = ask(self.state, {"do": "status"}, service="gateway")
        except LinkError:
            return {}
        return answer

    def frames(self) -> int:
        """Return how many frames were opened."""
        return int(self.status().get("totals", {}).get("frames", 0))

    def invite(self) -> str:
        """Return a token for one device."""
        addresses = until(lambda: self.status().get("gateway", {}).get("addresses"), 60)
        port = addresses[0].rpartition(":")[2]
        options = [
            "--state",
            str(self.state),
            "--name",
            "garden",
            "--address",
            f"{HOST_ADDRESS}:{port}",
        ]
        return str(tickseal("gateway", "invite", *options, "--expires", "1d")["token"])

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


def until(look: Callable[[], Any], patience_s: float, card: Card | None = None) -> Any:
    """Return what look() gives once it is true."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        if card is not None:
            assert card.is_running, f"the machine ended by itself:\n{card.console[-3000:]}"
        time.sleep(0.25)
    said = card.console[-3000:] if card else ""
    raise AssertionError(f"not within {patience_s} s\n{said}")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway on this machine."""
    started = Gateway(tmp_path)
    yield started
    started.stop()


def test_a_card_enrols_by_itself_streams_and_forgets_the_invite(
    gateway: Gateway, tmp_path: Path
) -> None:
    token = gateway.invite()
    (tmp_path / "token").write_text(token)
    (tmp_path / "edge.toml").write_text(CONFIG)
    image = tmp_path / "edge.img"
    built = tickseal(
        "image", "build", "--board", "rpi4", "--base", "debian", "-o", str(image),
        "--invite", f"@{tmp_path / 'token'}", "--config", str(tmp_path / "edge.toml"),
        "--hostname", "garden",
    )  # fmt: skip
    print(built)
    root = Ext4(image, read_layout(image).root)
    assert root.read("/var/lib/tickseal-edge/invite") == f"{token}\n".encode()

    with Card(image) as card:
        began = time.monotonic()
        until(lambda: gateway.frames() >= 1, BOOT_S, card)
        print(f"first frame {time.monotonic() - began:.0f} s after power on")
        began, first = time.monotonic(), gateway.frames()
        until(lambda: gateway.frames() >= first + FRAMES, STREAM_S, card)
        took = time.monotonic() - began
        print(f"{gateway.frames() - first} frames in {took:.1f} s")
        status = gateway.status()
        assert not status["totals"]["refusals"], status["totals"]
        assert [one["id"] for one in status["streams"]] == ["garden/host"]
        assert "tickseal: enrolled as garden" in card.console
        card.shut_down(patience_s=STOP_S)

    assert root.read("/var/lib/tickseal-edge/invite") is None
    assert root.read("/var/lib/tickseal-edge/identity.json")
    assert root.read("/etc/tickseal/first-boot") is None
    assert not holds(image, token.encode()), "the invite is still on the card, in some block"

    frames = gateway.frames()
    with Card(image) as card:
        until(lambda: gateway.frames() >= frames + FRAMES // 2, BOOT_S, card)
        assert "enrol" not in card.console
        assert not re.search(r"FAILED|Failed to start", card.console), card.console
        assert not gateway.status()["totals"]["refusals"]
        print(f"{gateway.frames() - frames} frames after a second start")


def holds(path: Path, secret: bytes) -> bool:
    """Tell whether a file holds some bytes, anywhere."""
    end = b""
    with path.open("rb") as file:
        size, place = os.fstat(file.fileno()).st_size, 0
        while place < size:
            chunk = file.read(1 << 24)
            if secret in end + chunk:
                return True
            end, place = chunk[-len(secret) :], place + len(chunk)
    return False

"""MQTT brokers, a real one and one that is deaf, and a client that hears everything."""

import contextlib
import getpass
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from ports import free_port
from tickseal_gateway.outputs.home_assistant import object_id
from waiting import PATIENCE_S, eventually

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Broker:
    """A Mosquitto that can be killed and started again on its port."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        # It must not leave root for a user who cannot read the test's folder.
        user = getpass.getuser()
        self._file.write_text(f"listener {self.port} 127.0.0.1\nuser {user}\n{more}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, "mosquitto listens")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """A client that hears everything, as Home Assistant would."""

    def __init__(self, port: int) -> None:
        self.heard: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.content_types: dict[str, str | None] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._take
        listens = threading.Event()
        self._client.on_subscribe = lambda *_: listens.set()
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert listens.wait(PATIENCE_S)

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard[message.topic] = message.payload
        self.counts[message.topic] = self.counts.get(message.topic, 0) + 1
        self.content_types[message.topic] = getattr(message.properties, "ContentType", None)

    def publish(self, topic: str, text: str) -> None:
        self._client.publish(topic, text, qos=1)

    def json(self, topic: str) -> Any:
        return json.loads(self.until(lambda: self.heard.get(topic), topic))

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return eventually(condition, what)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = None  # as in the output: paho must not hold itself


CONFIG = f"homeassistant/device/{object_id('tickseal', 'garden')}/config"


class DeafBroker:
    """Accepts connections, and reads nothing that comes after the first packet."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._connections.append(connection)
                connection.recv(1000)
                connection.sendall(bytes.fromhex("2003000000"))  # CONNACK: welcome

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()  # it may just have taken another
        for each in (self._listening, *self._connections):
            each.close()


def device(name: str = "garden", **more: Any) -> dict[str, Any]:
    clock = {
        "discipline": "ntp", "is_synchronised": True, "uncertainty_ns": 800_000,
        "offset_ns": -1_250_000, "offset_uncertainty_ns": 900_000, "round_trip_ns": 1,
    }  # fmt: skip
    return {
        "name": name, "state": "approved", "is_connected": True, "seen_s": 0.3,
        "session": {"clock": clock, "clock_agrees": True}, **more,
    }  # fmt: skip


def snapshot(*devices: dict[str, Any], stale: bool = False) -> dict[str, Any]:
    stream = {"id": "garden/temperature", "device": "garden", "is_stale": stale}
    return {"devices": list(devices), "streams": [stream]}

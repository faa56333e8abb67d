"""An MQTT 5 broker: readings, pictures and health, announced to Home Assistant."""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Sequence

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tickseal.core.errors import LinkError
from tickseal_gateway.frames.readings import Batch, Picture, Reading
from tickseal_gateway.health.status import Json
from tickseal_gateway.outputs.home_assistant import Entity, Topics, discovery, health, object_id
from tickseal_gateway.outputs.text import iso

_KEEP_ALIVE_S = 20
_CONNECT_S = 2.0
#: How long a write waits until the broker has taken it.
_WRITTEN_S = 5.0
#: How soon a write that waits sees that its connection is gone.
_LOOK_S = 0.1
_RECONNECT_MOST_S = 30
#: Series that are announced; more are published without.
_ENTITIES_MOST = 2000
_ONLINE, _OFFLINE = "online", "offline"


class MQTTOutput:
    """An Output that publishes, and a HealthReader.

    Args:
        host, port: the broker.
        topics: where everything goes.
        prefix: Home Assistant's discovery prefix; empty for no announcements.
        every_ns: shortest time between two values of one series.
        tls: None for a connection that is not encrypted.
    """

    keeps_newest = True
    gather_s = 0.1

    def __init__(
        self,
        host: str,
        port: int,
        *,
        topics: Topics,
        prefix: str = "homeassistant",
        every_ns: int = 1_000_000_000,
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        name: str = "mqtt",
    ) -> None:
        self.name = name
        self._where = f"{host}:{port}"
        self._host, self._port = host, port
        self._topics = topics
        self._prefix = prefix
        self._every_ns = every_ns
        self._lock = threading.Lock()
        self._entities: dict[str, dict[Entity, None]] = {}
        self._entity_count = 0
        self._announced: set[str] = set()
        self._sent_ns: dict[str, int] = {}
        self._availability: dict[str, str] = {}
        self._devices: list[Json] = []
        self._health: paho.MQTTMessageInfo | None = None
        self._connected = threading.Event()
        self._refusal = ""
        self._started = False
        self._client = self._make_client(user, password, tls)

    def _make_client(self, user: str, password: str, tls: ssl.SSLContext | None) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if user:
            client.username_pw_set(user, password or None)
        if tls is not None:
            client.tls_set_context(tls)
        client.will_set(self._topics.availability, _OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, _RECONNECT_MOST_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    # --- On the output's thread ---

    def write(self, batches: Sequence[Batch]) -> None:
        """Publish the newest of what is due in batches.

        Raises:
            LinkError: the broker is away, or does not take it.
        """
        self._require_connection()
        now_ns = time.monotonic_ns()
        readings: dict[tuple[str, str, str], Reading] = {}
        pictures: dict[tuple[str, str], Picture] = {}
        for batch in batches:
            for reading in batch.readings:
                readings[reading.device, reading.stream, reading.name] = reading
            for picture in batch.pictures:
                if picture.picture.codec in ("jpeg", "mjpeg"):
                    pictures[picture.device, picture.stream] = picture
        last: paho.MQTTMessageInfo | None = None
        for reading in readings.values():
            last = self._publish_reading(reading, now_ns) or last
        for picture in pictures.values():
            last = self._publish_picture(picture, now_ns) or last
        if last is None:
            return
        try:
            self._wait_for(last)
        except LinkError:
            self._sent_ns.clear()  # when they come again, they are due
            raise

    def close(self) -> None:
        """Say that the gateway is gone, and disconnect."""
        if not self._started:
            return
        if self._client.is_connected():
            info = self._client.publish(self._topics.availability, _OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
        # paho closes the last of its sockets when nobody holds it: it must not hold itself, by us.
        self._client.on_connect = self._client.on_connect_fail = None
        self._client.on_disconnect = self._client.on_message = None

    def _require_connection(self) -> None:
        self._start()
        if not self._connected.wait(_CONNECT_S):
            raise self._no_connection()

    def _no_connection(self) -> LinkError:
        why = self._refusal or "is it running, and may this machine reach it?"
        return LinkError(f"no connection to the MQTT broker {self._where}: {why}")

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                self._client.connect_async(self._host, self._port, _KEEP_ALIVE_S)
                self._client.loop_start()

    def _publish_reading(self, reading: Reading, now_ns: int) -> paho.MQTTMessageInfo | None:
        if reading.value is None:
            return None
        kind = {bool: "truth", str: "text"}.get(type(reading.value), "number")
        entity = Entity(stream=reading.stream, name=reading.name, kind=kind, unit=reading.unit)
        topic = self._topics.state(reading.device, entity)
        if not self._is_due(topic, now_ns):
            return None
        self._introduce(reading.device, entity)
        content = {"value": reading.value, "unit": reading.unit, "time": iso(reading.time_ns)}
        return self._client.publish(topic, json.dumps(content), properties=_JSON)

    def _publish_picture(self, picture: Picture, now_ns: int) -> paho.MQTTMessageInfo | None:
        entity = Entity(stream=picture.stream, name="", kind="picture")
        topic = self._topics.state(picture.device, entity)
        if not self._is_due(topic, now_ns):
            return None
        self._introduce(picture.device, entity)
        return self._client.publish(topic, bytes(picture.picture.data), properties=_JPEG)

    def _is_due(self, topic: str, now_ns: int) -> bool:
        if now_ns - self._sent_ns.get(topic, -1 << 62) < self._every_ns:
            return False
        if len(self._sent_ns) > 2 * _ENTITIES_MOST:
            self._sent_ns.clear()
        self._sent_ns[topic] = now_ns
        return True

    def _introduce(self, device: str, entity: Entity) -> None:
        """Announce a device again where an entity of it is new."""
        with self._lock:
            known = self._entities.setdefault(device, {})
            if entity in known or self._entity_count >= _ENTITIES_MOST:
                return
            # One that changed its unit or kind takes the place of the one before.
            for other in [e for e in known if (e.stream, e.name) == (entity.stream, entity.name)]:
                del known[other]
                self._entity_count -= 1
            known[entity] = None
            self._entity_count += 1
        self._set_availability(device, entity.stream, is_live=True)
        self._announce(device)

    def _wait_for(self, info: paho.MQTTMessageInfo) -> None:
        deadline = time.monotonic() + _WRITTEN_S
        while True:
            # Before the message: paho keeps one of a lost connection, to give it up at the next.
            is_connected = self._connected.is_set()
            try:
                info.wait_for_publish(_LOOK_S)
                if info.is_published():
                    return
            except RuntimeError:  # paho had no connection, or lost it
                is_connected = False
            if not is_connected:
                raise self._no_connection()
            if time.monotonic() > deadline:
                raise LinkError(
                    f"the MQTT broker {self._where} did not take a message in {_WRITTEN_S:g} s"
                )

    # --- On the event loop ---

    def note(self, snapshot: Json) -> None:
        """Publish the health of every device; skipped where the last was not even taken."""
        self._start()
        devices: list[Json] = snapshot["devices"]  # type: ignore[assignment]
        streams: list[Json] = snapshot["streams"]  # type: ignore[assignment]
        with self._lock:
            self._devices = [device for device in devices if device["state"] != "revoked"]
        if not self._connected.is_set() or (self._health is not None and _waits(self._health)):
            return
        self._publish_health()
        for stream in streams:
            self._set_availability(
                str(stream["device"]), str(stream["id"]), is_live=not stream["is_stale"]
            )
        self._forget({str(device["name"]) for device in self._devices})

    def _publish_health(self) -> None:
        for device in self._devices:
            topic = self._topics.health(str(device["name"]))
            text = json.dumps(health(device))
            self._health = self._client.publish(topic, text, retain=True, properties=_JSON)

    def _set_availability(self, device: str, stream: str, *, is_live: bool) -> None:
        with self._lock:
            if device not in self._entities:
                return
            topic = self._topics.stream_availability(device, stream)
            text = _ONLINE if is_live else _OFFLINE
            if self._availability.get(topic) == text:
                return
            self._availability[topic] = text
        self._client.publish(topic, text, qos=1, retain=True)

    def _forget(self, present: set[str]) -> None:
        """Take back the announcements of devices that were revoked or renamed."""
        with self._lock:
            gone = [device for device in self._entities if device not in present]
            for device in gone:
                self._entity_count -= len(self._entities.pop(device))
        for device in gone:
            self._announced.discard(device)
            if self._prefix:
                self._client.publish(self._config_topic(device), b"", qos=1, retain=True)

    # --- On paho's thread ---

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = f"it says: {reason}; see to user and password of this output"
            return
        self._refusal = ""
        client.publish(self._topics.availability, _ONLINE, qos=1, retain=True)
        if self._prefix:
            client.subscribe(f"{self._prefix}/status", qos=1)
        # The broker may have forgotten everything meanwhile.
        self._announce_all()
        self._connected.set()

    def _on_connect_fail(self, _client: paho.Client, _data: object) -> None:
        self._refusal = ""  # nobody is there to refuse any more

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connected.clear()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        """Announce everything again when Home Assistant says that it was born."""
        if message.payload == _ONLINE.encode():
            self._announce_all()

    def _announce_all(self) -> None:
        with self._lock:
            devices = list(self._entities)
            availability = dict(self._availability)
        for device in devices:
            self._announce(device)
        for topic, text in availability.items():
            self._client.publish(topic, text, qos=1, retain=True)
        self._publish_health()

    def _announce(self, device: str) -> None:
        if not self._prefix:
            return
        with self._lock:
            entities = list(self._entities.get(device, ()))
        content = discovery(device, entities, self._topics)
        self._client.publish(self._config_topic(device), json.dumps(content), qos=1, retain=True)
        self._announced.add(device)

    def _config_topic(self, device: str) -> str:
        return f"{self._prefix}/device/{object_id(self._topics.root, device)}/config"


def _waits(info: paho.MQTTMessageInfo) -> bool:
    """Tell whether a message is still to be written; one that was lost is not."""
    try:
        return not info.is_published()
    except RuntimeError:
        return False


def _content_type(text: str) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = text
    return properties


_JSON, _JPEG = _content_type("application/json"), _content_type("image/jpeg")

"""What Home Assistant is told of a device, so that its entities appear by themselves.

Source: device-based discovery of Home Assistant's MQTT integration: one retained message for a
device at PREFIX/device/OBJECT_ID/config, with all its entities under `components`.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

from tickseal_gateway.health.status import Json

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]+")
#: SenML unit: Home Assistant's device class and unit.
_CLASSES: dict[str, tuple[str | None, str]] = {
    "Cel": ("temperature", "°C"),
    "K": ("temperature", "K"),
    "%RH": ("humidity", "%"),
    "Pa": ("pressure", "Pa"),
    "lx": ("illuminance", "lx"),
    "V": ("voltage", "V"),
    "A": ("current", "A"),
    "W": ("power", "W"),
    "Hz": ("frequency", "Hz"),
    "B": ("data_size", "B"),
    "B/s": ("data_rate", "B/s"),
    "bit/s": ("data_rate", "bit/s"),
    "s": ("duration", "s"),
    "m": ("distance", "m"),
    "m/s": ("speed", "m/s"),
    "kg": ("weight", "kg"),
    "g": ("weight", "g"),
    "m3": ("volume_storage", "m³"),
    "l": ("volume_storage", "L"),
    "%EL": ("battery", "%"),
    "/": (None, "ratio"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One series of readings, or the pictures of one stream.

    Args:
        stream: its id.
        name: of the reading; empty for pictures.
        kind: "number", "truth", "text" or "picture".
        unit: SenML unit, or None.
    """

    stream: str
    name: str
    kind: str
    unit: str | None = None


class Topics:
    """Where everything is published.

    Args:
        root: without a slash at its ends.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.availability = f"{root}/availability"

    def health(self, device: str) -> str:
        """Return where a device's health goes."""
        return f"{self.root}/{_level(device)}/health"

    def stream_availability(self, device: str, stream: str) -> str:
        """Return where it is told whether a stream is live."""
        return f"{self.root}/{_level(device)}/{_levels(stream)}/availability"

    def state(self, device: str, entity: Entity) -> str:
        """Return where the values of an entity go."""
        last = "picture" if entity.kind == "picture" else _level(entity.name)
        return f"{self.root}/{_level(device)}/{_levels(entity.stream)}/{last}"


def object_id(root: str, device: str) -> str:
    """Return a device's id, which differs for names that only look alike without what is unsafe."""
    plain = _UNSAFE.sub("_", f"{root}_{device}")
    return f"{plain[:48]}_{hashlib.sha256(f'{root} {device}'.encode()).hexdigest()[:8]}"


def discovery(device: str, entities: Iterable[Entity], topics: Topics) -> Json:
    """Return a device's announcement."""
    own_id = object_id(topics.root, device)
    components: dict[str, Json] = {}
    for entity in entities:
        key = _key(entity)
        components[key] = {
            **_component(device, entity, topics),
            "unique_id": f"{own_id}_{key}",
            "availability": [
                {"topic": topics.availability},
                {"topic": topics.stream_availability(device, entity.stream)},
            ],
            "availability_mode": "all",
        }
    for key, component in _health_components(device, topics).items():
        components[key] = {
            **component,
            "unique_id": f"{own_id}_{key}",
            "entity_category": "diagnostic",
            "availability": [{"topic": topics.availability}],
        }
    return {
        "device": {
            "identifiers": [own_id],
            "name": device,
            "manufacturer": "tickseal",
            "model": "Data Source",
        },
        "origin": {"name": "tickseal", "sw_version": version("tickseal")},
        "components": components,
        "qos": 0,
    }


def health(device: Json) -> Json:
    """Return what is published of a device's health, from its part of a snapshot."""
    session = device["session"]
    clock = session["clock"] if isinstance(session, dict) else None
    return {
        "connected": device["is_connected"],
        "seen_s": device["seen_s"],
        "clock_synchronised": clock["is_synchronised"] if clock else None,
        "clock_discipline": clock["discipline"] if clock else None,
        "clock_offset_ms": round(clock["offset_ns"] / 1e6, 3) if clock else None,
        "clock_uncertainty_ms": round(clock["uncertainty_ns"] / 1e6, 3) if clock else None,
        "clock_agrees": session["clock_agrees"] if isinstance(session, dict) else None,
    }


def _component(device: str, entity: Entity, topics: Topics) -> Json:
    topic = topics.state(device, entity)
    # Home Assistant puts the device's name before it.
    stream = entity.stream.removeprefix(f"{device}/")
    if entity.kind == "picture":
        return {"platform": "camera", "name": stream, "topic": topic}
    component: Json = {
        "name": f"{stream} {entity.name}",
        "state_topic": topic,
        "json_attributes_topic": topic,
    }
    if entity.kind == "truth":
        template = _truth("value")
        return {**component, "platform": "binary_sensor", "value_template": template}
    # A state has 255 characters at most.
    component |= {"platform": "sensor", "value_template": "{{ (value_json.value | string)[:255] }}"}
    if entity.kind == "number":
        component["value_template"] = "{{ value_json.value }}"
        device_class, unit = _CLASSES.get(entity.unit or "", (None, entity.unit))
        component["state_class"] = "measurement"
        if device_class:
            component["device_class"] = device_class
        if unit and unit != "ratio":
            component["unit_of_measurement"] = unit
    return component


def _health_components(device: str, topics: Topics) -> dict[str, Json]:
    topic = topics.health(device)

    def sensor(name: str, key: str, **more: object) -> Json:
        template = f"{{{{ value_json.{key} }}}}"
        return {
            "platform": "sensor",
            "name": name,
            "state_topic": topic,
            "value_template": template,
            **more,
        }

    def truth(name: str, key: str, device_class: str, on: str = "true", off: str = "false") -> Json:
        return {
            "platform": "binary_sensor",
            "name": name,
            "state_topic": topic,
            "value_template": _truth(key, on, off),
            "device_class": device_class,
        }

    span = {
        "device_class": "duration",
        "unit_of_measurement": "ms",
        "state_class": "measurement",
        "suggested_display_precision": 3,
    }
    return {
        "connected": truth("Connected", "connected", "connectivity"),
        "clock_offset": sensor("Clock offset", "clock_offset_ms", **span),
        "clock_uncertainty": sensor("Clock uncertainty", "clock_uncertainty_ms", **span),
        "clock_discipline": sensor("Clock steered by", "clock_discipline"),
        # Home Assistant's class "problem": ON is the problem.
        "clock_unsynchronised": truth(
            "Clock unsynchronised", "clock_synchronised", "problem", "false", "true"
        ),
        "clock_disagrees": truth("Clock disagrees", "clock_agrees", "problem", "false", "true"),
    }


def _truth(key: str, on: str = "true", off: str = "false") -> str:
    value = f"value_json.{key}"
    # 'None' is what Home Assistant takes for unknown.
    return f"{{{{ 'ON' if {value} is {on} else 'OFF' if {value} is {off} else 'None' }}}}"


def _key(entity: Entity) -> str:
    text = f"{entity.stream} {entity.name}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', text)[:40]}_{digest}"


def _levels(text: str) -> str:
    """Return text as topic levels: nothing that MQTT understands otherwise, and no empty level."""
    return "/".join(_level(part) for part in text.split("/") if part) or "_"


def _level(text: str) -> str:
    """Return text as one topic level."""
    return re.sub(r"[/+#\x00-\x1f]", "_", text).lstrip("$") or "_"

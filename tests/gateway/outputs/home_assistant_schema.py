"""What Home Assistant demands of a device's announcement, for the platforms that are used here.

Source: Home Assistant's MQTT integration: its documentation of device discovery and of the
platforms sensor, binary_sensor and camera, and the units that its device classes allow.
"""

import re
from typing import Any

_AVAILABILITY = {"availability", "availability_mode", "availability_topic"}
_ENTITY = _AVAILABILITY | {
    "platform", "name", "unique_id", "entity_category", "icon", "qos", "json_attributes_topic",
    "json_attributes_template", "enabled_by_default", "default_entity_id", "encoding",
}  # fmt: skip
_PLATFORMS = {
    "sensor": _ENTITY | {
        "state_topic", "value_template", "unit_of_measurement", "device_class", "state_class",
        "expire_after", "force_update", "suggested_display_precision",
    },
    "binary_sensor": _ENTITY | {
        "state_topic", "value_template", "device_class", "payload_on", "payload_off",
        "expire_after", "off_delay", "force_update",
    },
    "camera": _ENTITY | {"topic", "image_encoding"},
}  # fmt: skip
_UNITS = {
    "temperature": {"°C", "°F", "K"},
    "humidity": {"%"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "mbar", "psi"},
    "illuminance": {"lx"},
    "voltage": {"µV", "mV", "V", "kV"},
    "current": {"mA", "A"},
    "power": {"mW", "W", "kW", "MW"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "data_size": {"bit", "kbit", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"},
    "data_rate": {"bit/s", "kbit/s", "Mbit/s", "B/s", "kB/s", "MB/s"},
    "duration": {"d", "h", "min", "s", "ms", "µs"},
    "distance": {"km", "m", "cm", "mm"},
    "speed": {"m/s", "km/h", "mm/s"},
    "weight": {"kg", "g", "mg", "µg"},
    "volume": {"L", "mL", "m³"},
    "volume_storage": {"L", "mL", "m³"},
    "battery": {"%"},
}
#: Device classes that are never a measurement: Home Assistant warns, and keeps no statistics.
_NOT_MEASURED = {"volume", "energy", "gas", "water", "monetary", "date", "timestamp", "enum"}
_BINARY_CLASSES = {"connectivity", "problem", "door", "motion", "power", "running"}
_DEVICE = {
    "identifiers", "connections", "name", "manufacturer", "model", "model_id", "hw_version",
    "sw_version", "serial_number", "suggested_area", "configuration_url", "via_device",
}  # fmt: skip


def check_device_discovery(told: Any) -> None:
    """Fail where Home Assistant would refuse an announcement, or a part of it."""
    assert set(told) <= {"device", "origin", "components", "qos", "encoding", *_AVAILABILITY}
    assert set(told["device"]) <= _DEVICE
    assert told["device"]["identifiers"], "a device needs an identifier"
    assert all(isinstance(each, str) and each for each in told["device"]["identifiers"])
    assert told["origin"]["name"], "the origin is required"
    assert told["qos"] in (0, 1, 2)
    components = told["components"]
    assert components
    unique = [component["unique_id"] for component in components.values()]
    assert len(set(unique)) == len(unique)
    for key, component in components.items():
        assert isinstance(key, str)
        _check(component)


def _check(component: Any) -> None:
    platform = component["platform"]
    assert set(component) <= _PLATFORMS[platform], set(component) - _PLATFORMS[platform]
    assert isinstance(component["name"], str)
    assert component.get("entity_category") in (None, "config", "diagnostic")
    assert component.get("availability_mode", "latest") in ("all", "any", "latest")
    for each in component.get("availability", ()):
        _check_topic(each["topic"])
    _check_topic(component["topic" if platform == "camera" else "state_topic"])
    if platform == "sensor":
        assert component.get("state_class") in (None, "measurement", "total", "total_increasing")
        if "device_class" in component:
            assert component["unit_of_measurement"] in _UNITS[component["device_class"]]
            assert component["device_class"] not in _NOT_MEASURED
        if "state_class" not in component:
            assert "unit_of_measurement" not in component
    if platform == "binary_sensor" and "device_class" in component:
        assert component["device_class"] in _BINARY_CLASSES


def _check_topic(topic: str) -> None:
    assert topic
    assert len(topic.encode()) <= 65535
    assert not re.search(r"[+#\x00-\x1f]", topic), f"{topic!r} holds a wildcard"

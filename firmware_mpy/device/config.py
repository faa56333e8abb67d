"""config.json on the board: what it is called, what it measures, and on which cable it speaks."""

import json

from tickseal.core.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "config.json"
_MILLISECOND = 1_000_000

#: Each key and its default, whose type is the value's too.
_KEYS: "dict[str, Any]" = {
    "name": "board",
    "software": "tickseal",
    #: "kind" is "usb" (the REPL's cable) or "uart" (with "id", "baudrate", "tx", "rx").
    "cable": {"kind": "usb"},
    "streams": [],
    #: TAI - UTC, s: what frames carry is UTC.
    "leap_seconds": 37,
    #: Memory for what is sealed while the gateway is away.
    "spool_bytes": 8192,
    #: Names or numbers of pins; "" for none.
    "led": "",
    "pps": "",
    "watchdog": True,
}
_STREAM: "dict[str, Any]" = {
    "id": "",
    "type": "telemetry",
    "period_ms": 1000,
    "interval_ms": 100,
    "segment_bytes": 64,
    "depth": 20,
    "sensors": [],
}


def load(path: str = FILE) -> "dict[str, Any]":
    """Return the configuration, with defaults for what it leaves out.

    Raises:
        ConfigError: it cannot be read, or a key or the type of a value is wrong.
    """
    try:
        with open(path) as file:
            given = json.load(file)
    except OSError:
        raise ConfigError("there is no %s: run `tickseal mcu flash`" % path) from None
    except ValueError:
        raise ConfigError(path + " is not JSON") from None
    config = _filled(given, _KEYS, path)
    if not config["streams"]:
        raise ConfigError(path + " names no streams")
    streams = []
    for one in config["streams"]:
        stream = _filled(one, _STREAM, path + ": streams")
        if not stream["id"] or not stream["sensors"]:
            raise ConfigError(path + ": a stream needs an id and sensors")
        streams.append(stream)
    config["streams"] = streams
    return config


def wish(stream: "dict[str, Any]") -> "dict[str, int]":
    """Return what a configured stream wishes of its parameters (docs/protocol.md section 7.2)."""
    return {
        "depth": stream["depth"],
        "frame_bytes": stream["segment_bytes"] * 16,
        "interval": stream["interval_ms"] * _MILLISECOND,
        "segment_bytes": stream["segment_bytes"],
    }


def _filled(given: "Any", keys: "dict[str, Any]", where: str) -> "dict[str, Any]":
    if not isinstance(given, dict):
        raise ConfigError(where + " must be a map")
    for key, value in given.items():
        if key not in keys:
            raise ConfigError("%s: %s is not known; known are %s" % (where, key, sorted(keys)))
        wanted = type(keys[key])
        if type(value) is not wanted and not (key in ("led", "pps") and isinstance(value, int)):
            raise ConfigError("%s: %s must be a %s" % (where, key, wanted.__name__))
    filled = dict(keys)
    filled.update(given)
    return filled


#: Needed at the start only.
ONCE = (load, wish, _filled, _KEYS, _STREAM)

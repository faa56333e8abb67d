"""How values are written in the JSON files, and the fixed bytes that stand for secrets."""

import hashlib
import json
from typing import Any


def fixed(name: str, size: int = 32) -> bytes:
    """Bytes that look random and never change."""
    return hashlib.shake_256(f"tickseal vector {name}".encode()).digest(size)


def hexed(value: Any) -> Any:
    """Every bytes value as a hex string."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hexed(item) for item in value]
    return value


def noted(value: Any) -> Any:
    """A CBOR value as JSON: bytes are {"$bytes": hex}, floats {"$float": text}, the rest itself."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, dict):
        return {key: noted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [noted(item) for item in value]
    return value


def document(source: str, **parts: Any) -> str:
    """The text of one file."""
    whole = {"source": f"docs/protocol.md {source}", **hexed(parts)}
    return json.dumps(whole, indent=1, ensure_ascii=True) + "\n"

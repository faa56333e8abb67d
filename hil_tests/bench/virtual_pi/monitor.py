"""Asks QEMU itself: `python -m hil_tests.bench.virtual_pi.monitor SOCKET set_link name=x up=false`.

Source: QEMU's "QMP Reference Manual".
"""

import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import Any

from hil_tests.bench.shell import DeviceError

_ANSWER_S = 10


def ask(path: Path, execute: str, **arguments: Any) -> Any:
    """Return QEMU's answer to one request.

    Raises:
        DeviceError: it refused.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as channel:
        channel.settimeout(_ANSWER_S)
        channel.connect(str(path))
        lines = channel.makefile("r")
        lines.readline()  # QEMU's greeting
        answer: dict[str, Any] = {}
        for request in (
            {"execute": "qmp_capabilities"},
            {"execute": execute, "arguments": arguments},
        ):
            channel.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(lines.readline())
            while "event" in answer:
                answer = json.loads(lines.readline())
            if "error" in answer:
                raise DeviceError(f"QEMU refused {request}: {answer['error']['desc']}")
        return answer["return"]


def _value(text: str) -> object:
    return {"true": True, "false": False}.get(text, text)


if __name__ == "__main__":
    _, where, what, *pairs = sys.argv
    ask(Path(where), what, **{key: _value(value) for key, value in (p.split("=") for p in pairs)})

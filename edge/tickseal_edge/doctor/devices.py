"""The devices: each configured sensor and camera is opened and read once, as the service does."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tickseal.core.errors import TicksealError
from tickseal.payloads import pictures, samples
from tickseal_edge.boards import Board
from tickseal_edge.doctor.findings import Finding, bad, from_error, note, well
from tickseal_edge.production.producers import open_producer
from tickseal_edge.production.stream_config import (
    AnyStream,
    CameraStream,
    I2CStream,
    OneWireStream,
    SPIStream,
)

#: A device that takes longer hangs.
_PATIENCE_S = 15.0
_SHOWN = 4


def check_running_devices(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Look at what a running service says of its streams: most devices open only once."""
    for row in rows:
        if row["device"] == "answers":
            yield well(row["id"], f"{row['readings']} readings, {row['failures']} failures")
        else:
            found, _, mend = str(row["device"]).partition("; ")
            yield bad(row["id"], found, mend)


def check_devices(streams: Sequence[AnyStream], board: Board) -> Iterator[Finding]:
    """Open and read each once; for where no service runs."""
    for stream in streams:
        outcome: queue.SimpleQueue[Finding] = queue.SimpleQueue()
        # A hanging driver must not keep the doctor.
        threading.Thread(target=_read, args=(stream, outcome), daemon=True).start()
        try:
            finding = outcome.get(timeout=_PATIENCE_S)
        except queue.Empty:
            finding = bad(stream.id, f"does not answer within {_PATIENCE_S:g} s", "see its wires")
        yield finding
        if finding.level == "bad" and (line := _line(stream, board)):
            yield note(stream.id, f"on a {board.name}", f"{board.flash.config} needs: {line}")
        if isinstance(stream, CameraStream) and stream.codec == "h264":
            yield from _check_h264(stream, board)


def _read(stream: AnyStream, outcome: "queue.SimpleQueue[Finding]") -> None:
    try:
        producer = open_producer(stream)
        try:
            payload = producer.produce(time.time_ns())
        finally:
            producer.close()
    except TicksealError as error:
        outcome.put(from_error(stream.id, error))
    except Exception as error:  # a driver's own fault
        outcome.put(bad(stream.id, f"{type(error).__name__}: {error}", "report it to its maker"))
    else:
        outcome.put(_describe(stream, payload.data))


def _describe(stream: AnyStream, data: bytes) -> Finding:
    if stream.is_picture:
        picture = pictures.decode_picture(data)
        size = f"{picture.width}x{picture.height}"
        return well(stream.id, f"a picture of {size}, {picture.codec}, {len(data) >> 10} KiB")
    rows = samples.decode_samples(data)
    values = [f"{row.name} {row.value} {row.unit or ''}".strip() for row in rows[:_SHOWN]]
    text = ", ".join(values) + (", ..." if len(rows) > _SHOWN else "")
    if all(row.value is None for row in rows):
        return bad(stream.id, "answers, but measures nothing", "see its wires and power")
    return well(stream.id, text)


def _line(stream: AnyStream, board: Board) -> str:
    """Return the line of config.txt that switches a device's bus on."""
    match stream:
        case I2CStream() if board.i2c and board.i2c.bus == stream.bus:
            return f"{board.i2c.enable}   ({board.i2c.pins})"
        case SPIStream() if board.spi and board.spi.bus == stream.bus:
            return f"{board.spi.enable}   ({board.spi.pins})"
        case OneWireStream() if board.onewire:
            return f"{board.onewire.enable}   (GPIO {board.onewire.gpio})"
        case CameraStream():
            return board.camera.enable
        case _:
            return ""


def _check_h264(stream: CameraStream, board: Board) -> Iterator[Finding]:
    if board.camera.h264 == "software":
        yield note(
            stream.id,
            f"a {board.name} encodes H.264 in software, at the cost of a core",
            'mjpeg costs less: codec = "mjpeg"',
        )

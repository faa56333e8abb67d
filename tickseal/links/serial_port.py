"""Opening serial ports and finding them, with errors that say what to do."""

import contextlib
import errno
import grp
import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from tickseal.core.errors import LinkError


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """One serial port.

    Args:
        port: its path; one of /dev/serial/by-id stays the same from one plugging in to the next.
        baudrate: bits a second; USB takes no notice of it.
        dtr, rts: the control lines from opening on. Both the same resets no board; a board's own
            USB port sends nothing while dtr is off.
    """

    port: str
    baudrate: int = 115200
    dtr: bool = True
    rts: bool = True


@contextlib.contextmanager
def open_port(settings: SerialSettings) -> Generator[int]:
    """Open a port for this process alone; give its file descriptor, which does not block.

    Raises:
        LinkError: it is not there, busy, or not allowed; the message says what to do.
    """
    try:
        import serial  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise LinkError(
            "serial ports need pyserial; install it with: pip install 'tickseal[serial]'"
        ) from None
    port = serial.Serial()
    port.port = settings.port
    port.baudrate = settings.baudrate
    port.timeout = 0
    port.exclusive = True
    # Before it is opened: a change afterwards would reset many boards.
    port.dtr, port.rts = settings.dtr, settings.rts
    try:
        port.open()
    except (OSError, ValueError) as error:
        raise LinkError(why_not(settings.port, error)) from None
    try:
        os.set_blocking(port.fileno(), False)
        yield port.fileno()
    finally:
        with contextlib.suppress(OSError):
            port.close()


def why_not(port: str, error: Exception) -> str:
    """Return in plain words why a port could not be opened, and what to do."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOENT or not os.path.exists(port):  # noqa: PTH110 - a path of the user
        return f"{port} is not there; plug the board in, and see `tickseal mcu list`"
    if code == errno.EACCES:
        try:
            group = grp.getgrgid(os.stat(port).st_gid).gr_name  # noqa: PTH116
        except (OSError, KeyError):
            group = "dialout"
        return (
            f"you may not open {port}: it belongs to the group {group}; "
            f"run `sudo usermod -aG {group} $USER`, then log out and in"
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "lock" in text:
        return (
            f"{port} is in use by another program; close it (a serial monitor, mpremote, a "
            "gateway or a relay that serves this port)"
        )
    return f"cannot open {port}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPort:
    """A serial port that is there.

    Attributes:
        port: its path.
        usb: (vendor, product) of the USB device behind it; None where there is none.
        description: what the device says it is.
    """

    port: str
    usb: tuple[int, int] | None
    description: str


def find_ports(known: Iterable[tuple[int, int]] | None = None) -> list[FoundPort]:
    """Return the USB serial ports that are there, sorted.

    Args:
        known: (vendor, product) of those that are wanted; None for all.
    Raises:
        LinkError: pyserial is not installed.
    """
    try:
        from serial.tools.list_ports import comports  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise LinkError(
            "serial ports need pyserial; install it with: pip install 'tickseal[serial]'"
        ) from None
    wanted = None if known is None else set(known)
    found = []
    for port in comports():
        if port.vid is None or port.pid is None:
            continue
        usb = (port.vid, port.pid)
        if wanted is None or usb in wanted:
            found.append(FoundPort(port=port.device, usb=usb, description=port.description or ""))
    return sorted(found, key=lambda one: one.port)

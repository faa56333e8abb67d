"""What systemd is told: ready, alive, stopping (sd_notify(3)). Elsewhere nothing happens."""

import contextlib
import os
import socket


class ServiceManager:
    """The service manager that started this process, if any.

    Attributes:
        watchdog_s: how often it wants to hear that the process is alive; None where it does not.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        pid = os.environ.pop("WATCHDOG_PID", "")
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        is_meant = self._address and microseconds.isdigit() and pid in ("", str(os.getpid()))
        # Twice as often as needed, as systemd advises.
        self.watchdog_s = int(microseconds) / 2e6 if is_meant else None

    def ready(self, status: str) -> None:
        """Say that the service does its work; status is one line for people."""
        self._tell(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line how it stands."""
        self._tell(f"STATUS={status}")

    def alive(self) -> None:
        """Keep the watchdog quiet."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is an abstract one.
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.sendto(message.encode(), address)

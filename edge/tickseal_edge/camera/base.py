"""What every camera offers."""

from typing import Protocol

from tickseal.payloads.pictures import Picture


class Camera(Protocol):
    """Anything that gives encoded pictures."""

    #: Whether capture() waits for the camera's own pace.
    is_paced: bool

    def capture(self, time_ns: int) -> Picture:
        """Return the next picture; may block until there is one. Called in a thread of its own.

        Args:
            time_ns: now, ns since 1970 UTC; a camera that stamps pictures knows better.
        Raises:
            DeviceError: the camera is gone; it is opened again later.
        """

    def close(self) -> None:
        """Give the device back."""

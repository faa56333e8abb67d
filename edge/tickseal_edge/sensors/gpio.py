"""GPIO counter: pulses of a flow meter, an anemometer, a Geiger tube, counted by the kernel."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tickseal.payloads.samples import Sample
from tickseal_edge.sensors.base import DeviceError

#: Pulses that the kernel keeps between two readings, beyond which it says how many were lost.
_BUFFER = 1024


class GPIOCounter:
    """Counts the edges of one line.

    Args:
        chip: number of /dev/gpiochipN.
        line: number of the line on it; on a Raspberry Pi that of the GPIO.
        edge: "rising", "falling" or "both".
        pull: "up", "down" or "none".
        monotonic_ns: for the rate.
    Raises:
        DeviceError: the library or the line is not there.
    """

    def __init__(
        self,
        *,
        chip: int,
        line: int,
        edge: str,
        pull: str,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._request = _request(f"/dev/gpiochip{chip}", line, edge, pull)
        self._count = 0
        self._last: tuple[int, int] | None = None

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return the count since the start, and the edges a second since the last reading."""
        now_ns = self._monotonic_ns()
        try:
            while self._request.wait_edge_events(0):
                events = self._request.read_edge_events()
                # The kernel numbers them, so that those it had no room for are counted too.
                self._count = max(self._count, events[-1].line_seqno)
        except OSError as error:
            raise DeviceError(f"the GPIO line is gone: {error}") from None
        last, self._last = self._last, (now_ns, self._count)
        rate = None
        if last is not None and now_ns > last[0]:
            rate = (self._count - last[1]) * 1e9 / (now_ns - last[0])
        return (
            Sample(name="count", value=self._count, unit="count", time_ns=time_ns),
            Sample(name="rate", value=rate, unit="1/s", time_ns=time_ns),
        )

    def close(self) -> None:
        """Give the line back."""
        self._request.release()


def request_line(
    path: str, line: int, settings: Callable[[Any], Any], *, event_buffer_size: int = 0
) -> Any:
    """Return gpiod's request of one line.

    Args:
        path: of the chip.
        line: number of the line on it.
        settings: makes gpiod's LineSettings, given the library.
        event_buffer_size: how many edges the kernel keeps; 0 for its default.
    Raises:
        DeviceError: the library or the line is not there.
    """
    try:
        import gpiod  # noqa: PLC0415 - only where it is used
    except ImportError:
        raise DeviceError("GPIO lines need gpiod: pip install 'tickseal[sensors]'") from None
    try:
        return gpiod.request_lines(
            path,
            config={line: settings(gpiod)},
            consumer="tickseal",
            event_buffer_size=event_buffer_size,
        )
    except PermissionError:
        raise DeviceError(
            f"{path} is not for this user: sudo usermod -aG gpio $USER, and log in again"
        ) from None
    except (OSError, ValueError) as error:
        is_there = Path(path).exists()
        why = f"line {line} of {path} cannot be had ({error}); see `gpioinfo`"
        raise DeviceError(why if is_there else f"there is no {path}; see `gpiodetect`") from None


def _request(path: str, line: int, edge: str, pull: str) -> Any:
    def settings(gpiod: Any) -> Any:
        kinds = gpiod.line
        bias = (
            kinds.Bias.DISABLED if pull == "none" else getattr(kinds.Bias, f"PULL_{pull}".upper())
        )
        return gpiod.LineSettings(
            direction=kinds.Direction.INPUT,
            edge_detection=getattr(kinds.Edge, edge.upper()),
            bias=bias,
        )

    return request_line(path, line, settings, event_buffer_size=_BUFFER)

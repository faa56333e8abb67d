"""The host's end of the emulated Pico's USB cable: a pseudo-terminal, and the pace of its time.

The emulator brings a host of its own, which asks nothing of the chip's time: it answers the chip's
endpoint every 10 us, mostly with nothing, so that the chip is busy with USB's interrupts all the
time, which on a real bus it would not even notice. Here the endpoint waits until there are bytes.
"""

import mmap
import os
import select
import sys
import time
import tty
from pathlib import Path

from rp2040py.device import MicroPythonDevice

from hil_tests.bench.pico.chip_time import TIME_BYTES

#: How often host and chip look at each other, ns of the chip's time: a frame of USB.
FRAME_NS = 1_000_000
#: Beyond these nothing more is read from the terminal, and what the chip says is lost.
TO_CHIP_BYTES = 4096
FROM_CHIP_BYTES = 1 << 16
CONTROL_ENDPOINT = 0


class USBCable:
    """A terminal that is the chip's serial port; the chip's time never goes faster than the wall's.

    Args:
        clock: the file that the chip's time is written to, as one native u64 of ns.
    Attributes:
        terminal: its path.
    """

    def __init__(self, device: MicroPythonDevice, clock: Path) -> None:
        self._usb = device.mcu.usb_ctrl
        self._chip_clock = device.mcu.clock
        self._host, self._board_end = os.openpty()
        tty.setraw(self._board_end)
        os.set_blocking(self._host, False)
        self.terminal = os.ttyname(self._board_end)
        self._to_chip, self._from_chip = bytearray(), bytearray()
        # Endpoint and size of the packet that the chip waits for.
        self._wanted: tuple[int, int] | None = None
        self._control, self._forget = self._usb.on_endpoint_read, self._usb.on_reset
        self._usb.on_endpoint_read, self._usb.on_reset = self._on_read, self._on_reset
        device.cdc.on_serial_data = self._on_data
        with clock.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), TIME_BYTES)
        self._chip_ns, self._wall_ns = 0, time.monotonic_ns()
        self._frame = self._chip_clock.create_alarm(self._on_frame)
        self._frame.schedule(FRAME_NS)

    def _on_frame(self) -> None:
        self._frame.schedule(FRAME_NS)
        chip_ns = int(self._chip_clock.nanos)
        # A chip that waits for an interrupt is carried to it at once; its host is not.
        ahead_ns = chip_ns - self._chip_ns - (time.monotonic_ns() - self._wall_ns)
        self._exchange(max(0, ahead_ns) / 1e9)
        self._shared[:TIME_BYTES] = chip_ns.to_bytes(TIME_BYTES, sys.byteorder)
        self._chip_ns, self._wall_ns = chip_ns, time.monotonic_ns()

    def _exchange(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        if self._from_chip:
            try:
                del self._from_chip[: os.write(self._host, self._from_chip)]
            except BlockingIOError:
                pass
        if len(self._to_chip) < TO_CHIP_BYTES and select.select([self._host], [], [], wait_s)[0]:
            self._to_chip += os.read(self._host, 1024)
            self._hand_over()
        time.sleep(max(0, until_s - time.monotonic()))

    def _hand_over(self) -> None:
        if self._wanted and self._to_chip:
            endpoint, size = self._wanted
            self._wanted = None
            self._usb.endpoint_read_done(endpoint, bytes(self._to_chip[:size]))
            del self._to_chip[:size]

    # --- What the chip's USB controller calls ---

    def _on_read(self, endpoint: int, size: int) -> None:
        if endpoint == CONTROL_ENDPOINT:
            if self._control:
                self._control(endpoint, size)
        else:
            self._wanted = endpoint, size
            self._hand_over()

    def _on_data(self, data: bytes | bytearray) -> None:
        if len(self._from_chip) < FROM_CHIP_BYTES:
            self._from_chip += data

    def _on_reset(self) -> None:
        self._wanted = None
        self._to_chip.clear()
        if self._forget:
            self._forget()

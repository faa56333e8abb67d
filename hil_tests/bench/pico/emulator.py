"""Runs a Raspberry Pi Pico here: `python -m hil_tests.bench.pico.emulator IMAGE FILES CLOCK`.

Prints the terminal that its USB serial port is, and takes one command a line on standard input:
`reset`, or `entropy stuck` and `entropy good` for its ring oscillator. Ends with its input. Writes
the chip's time, ns, to the file CLOCK.

Three faults of the emulator are mended here and in usb_cable: its ring oscillator has no random
bit, so that os.urandom would give the same bytes for ever; its UARTs raise "transmitted" without
end; and its USB host never lets the chip rest.
"""

import argparse
import asyncio
import random
import sys
from pathlib import Path

from rp2040py.boards import BOARDS, BoardSpec, FlashLayout
from rp2040py.device import MicroPythonDevice
from rp2040py.peripherals import uart
from rp2040py.peripherals.peripheral import BasePeripheral
from rp2040py.rp2040 import RP2040

from hil_tests.bench.pico import BLOCK_BYTES, BLOCKS
from hil_tests.bench.pico.usb_cable import USBCable

# Where the RPI_PICO firmware keeps its files.
FILES = FlashLayout(fs_start=0xA0000, fs_blockcount=BLOCKS, fs_blocksize=BLOCK_BYTES)

# Where peripherals are, in pages of 4 KB (RP2040 datasheet section 2.2).
UARTS = (0x40034, 0x40038)
ROSC = 0x40060

# RP2040 datasheet section 2.17.8: ROSC: STATUS, RANDOMBIT.
ROSC_STATUS = 0x18
ROSC_STATUS_STABLE_ENABLED = 1 << 31 | 1 << 12
ROSC_RANDOMBIT = 0x1C


class RingOscillator(BasePeripheral):
    """Gives the bits that os.urandom of the firmware is made of."""

    def __init__(self, chip: RP2040) -> None:
        super().__init__(chip, "ROSC")
        self.stuck = False
        self._random = random.SystemRandom()

    def read_uint32(self, offset: int) -> int:
        """Return a register; only the two that the firmware reads mean something."""
        if offset == ROSC_RANDOMBIT:
            return 1 if self.stuck else self._random.getrandbits(1)
        return ROSC_STATUS_STABLE_ENABLED if offset == ROSC_STATUS else 0

    def write_uint32(self, offset: int, value: int) -> None:
        """Ignore settings of a clock that nothing here runs from."""


class MendedUart(uart.RPUART):
    """Raises "transmitted" when a byte has gone out, and no more once that is acknowledged."""

    def check_interrupts(self) -> None:
        """Tell the interrupt controller what is pending and not masked."""
        pending = self._interrupt_status & self._interrupt_mask
        self.rp2040.set_interrupt(self.irq, bool(pending))

    def write_uint32(self, offset: int, value: int) -> None:
        """Write a register."""
        super().write_uint32(offset, value)
        if offset == uart.UARTDR:
            self._interrupt_status |= uart.UARTTXINTR
            self.check_interrupts()


async def run(image: Path, files: Path, clock: Path) -> None:
    """Run the Pico until standard input ends."""
    board = BoardSpec(extras=BOARDS["pico"].extras, image=image, layout=FILES)
    device = MicroPythonDevice(board=board, filesystem=files)
    oscillator = RingOscillator(device.mcu)
    device.mcu.peripherals[ROSC] = oscillator
    for index, base in enumerate(UARTS):
        old = device.mcu.uart[index]
        mended = MendedUart(device.mcu, old.name, old.irq, old.dreq)
        device.mcu.uart[index] = device.mcu.peripherals[base] = mended
    cable = USBCable(device, clock)
    await device.astart()
    print(cable.terminal, flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while command := await commands.readline():
        if command == b"reset\n":
            await device.ahard_reset()
            print("reset", flush=True)
        elif command.startswith(b"entropy "):
            oscillator.stuck = command == b"entropy stuck\n"
    device.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="the firmware, as a UF2 file")
    parser.add_argument("files", type=Path, help="its file system, as a littlefs image")
    parser.add_argument("clock", type=Path, help="a file of 8 bytes for the chip's time")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.image, arguments.files, arguments.clock))

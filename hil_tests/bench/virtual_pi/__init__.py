"""The virtual Pi: a Debian guest with real kernel devices, for tests that need a board.

The board's architecture is the host's kind of PC, emulated by QEMU without any hardware help; its
kernel, its I2C bus, PTP and PPS clocks, cameras, USB serial cable and disk are the kernel's own.
"""

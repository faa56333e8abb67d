"""Mounts the board's flash: PSRAM of the emulated board, which a reset leaves as it is.

At power-on it is empty, and takes over the image that the emulator loads behind it at each reset.
"""

import uctypes
import vfs

_FLASH = 0x21000000
_FACTORY_IMAGE = 0x21800000
_BLOCKS = 2048
_BLOCK_BYTES = 512


class Flash:
    """A block device in the form that littlefs asks for: ioctl 4 and 5 are block count and size."""

    def __init__(self):
        self.memory = memoryview(uctypes.bytearray_at(_FLASH, _BLOCKS * _BLOCK_BYTES))

    def readblocks(self, block, buffer, offset=0):
        start = block * _BLOCK_BYTES + offset
        buffer[:] = self.memory[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        start = block * _BLOCK_BYTES + offset
        self.memory[start : start + len(buffer)] = buffer

    def ioctl(self, operation, _):
        return {4: _BLOCKS, 5: _BLOCK_BYTES}.get(operation, 0)


flash = Flash()
try:
    vfs.mount(vfs.VfsLfs2(flash), "/")
except OSError:
    flash.memory[:] = uctypes.bytearray_at(_FACTORY_IMAGE, _BLOCKS * _BLOCK_BYTES)
    vfs.mount(vfs.VfsLfs2(flash), "/")
del flash, Flash

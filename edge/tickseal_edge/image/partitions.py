"""Where the two file systems of a card lie: the master boot record (PC partition table)."""

import struct
from dataclasses import dataclass
from pathlib import Path

from tickseal_edge.image.programs import ImageError

SECTOR = 512
_TABLE, _ENTRY, _ENTRIES = 446, 16, 4
_FAT = {0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E}
_LINUX, _PROTECTIVE = 0x83, 0xEE
#: Of the FAT partition that is written here: FAT32 with logical block addresses.
_FAT32 = 0x0C


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition, in bytes from the start of the image."""

    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The partition that the firmware boots from (FAT), and the system's (ext4)."""

    boot: Partition
    root: Partition


def read_layout(image: Path) -> Layout:
    """Return the layout of an image of a Raspberry Pi's card.

    Raises:
        ImageError: it has no such layout.
    """
    with image.open("rb") as file:
        sector = file.read(SECTOR)
    size = image.stat().st_size
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        raise ImageError(
            f"{image} is no image of a whole card: it has no partition table; give the .img file "
            "of Raspberry Pi OS"
        )
    found: dict[str, Partition] = {}
    for number in range(_ENTRIES):
        entry = sector[_TABLE + number * _ENTRY :][:_ENTRY]
        kind = entry[4]
        start, length = (SECTOR * value for value in struct.unpack("<II", entry[8:]))
        name = "boot" if kind in _FAT else "root" if kind == _LINUX else ""
        if kind == _PROTECTIVE:
            raise ImageError(f"{image} has a GPT; images with a PC partition table are understood")
        if name and name not in found:
            found[name] = Partition(start=start, size=length)
            if start + length > size:
                raise ImageError(
                    f"{image} is cut off: its {name} partition ends at byte {start + length}, the "
                    f"file at {size}; download it again"
                )
    if found.keys() != {"boot", "root"}:
        raise ImageError(
            f"{image} lacks a FAT and a Linux partition; give an image of Raspberry Pi OS"
        )
    return Layout(**found)


def write_layout(image: Path, layout: Layout, *, disk_id: int) -> None:
    """Write the table into an image that is large enough.

    Args:
        disk_id: PARTUUIDs begin with it, in 8 hexadecimal digits.
    """
    entries = b"".join(
        struct.pack(
            "<B3sB3sII",
            0,
            b"\xfe\xff\xff",  # cylinders, heads and sectors are not used
            kind,
            b"\xfe\xff\xff",
            partition.start // SECTOR,
            partition.size // SECTOR,
        )
        for kind, partition in ((_FAT32, layout.boot), (_LINUX, layout.root))
    )
    with image.open("r+b") as file:
        file.seek(440)
        file.write(struct.pack("<IH", disk_id, 0))
        file.write(entries + bytes(_ENTRY * _ENTRIES - len(entries)) + b"\x55\xaa")

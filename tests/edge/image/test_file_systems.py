"""What is written into an image's file systems is read there by others' programs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.image.entries import Entry, directory
from tickseal_edge.image.ext4 import Ext4
from tickseal_edge.image.fat import Fat
from tickseal_edge.image.firmware import with_country, with_lines
from tickseal_edge.image.partitions import read_layout
from tickseal_edge.image.programs import ImageError

from .stand_in import MISSING, REASON, StandIn

needs_tools = pytest.mark.skipif(bool(MISSING), reason=REASON)
SFDISK = shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return StandIn().write(tmp_path / "card.img")


@needs_tools
@pytest.mark.skipif(SFDISK is None, reason="sfdisk is not installed (Debian: fdisk)")
def test_the_partition_table_is_one_for_others_too(image: Path) -> None:
    said = subprocess.run([str(SFDISK), "-J", image], capture_output=True, check=True).stdout
    table = json.loads(said)["partitiontable"]
    layout = read_layout(image)
    assert (table["label"], table["id"]) == ("dos", "0x4b1dc0de")
    assert [
        (one["type"], one["start"] * 512, one["size"] * 512) for one in table["partitions"]
    ] == [
        ("c", layout.boot.start, layout.boot.size),
        ("83", layout.root.start, layout.root.size),
    ]


@needs_tools
def test_entries_are_there_with_owner_and_mode(image: Path) -> None:
    root = Ext4(image, read_layout(image).root)
    big = os.urandom(300_000)
    entries = [
        directory("/srv/a b", mode=0o750, uid=7, gid=8),
        Entry(path="/srv/a b/name with spaces, ünd more", content=b"x"),
        Entry(path="/srv/system-systemd\\x2dcryptsetup.slice", content=b"a backslash"),
        Entry(path="/srv/big", content=big, mode=0o4755, uid=70_000, gid=99),
        Entry(path="/srv/empty", content=b"", mode=0o400),
        Entry(path="/srv/link", link="big"),
        Entry(path="/srv/long", link="/a/" + "long/" * 30 + "target"),
        *(Entry(path=f"/srv/many/{number:04}", content=b"%d" % number) for number in range(400)),
    ]
    root.write(entries)
    root.check()
    assert root.read("/srv/big") == big
    assert root.read("/srv/empty") == b""
    assert root.read("/srv/system-systemd\\x2dcryptsetup.slice") == b"a backslash"
    assert root.names("/srv/a b") == ["name with spaces, ünd more"]
    assert len(root.names("/srv/many")) == 400
    found = root.stat(["/srv/big", "/srv/a b", "/srv/link", "/srv/many", "/srv/nothing"])
    assert found["/srv/nothing"] is None
    shown = [(one.kind, one.mode & 0o7777, one.uid, one.gid) for one in found.values() if one]
    assert shown == [
        ("regular", 0o4755, 70_000, 99),
        ("directory", 0o750, 7, 8),
        ("symlink", 0o777, 0, 0),
        ("directory", 0o755, 0, 0),
    ]


@needs_tools
def test_writing_again_replaces_and_leaves_no_room_lost(image: Path) -> None:
    root = Ext4(image, read_layout(image).root)
    root.write([Entry(path="/srv/file", content=b"a" * 100_000)])
    free = root.free()
    for _ in range(3):
        root.write([Entry(path="/srv/file", content=b"b" * 100_000)])
    root.check()
    assert root.free() == free
    assert root.read("/srv/file") == b"b" * 100_000
    with pytest.raises(ImageError, match="directory"):
        root.write([Entry(path="/srv", content=b"in place of a directory")])


@needs_tools
def test_damage_is_found(image: Path) -> None:
    layout = read_layout(image)
    root = Ext4(image, layout.root)
    root.check()
    with image.open("r+b") as file:
        file.seek(layout.root.start + 1024 + 12)  # the superblock's count of free blocks
        file.write(b"\1\0\0\0")
    with pytest.raises(ImageError, match="damaged"):
        root.check()


@needs_tools
def test_texts_of_the_firmware_are_replaced(image: Path) -> None:
    boot = Fat(image, read_layout(image).boot)
    assert boot.read("nothing.txt") is None
    boot.write("config.txt", "x" * 5000)
    boot.write("config.txt", "short\n")
    assert boot.read("config.txt") == "short\n"


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029"), max_size=80)


@given(config=TEXTS, first=st.lists(st.just("dtparam=i2c_arm=on")), second=st.lists(st.just("b")))
def test_lines_are_added_once_and_the_rest_is_kept(
    config: str, first: list[str], second: list[str]
) -> None:
    once = with_lines(config, second)
    assert with_lines(with_lines(config, first), second).split() == once.split()
    assert once.split()[: len(config.split())] == config.split()


def test_a_country_takes_the_place_of_another() -> None:
    line = "console=tty1 cfg80211.ieee80211_regdom=GB root=/dev/mmcblk0p2 rootwait\n"
    assert with_country(line, "DE") == (
        "console=tty1 root=/dev/mmcblk0p2 rootwait cfg80211.ieee80211_regdom=DE\n"
    )

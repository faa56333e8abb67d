"""Random bytes where the port's generator is weak: whatever else is known, two starts differ."""

from pathlib import Path
from types import SimpleNamespace

import device.randomness
import pytest
from device import cborlite, files
from device.randomness import SEED, Randomness


def constant(size: int) -> bytes:
    """A generator that is stuck."""
    return bytes(size)


@pytest.fixture(autouse=True)
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash that is empty, and a clock without any jitter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device.randomness, "time", SimpleNamespace(ticks_us=lambda: 1))
    seed(b"from the computer that flashed it")


def seed(value: bytes, boots: int = 0) -> None:
    files.write(SEED, cborlite.encode({"seed": value, "boots": boots}))


def test_no_two_draws_and_no_two_starts_are_alike_though_generator_and_clock_are_stuck() -> None:
    drawn = []
    for boot in range(20):
        random_bytes = Randomness(b"key", constant)
        assert random_bytes.boots == boot + 1
        drawn += [random_bytes(32) for _ in range(20)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("differs", ["key", "seed", "generator", "clock", "boots"])
def test_each_source_alone_changes_all_that_is_drawn(
    differs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Randomness(b"key", constant)(64)
    seed(b"another seed" if differs == "seed" else b"from the computer that flashed it",
         7 if differs == "boots" else 0)  # fmt: skip
    if differs == "clock":
        monkeypatch.setattr(device.randomness, "time", SimpleNamespace(ticks_us=lambda: 2))
    generator = (lambda size: b"\1" * size) if differs == "generator" else constant
    second = Randomness(b"another key" if differs == "key" else b"key", generator)(64)
    assert not set(zip(*[iter(first)] * 16, strict=True)) & set(
        zip(*[iter(second)] * 16, strict=True)
    )


def test_the_same_in_all_of_them_gives_the_same_so_the_test_above_proves_something() -> None:
    first = Randomness(b"key", constant)(64)
    seed(b"from the computer that flashed it")
    assert Randomness(b"key", constant)(64) == first


def test_the_next_seed_is_on_flash_before_anything_can_be_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_path: str, _content: bytes) -> None:
        raise OSError("no power")

    monkeypatch.setattr(files, "write", fails)
    with pytest.raises(OSError, match="no power"):
        Randomness(b"key", constant)

"""Packages are those of the image's machine and Python, not of the machine that makes it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tickseal_edge.config import EdgeConfig
from tickseal_edge.image import wheels
from tickseal_edge.image.packages import needed_packages
from tickseal_edge.image.programs import ImageError
from tickseal_edge.image.progress import Progress

from tickseal.configuration.configuration import parse_toml


def make_wheel(folder: Path, name: str, tag: str, *needs: str) -> None:
    """Write the smallest wheel that pip takes."""
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f'"""{tag}"""\n')
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take packages from a folder, and keep what was collected in another."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_conditions_are_those_of_the_image(index: Path, quiet: Progress) -> None:
    make_wheel(
        index, "native", "cp313-cp313-manylinux_2_28_aarch64",
        "onarm; platform_machine == 'aarch64'", "onpc; platform_machine == 'x86_64'",
        "old; python_version < '3.13'", "new; python_version >= '3.13'",
        "older; python_full_version < '3.12.1'",
    )  # fmt: skip
    make_wheel(index, "native", "cp313-cp313-manylinux_2_28_x86_64")
    make_wheel(index, "native", "cp311-cp311-manylinux_2_28_aarch64")
    for name in ("onarm", "onpc", "old", "older", "new"):
        make_wheel(index, name, "py3-none-any")
    folder = wheels.collect(["native"], "3.13", quiet, refresh=False)
    assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == [
        "native", "new", "onarm",
    ]  # fmt: skip
    assert (folder / "native-1.0-cp313-cp313-manylinux_2_28_aarch64.whl").exists()


def test_what_was_collected_once_needs_no_network(index: Path, quiet: Progress) -> None:
    make_wheel(index, "thing", "py3-none-any")
    first = wheels.collect(["thing"], "3.11", quiet, refresh=False)
    (index / "thing-1.0-py3-none-any.whl").unlink()
    assert wheels.collect(["thing"], "3.11", quiet, refresh=False) == first
    with pytest.raises(ImageError, match="thing"):
        wheels.collect(["thing"], "3.11", quiet, refresh=True)
    assert (first / "thing-1.0-py3-none-any.whl").exists(), "what there was is kept"


def test_a_package_without_a_wheel_for_the_pi_is_named(index: Path, quiet: Progress) -> None:
    make_wheel(index, "pconly", "cp311-cp311-manylinux_2_28_x86_64")
    with pytest.raises(ImageError, match=r"no wheel for aarch64(.|\n)*pconly"):
        wheels.collect(["pconly"], "3.11", quiet, refresh=False)


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="needs gcc-aarch64-linux-gnu"
)
def test_the_hot_path_in_c_is_compiled_for_the_image(tmp_path: Path) -> None:
    environment = wheels._environment(tmp_path / "headers")
    made = tmp_path / "hotpath.so"
    compiling = (
        "import pathlib, sys, hatch_build;"
        "hatch_build.compile_extension(pathlib.Path(), pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", compiling, made],
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
        check=True,
    )
    header = made.read_bytes()[:20]
    assert header.startswith(b"\x7fELF\x02\x01"), "64 bits, little-endian"
    assert int.from_bytes(header[18:20], "little") == 183, "AArch64"


def test_what_the_edge_needs_is_what_it_declares() -> None:
    wanted = {one.partition(">=")[0] for one in wheels.requirements(["edge"], ["more"])}
    assert {"cbor2", "cryptography", "typer", "pillow", "psutil", "pip", "more"} <= wanted
    assert not wanted & {"sqlalchemy", "pytest", "adafruit-blinka"}


def test_drivers_come_with_the_streams_that_need_them() -> None:
    text = """
        [[streams]]
        kind = "i2c"
        driver = "adafruit_scd4x:SCD4X"
        readings = [{ attribute = "CO2", name = "co2", unit = "ppm" }]
        [[streams]]
        kind = "gpio"
        line = 17
    """
    config = parse_toml(text, EdgeConfig, where="edge.toml")
    assert needed_packages(config) == (["edge", "sensors"], ["adafruit-circuitpython-scd4x"])
    plain = parse_toml("", EdgeConfig, where="edge.toml")
    assert needed_packages(plain) == (["edge"], [])

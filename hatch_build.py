"""Build hook: compile the native hot path where that can be done, and leave it out where not.

Nothing here makes an installation fail: without the extension tickseal runs in Python, the same but
slower, and `tickseal.acceleration()` says why. `python hatch_build.py` compiles in place.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # to compile in place needs no hatchling
    BuildHookInterface = object  # type: ignore[assignment,misc]

SOURCES = Path("tickseal/native")
EXTENSION = "hotpath.abi3.so"
FLAGS = (
    "-std=c11 -O2 -fPIC -shared -fvisibility=hidden -fstack-protector-strong -Wall -Wextra "
    "-Wl,-z,relro,-z,now"
)


class NotCompiledError(Exception):
    """Why the extension is left out."""


def digest(root: Path) -> str:
    """Return what tells the sources from others; the extension bears it."""
    parts = sorted((root / SOURCES).glob("*.[ch]"))
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()[:16]


def compile_extension(root: Path, output: Path) -> None:
    """Compile the extension.

    Args:
        root: of the source tree.
        output: the file to write; it replaces one that is there in one step.
    Raises:
        NotCompiledError: this Python, system or compiler cannot, or is told not to.
    """
    if os.environ.get("TICKSEAL_PURE", "0") not in {"", "0"}:
        raise NotCompiledError("TICKSEAL_PURE is set")
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        raise NotCompiledError("it is for CPython on Linux")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotCompiledError("the stable ABI knows no free-threaded Python yet")
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").is_file():
        raise NotCompiledError("Python.h is missing (Debian: python3-dev)")

    made = output.with_name(f".{output.name}.{os.getpid()}")
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *shlex.split(FLAGS),
        *shlex.split(os.environ.get("CFLAGS", "")),
        f"-I{include}",
        f'-DTICKSEAL_SOURCES="{digest(root)}"',
        *map(str, sorted((root / SOURCES).glob("*.c"))),
        "-o",
        str(made),
        *shlex.split(os.environ.get("LDFLAGS", "")),
        "-ldl",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise NotCompiledError(f"no C compiler ({command[0]}: {error.strerror})") from None
    if done.returncode:
        made.unlink(missing_ok=True)
        first = next(iter(done.stderr.splitlines()), f"exit status {done.returncode}")
        raise NotCompiledError(f"{command[0]} failed: {first}")
    made.replace(output)


def tag() -> str:
    """Return the wheel tag of an extension compiled here, for all later Pythons too."""
    from packaging.tags import sys_tags  # noqa: PLC0415  # hatchling needs it too

    plain = (one.platform for one in sys_tags() if "linux" in one.platform)
    platform = next(name for name in plain if name.startswith("linux"))
    return f"cp311-abi3-{platform}"


class NativeBuildHook(BuildHookInterface):
    """Adds the extension to a wheel, or puts it beside its sources for an editable one."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; called by hatchling before a wheel is made."""
        root = Path(self.root)
        is_editable = version == "editable"
        if is_editable:
            output = root / SOURCES / EXTENSION
        else:
            self._folder = tempfile.TemporaryDirectory()
            output = Path(self._folder.name, EXTENSION)
        try:
            compile_extension(root, output)
        except NotCompiledError as why:
            self.app.display_warning(f"tickseal: without the native hot path: {why}")
            return
        if not is_editable:
            build_data["force_include"][str(output)] = str(SOURCES / EXTENSION)
            build_data["pure_python"] = False
            build_data["tag"] = tag()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel."""
        if version != "editable":
            self._folder.cleanup()


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    try:
        compile_extension(here, here / SOURCES / EXTENSION)
    except NotCompiledError as why:
        sys.exit(f"tickseal: without the native hot path: {why}")

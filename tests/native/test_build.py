"""The extension is compiled where that can be done; where not, all works without it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest

from tickseal import acceleration, native

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tickseal" / "native"
CC = shutil.which(os.environ.get("CC", "cc"))
needs_compiler = pytest.mark.skipif(
    CC is None or not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="no C compiler, or no Python.h",
)


def run(*command: str | Path, **changes: str) -> str:
    """Run a command; return what it printed, or fail with that."""
    environment = os.environ | {"TICKSEAL_PURE": "0", "CFLAGS": "", "LDFLAGS": ""} | changes
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compile_in(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Compile a copy of the sources, as `python hatch_build.py` does."""
    copy = folder / "tickseal" / "native"
    if not copy.exists():
        shutil.copytree(
            ROOT / "tickseal", copy.parent, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
        shutil.copy(ROOT / "hatch_build.py", folder)
    return subprocess.run(
        [sys.executable, "hatch_build.py"],
        env=os.environ | {"TICKSEAL_PURE": "0"} | changes,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def answer(folder: Path = ROOT, **changes: str) -> str:
    """What the tickseal in a folder says of its acceleration."""
    ask = "import tickseal; print(*tickseal.acceleration(), sep='|')"
    return run(sys.executable, "-P", "-c", ask, PYTHONPATH=str(folder), **changes).strip()


@needs_compiler
def test_is_compiled_here() -> None:
    """On a machine that can compile, nobody runs the slower one without noticing."""
    if os.environ.get("TICKSEAL_PURE", "0") in {"", "0"}:
        assert acceleration().is_native, f"{acceleration().reason}; run: python hatch_build.py"


@pytest.mark.skipif(not acceleration().is_native, reason="not native")
def test_what_is_compiled_is_what_the_sources_say() -> None:
    """Else the tests would prove something that is not there any more."""
    hotpath = import_module("tickseal.native.hotpath")
    digest = run_path(str(ROOT / "hatch_build.py"))["digest"]
    assert digest(ROOT) == hotpath.SOURCES, "stale; run: python hatch_build.py"


@needs_compiler
def test_compiles_without_a_warning(tmp_path: Path) -> None:
    flags = "-Werror -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wvla"
    done = compile_in(tmp_path, CFLAGS=flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer(tmp_path).startswith("True|OpenSSL 3")
    # Of the system, it needs the C library alone.
    if shutil.which("ldd"):
        needed = run("ldd", tmp_path / "tickseal" / "native" / "hotpath.abi3.so")
        assert "libcrypto" not in needed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CC": "/nonexistent/cc"}, "no C compiler (/nonexistent/cc: No such file or directory)"),
        ({"CC": "false"}, "false failed: exit status 1"),
        ({"TICKSEAL_PURE": "1"}, "TICKSEAL_PURE is set"),
        pytest.param({"CFLAGS": "-include nonexistent.h"}, "cc failed: ", marks=needs_compiler),
    ],
    ids=["no compiler", "a compiler that fails", "told not to", "an error"],
)
def test_says_in_one_line_why_it_is_left_out(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    done = compile_in(tmp_path, **{"CFLAGS": "", **changes})
    assert done.returncode == 1
    assert done.stderr.startswith(f"tickseal: without the native hot path: {reason}")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("**/*.so*"))
    assert answer(tmp_path) == "False||it was not compiled when tickseal was installed"


def test_tickseal_pure_forces_python() -> None:
    assert answer(TICKSEAL_PURE="1") == "False||TICKSEAL_PURE is set"


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
void *dlopen(const char *name, int how) {
    void *(*real)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return name && !strcmp(name, "libcrypto.so.3") ? INSTEAD : real(name, how);
}
"""


@needs_compiler
@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        ("0", "the system has no libcrypto.so.3 (Debian: libssl3, OpenSSL 3)"),
        ('real("libm.so.6", how)', "libcrypto.so.3 has no SHA256_Init"),
    ],
    ids=["no libcrypto", "an unknown libcrypto"],
)
def test_a_libcrypto_that_is_missing_or_unknown_leaves_python(
    tmp_path: Path, instead: str, reason: str
) -> None:
    assert CC
    assert compile_in(tmp_path, CFLAGS="").returncode == 0
    shim = tmp_path / "shim.c"
    shim.write_text(SHIM.replace("INSTEAD", instead))
    run(CC, "-shared", "-fPIC", "-o", shim.with_suffix(".so"), shim, "-ldl")
    assert answer(tmp_path, LD_PRELOAD=str(shim.with_suffix(".so"))) == f"False||{reason}"


THEIRS = """
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
"""
LAYOUT = """
#include <stdio.h>
#define SHOW(member) printf("%s %zu\\n", #member, offsetof(SHA256_CTX, member));
int main(void) {
    printf("%zu\\n", sizeof(SHA256_CTX));
    SHOW(h) SHOW(Nl) SHOW(Nh) SHOW(data) SHOW(num) SHOW(md_len)
    return 0;
}
"""
TYPES = """
#define CHECK(result, name, arguments)                                       \\
    _Static_assert(                                                          \\
        __builtin_types_compatible_p(__typeof__(&name), result(*) arguments), #name);
LIBCRYPTO_FUNCTIONS(CHECK)
int main(void) { return 0; }
"""


@pytest.fixture(scope="module")
def openssl_headers() -> Iterator[None]:
    if not Path("/usr/include/openssl/evp.h").is_file():
        pytest.skip("OpenSSL's headers are not here (Debian: libssl-dev)")
    yield


@needs_compiler
@pytest.mark.usefixtures("openssl_headers")
def test_what_is_declared_of_libcrypto_is_what_its_headers_say(tmp_path: Path) -> None:
    """Types of functions and values of macros by the compiler, the one structure by its offsets."""
    assert CC
    ours = '#include "libcrypto.h"\n'
    (tmp_path / "types.c").write_text(THEIRS + "#define TICKSEAL_NO_SHA256_CTX\n" + ours + TYPES)
    options = ("-Werror", "-Wno-deprecated-declarations", f"-I{SOURCES}", "-o")
    run(CC, *options, tmp_path / "types", tmp_path / "types.c")
    shown = []
    for name, header in (("ours", "#include <stddef.h>\n" + ours), ("theirs", THEIRS)):
        (tmp_path / f"{name}.c").write_text(header + LAYOUT)
        run(CC, *options, tmp_path / name, tmp_path / f"{name}.c")
        shown.append(run(tmp_path / name))
    assert shown[0] == shown[1]


def test_reason_and_library_exclude_each_other() -> None:
    found = acceleration()
    assert found.is_native is native.IS_NATIVE is bool(found.library) is not bool(found.reason)

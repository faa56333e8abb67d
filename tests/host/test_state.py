"""A state directory: one owner, and files that are whole at every instant."""

import errno
import os
import random
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tickseal.core.errors import LocalProtocolError, StoreError
from tickseal.host.state import StateDirectory

OLD = b"old" * 50_000
NEW = b"new!" * 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def in_child(work: Callable[[], object]) -> int:
    """Fork, run the work and leave without any clean-up; return the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_gives_back_what_was_written(path: Path) -> None:
    with StateDirectory.open(path) as state:
        assert state.read("identity") is None
        state.write("identity", b"one")
        state.write("identity", b"two")
        state.write("devices/a.cbor", b"a")
        state.write("devices/b.cbor", b"b")
        state.delete("devices/b.cbor")
        state.delete("devices/never-there")
    with StateDirectory.open(path) as state:
        assert state.read("identity") == b"two"
        assert state.names() == ["identity"]
        assert state.names("devices") == ["devices/a.cbor"]
        assert state.names("nowhere") == []


def test_nobody_else_can_read_it(path: Path) -> None:
    mask = os.umask(0)
    try:
        with StateDirectory.open(path) as state:
            state.write("devices/key", b"secret")
    finally:
        os.umask(mask)
    assert mode(path) == mode(path / "devices") == 0o700
    assert mode(path / "devices" / "key") == mode(path / "lock") == 0o600


def test_closes_an_own_directory_to_others_but_touches_none_of_theirs(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)
    StateDirectory.open(path).close()
    assert mode(path) == 0o700
    theirs = path.parent / "theirs"
    theirs.mkdir()
    theirs.chmod(0o755)
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"theirs holds files of others.*choose an empty"):
        StateDirectory.open(theirs)
    assert mode(theirs) == 0o755


def test_a_second_owner_is_told_who_the_first_is(path: Path) -> None:
    ready, tell = os.pipe()
    wait, go = os.pipe()

    def own() -> None:
        os.close(go)
        with StateDirectory.open(path):
            os.write(tell, b"!")
            os.read(wait, 1)

    pid = in_child(own)
    try:
        assert os.read(ready, 1) == b"!"
        with pytest.raises(StoreError, match=rf"state is in use by process {pid}; stop"):
            StateDirectory.open(path)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for end in (ready, tell, wait, go):
            os.close(end)
    # The kernel frees the lock with the process, however it ended.
    StateDirectory.open(path).close()


def test_a_second_owner_in_the_same_process_is_refused_too(path: Path) -> None:
    with (
        StateDirectory.open(path),
        pytest.raises(StoreError, match=f"in use by process {os.getpid()}"),
    ):
        StateDirectory.open(path)
    StateDirectory.open(path).close()


def test_a_kill_at_a_random_moment_leaves_a_whole_file(path: Path) -> None:
    versions = [bytes([n]) * 200_000 for n in range(8)]
    chance = random.Random(5)
    for _ in range(25):
        ready, tell = os.pipe()

        def write_on(tell: int = tell) -> NoReturn:
            state = StateDirectory.open(path)
            while True:
                for version in versions:
                    state.write("keys", version)
                    os.write(tell, b"!")

        pid = in_child(write_on)
        os.close(tell)
        for _ in range(chance.randint(1, 6)):
            os.read(ready, 1)
        for _ in range(chance.randint(0, 3000)):
            pass  # lands anywhere within a write
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        with StateDirectory.open(path) as state:
            assert state.read("keys") in versions
        assert sorted(entry.name for entry in path.iterdir()) == ["keys", "lock"]


CALLS = ("open", "write", "fsync", "rename", "replace", "unlink", "close")


def killer(at: int) -> Callable[..., None]:
    """Return an os with which the process dies at its at-th call."""
    count = 0

    def arm() -> None:
        for name in CALLS:
            real = getattr(os, name)

            def call(*arguments: Any, real: Any = real, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            setattr(os, name, call)

    return arm


def test_a_kill_at_each_step_leaves_the_old_file_or_the_new(path: Path) -> None:
    outcomes = []
    for at in range(1, 40):
        with StateDirectory.open(path) as state:
            state.write("keys", OLD)

        def overwrite(at: int = at) -> None:
            state = StateDirectory.open(path)
            killer(at)()
            state.write("keys", NEW)

        _, status = os.waitpid(in_child(overwrite), 0)
        with StateDirectory.open(path) as state:
            content = state.read("keys")
        assert content in (OLD, NEW)
        assert sorted(entry.name for entry in path.iterdir()) == ["keys", "lock"]
        outcomes.append(content == NEW)
        if os.WIFEXITED(status):
            break
    # It was killed before the file was in place and after, and the last time not at all.
    assert len(outcomes) >= 5
    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert outcomes[-2:] == [True, True]


def test_what_was_written_is_on_the_disk_before_its_name_and_its_name_before_return(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        steps.append("folder" if is_folder else f"file of {os.fstat(handle).st_size}")
        sync(handle)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    with StateDirectory.open(path) as state:
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", rename)
        state.write("keys", b"12345")
    assert steps == ["file of 5", "rename", "folder"]


@pytest.mark.parametrize(
    ("number", "step"), [("ENOSPC", "make room"), ("EROFS", "remount"), ("EIO", "replace it")]
)
def test_a_disk_that_fails_is_named_with_the_next_step_and_keeps_the_old(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: str, step: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(getattr(errno, number), "injected")

    with StateDirectory.open(path) as state:
        state.write("keys", OLD)
        with monkeypatch.context() as broken, pytest.raises(StoreError) as caught:
            broken.setattr(os, "fsync", fail)
            state.write("keys", NEW)
        assert str(path / "keys") in str(caught.value)
        assert step in str(caught.value)
        assert state.read("keys") == OLD
        assert state.names() == ["keys"]
        assert len(list(path.iterdir())) == 2


def test_a_path_through_a_file_is_explained(path: Path) -> None:
    path.write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot make the state directory .*sub"):
        StateDirectory.open(path / "sub")


@pytest.mark.parametrize(
    "name",
    ["", "lock", "../up", "/etc/passwd", "a/../b", ".hidden", "a//b", "a/", "nul\0", "é", "x" * 200,
     "line\n"],
)  # fmt: skip
def test_refuses_names_that_lead_elsewhere(path: Path, name: str) -> None:
    with StateDirectory.open(path) as state:
        for use in (state.read, state.delete, lambda name: state.write(name, b"x")):
            with pytest.raises(LocalProtocolError):
                use(name)


def test_a_closed_directory_is_of_no_use(path: Path) -> None:
    state = StateDirectory.open(path)
    state.close()
    state.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        state.write("keys", b"x")

"""What native openers and walkers hold, read from their memory: opener.h, replay.h and tree.h."""

import ctypes
from typing import Any


class _Node(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint64), ("level", ctypes.c_uint), ("secret", ctypes.c_ubyte * 32),
    )  # fmt: skip


class _Walker(ctypes.Structure):
    """The end of a Walker."""

    _fields_ = (("path_count", ctypes.c_int), ("path", _Node * 48))


class _Known(ctypes.Structure):
    _fields_ = (
        ("tick", ctypes.c_uint64), ("frame", ctypes.c_uint64), ("key", ctypes.c_ubyte * 64),
        ("used", ctypes.c_bool),
    )  # fmt: skip


class _Replay(ctypes.Structure):
    _fields_ = (
        ("next", ctypes.c_uint64), ("first", ctypes.c_uint64), ("firsts", ctypes.c_uint64 * 16),
        ("others", ctypes.POINTER(ctypes.c_void_p)),
    )  # fmt: skip


class _Opener(ctypes.Structure):
    """The end of an Opener."""

    _fields_ = (
        ("replay", _Replay), ("has_prepared", ctypes.c_bool), ("prepared_tick", ctypes.c_uint64),
        ("prepared", ctypes.c_ubyte * 224), ("known", _Known * 16),
    )  # fmt: skip


class _Sealer(ctypes.Structure):
    """The end of a Sealer."""

    _fields_ = (("number", ctypes.c_uint64),)


def _end_of(made: Any, end: Any) -> Any:
    native = next(kind for kind in type(made).__mro__ if kind.__module__.endswith(".hotpath"))
    return end.from_address(id(made) + native.__basicsize__ - ctypes.sizeof(end))


def skip_to(sealer: Any, number: int) -> None:
    """Leave out frame numbers, which nothing else can do."""
    _end_of(sealer, _Sealer).number = number


def known(opener: Any) -> list[tuple[int, int]]:
    """Return tick and frame of each frame key that is kept."""
    return [(one.tick, one.frame) for one in _end_of(opener, _Opener).known if one.used]


def prepared(opener: Any) -> list[int]:
    """Return the tick of which the way to frame keys is kept, if any."""
    end = _end_of(opener, _Opener)
    return [end.prepared_tick] if end.has_prepared else []


def replay_window(opener: Any) -> list[Any]:
    """Return which first segments were opened, and for each frame which of the others."""
    replay = _end_of(opener, _Opener).replay
    others = [replay.others[place] for place in range(1024)] if replay.others else []
    words = [ctypes.c_uint32.from_address(one).value if one else 0 for one in others]
    seen = [
        ctypes.string_at(one + 8, 8 * count) if one else b""
        for one, count in zip(others, words, strict=True)
    ]
    return [list(replay.firsts), seen]


def path(walker: Any) -> list[tuple[int, int, bytes]]:
    """Return the nodes on the way to the last leaf."""
    end = _end_of(walker, _Walker)
    return [(one.level, one.index, bytes(one.secret)) for one in end.path[: end.path_count]]

"""Configuration: TOML text to a frozen dataclass, with errors that a person can act on.

A model is a frozen, slotted, keyword-only dataclass. Its annotations say what a key may hold: bool,
int, float, str, Literal, Enum, list, tuple[T, ...], dict[str, T], another model, T | None, a union
of models told apart by a Literal field; or `object`, left as it is. Marks narrow it:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class StreamConfig:
        id: Annotated[str, Length(1, 64)]
        interval_ns: Annotated[int, Duration("1ms", "1h")] = 100_000_000   # interval = "100ms"
        spool_bytes: Annotated[int, Size("1MiB")] = 8 << 20                # spool = "8MiB"
        password: str = field(default="", repr=False)                      # never shown in an error

Pydantic is left out on purpose: it costs a process 12 MB, a third of what an edge node may use.
"""

import dataclasses
import difflib
import enum
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal, TypeAlias, TypeVar, Union, cast

from tickseal.configuration.marks import Between, Duration, Length, Mark, Size
from tickseal.configuration.toml_lines import Path, find_lines
from tickseal.core.errors import ConfigError, TicksealError

__all__ = ["Between", "Duration", "Length", "Mark", "Size", "parse_toml"]

M = TypeVar("M")
Value: TypeAlias = bool | int | float | str | list["Value"] | dict[str, "Value"]

_ERRORS_SHOWN: Final = 20  # more would scroll the first ones away
_FOUND_LENGTH: Final = 60
_INTEGER_LIMIT: Final = 1 << 63  # TOML 1.0 promises signed 64-bit integers
_INVALID: Final = object()
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALARS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "text",
}


def parse_toml(text: str, model: type[M], *, where: str) -> M:
    """Return the model that a TOML text describes; keys that it leaves out keep their defaults.

    Args:
        text: the TOML document.
        model: a dataclass, as the head of this module describes.
        where: the name of the file, for messages.

    Raises:
        ConfigError: one line for each fault: file, line, key, what was found, what is allowed.
    """
    text = text.removeprefix("\ufeff")  # left by some editors
    try:
        document = tomllib.loads(text)
        lines = find_lines(text)
    except RecursionError:
        raise ConfigError(f"{where}:1: not TOML: nested too deeply") from None
    # Numbers of thousands of digits raise a plain ValueError, the base of TOMLDecodeError.
    except ValueError as error:
        raise ConfigError(_syntax_error(str(error), text, where)) from None
    reader = _Reader(lines)
    result = reader.read(document, model, (), hidden=False)
    if reader.faults:
        shown = [f"{where}:{line}: {fault}" for line, fault in sorted(reader.faults)]
        if len(shown) > _ERRORS_SHOWN:
            shown[_ERRORS_SHOWN:] = [f"{where}: and {len(shown) - _ERRORS_SHOWN} more"]
        raise ConfigError("\n".join(shown))
    return cast(M, result)


def _syntax_error(message: str, text: str, where: str) -> str:
    place = _PLACE.search(message)
    if place is None:
        return f"{where}:1: not TOML: a number has too many digits"
    line = place[1] or text.rstrip("\n").count("\n") + 1
    return f"{where}:{line}: not TOML: {message[: place.start()]}"


class _Reader:
    """Reads values into annotations and collects the faults with their lines."""

    def __init__(self, lines: dict[Path, int]) -> None:
        self._lines = lines
        self.faults: list[tuple[int, str]] = []

    def read(
        self, value: Value, hint: object, path: Path, *, hidden: bool, marked: object = None
    ) -> object:
        """Return what `value` means; `marked` is the hint with its marks, for the message."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            return self._read_marked(value, hint, path, hidden=hidden)
        if origin in (Union, types.UnionType):
            return self._read_union(value, hint, path, hidden=hidden)
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            return self._read_model(value, cast(type, hint), path)
        if origin in (list, tuple) and isinstance(value, list):
            elements = [
                self.read(element, arguments[0], (*path, position), hidden=hidden)
                for position, element in enumerate(value)
            ]
            return elements if origin is list else tuple(elements)
        if origin is dict and isinstance(value, dict):
            return {
                name: self.read(element, arguments[1], (*path, name), hidden=hidden)
                for name, element in value.items()
            }
        for choice in _choices(hint):
            if type(value) is type(_written(choice)) and value == _written(choice):
                return choice
        if _is_scalar(value, hint):
            return float(value) if hint is float and isinstance(value, int) else value
        self._refuse(path, value, _allowed(marked or hint), hidden=hidden)
        return _INVALID

    def _read_marked(self, value: Value, hint: object, path: Path, *, hidden: bool) -> object:
        base, *extras = typing.get_args(hint)
        marks = [mark for mark in extras if isinstance(mark, Mark)]
        result: object = value
        if not any(mark.is_notation for mark in marks):
            result = self.read(value, base, path, hidden=hidden, marked=hint)
            if result is _INVALID:
                return _INVALID
        try:
            for mark in marks:
                result = mark.read(result)
        except ValueError:
            self._refuse(path, value, _allowed(hint), hidden=hidden)
            return _INVALID
        return result

    def _read_union(self, value: Value, hint: object, path: Path, *, hidden: bool) -> object:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        models = [cast(type, member) for member in members if dataclasses.is_dataclass(member)]
        if models and isinstance(value, dict):
            model = self._choose_model(value, models, path)
            return self._read_model(value, model, path) if model else _INVALID
        if len(members) == 1:
            return self.read(value, members[0], path, hidden=hidden)
        for member in members:
            attempt = _Reader(self._lines)
            result = attempt.read(value, member, path, hidden=hidden)
            if not attempt.faults:
                return result
        self._refuse(path, value, _allowed(hint), hidden=hidden)
        return _INVALID

    def _choose_model(self, value: dict[str, Value], models: list[type], path: Path) -> type | None:
        """Return the model whose tag has the value that the table gives it."""
        if len(models) == 1:
            return models[0]
        hints = [typing.get_type_hints(model) for model in models]
        tag = _tag(hints)
        for model, hint in zip(models, hints, strict=True):
            if value.get(tag) in _choices(hint[tag]):
                return model
        allowed = _alternatives(_allowed(hint[tag]) for hint in hints)
        if tag in value:
            self._refuse((*path, tag), value[tag], allowed, hidden=False)
        else:
            self._report((*path, tag), f"missing; allowed: {allowed}")
        return None

    def _read_model(self, value: dict[str, Value], model: type, path: Path) -> object:
        hints = typing.get_type_hints(model, include_extras=True)
        fields = {_key(field.name, hints[field.name]): field for field in dataclasses.fields(model)}
        faults_before = len(self.faults)
        for name in value:
            if name not in fields:
                self._report((*path, name), _unknown_key(name, fields))
        arguments: dict[str, object] = {}
        for key, field in fields.items():
            hint = hints[field.name]
            if key in value:
                arguments[field.name] = self.read(
                    value[key], hint, (*path, key), hidden=not field.repr
                )
            elif field.default is field.default_factory is dataclasses.MISSING:
                self._report((*path, key), f"missing; allowed: {_allowed(hint)}")
        if len(self.faults) > faults_before:
            return _INVALID
        try:
            return cast(Callable[..., object], model)(**arguments)
        except (ValueError, TicksealError) as error:
            self._report(path, str(error))
            return _INVALID

    def _refuse(self, path: Path, value: Value, allowed: str, *, hidden: bool) -> None:
        self._report(path, f"found {_found(value, hidden=hidden)}; allowed: {allowed}")

    def _report(self, path: Path, fault: str) -> None:
        known = path
        while known not in self._lines:
            known = known[:-1]
        name = _path_text(path)
        self.faults.append((self._lines[known], f"{name}: {fault}" if name else fault))


def _tag(models: list[dict[str, object]]) -> str:
    """Return the field whose Literal values tell models apart: no two share one."""
    for name in models[0]:
        values = [value for hints in models for value in _choices(hints.get(name))]
        if all(_choices(hints.get(name)) for hints in models) and len(values) == len(set(values)):
            return name
    raise TypeError("no Literal field tells the models of this union apart")


def _key(name: str, hint: object) -> str:
    """Return a field's key: where the text has the unit, the key does not."""
    for mark in typing.get_args(hint)[1:]:
        if isinstance(mark, Mark):
            name = name.removesuffix(mark.suffix)
    return name


def _choices(hint: object) -> tuple[object, ...]:
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return tuple(hint)
    return ()


def _written(choice: object) -> Value:
    """Return how a choice is written in TOML: an Enum by its text, or else by its name."""
    if not isinstance(choice, enum.Enum):
        return cast(Value, choice)
    return choice.value if isinstance(choice, str) else choice.name.lower().replace("_", "-")


def _is_scalar(value: Value, hint: object) -> bool:
    if hint is object:
        return True
    if hint is float and isinstance(value, float):
        return math.isfinite(value)
    if (hint is int or hint is float) and type(value) is int:
        return -_INTEGER_LIMIT <= value < _INTEGER_LIMIT
    return (hint is bool or hint is str) and type(value) is hint


def _allowed(hint: object) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        words = _allowed(arguments[0])
        for mark in arguments[1:]:
            words = mark.allowed(words) if isinstance(mark, Mark) else words
        return words
    if origin in (Union, types.UnionType):
        return _alternatives(
            _allowed(member) for member in arguments if member is not types.NoneType
        )
    if choices := _choices(hint):
        return _alternatives(_found(_written(choice)) for choice in choices)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        keys = (_key(field.name, hints[field.name]) for field in dataclasses.fields(hint))
        return f"a table with the keys {', '.join(keys)}"
    if origin in (list, tuple):
        return f"a list, each element {_allowed(arguments[0])}"
    if origin is dict:
        return f"a table, each value {_allowed(arguments[1])}"
    if hint is object:
        return "any value"
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]
    raise TypeError(f"a configuration model cannot have a field of type {hint!r}")


def _alternatives(words: Iterable[str]) -> str:
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last


def _found(value: Value, *, hidden: bool = False) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    kind = _SCALARS.get(type(value), "a date or time")
    if hidden:
        return f"{kind} (not shown)"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return f"{kind} of more than 64 bits"
    return f"the number {value}" if type(value) in _SCALARS else kind


def _quoted(text: str) -> str:
    shown = text if len(text) <= _FOUND_LENGTH else text[:_FOUND_LENGTH] + "..."
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return f'"{escaped}"'


def _unknown_key(name: str, known: Iterable[str]) -> str:
    keys = sorted(known)
    close = difflib.get_close_matches(name, keys, n=1)
    hint = f" did you mean {close[0]}?" if close else ""
    return f"unknown key;{hint} allowed here: {', '.join(keys)}"


def _path_text(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else _quoted(part)
            text += f".{name}" if text else name
    return text

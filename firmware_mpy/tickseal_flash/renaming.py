"""Gives a whole program's own names short forms, the same everywhere.

A name is the program's own where the program defines it and nothing else may: not Python, not
MicroPython's modules, and not a configuration file.
"""

import array
import ast
import builtins
import hashlib
import io
import json
import os
import select
import struct
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import count, zip_longest

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
#: What MicroPython has beyond Python.
_MICROPYTHON = """
ADC I2C IRQ_RISING Pin SPI Timer UART WDT a2b_base64 addr aes any arg at baudrate bits buffering
callback const crc32 cryptolib deepsleep deinit disable_irq enable_irq esp32 feed freq handler hard
id init ipoll irq kbd_intr key machine mcu_temperature mem32 mem_alloc mem_free micropython mode off
on period pin poll read_u16 readfrom_mem readfrom_mem_into register reset reset_cause rx schedule
scl sda threshold ticks_add ticks_diff ticks_ms ticks_us timeout toggle trigger tx u16 unique_id
value writeto_mem
"""
_PYTHON = (
    array, builtins, bytearray, bytes, dict, float, hashlib, hashlib.sha256(), int, io, io.BytesIO,
    io.StringIO, json, list, memoryview, os, select, select.poll(), set, str, struct, sys, time,
    tuple,
)  # fmt: skip
_FOREIGN = {name for thing in _PYTHON for name in dir(thing)} | set(_MICROPYTHON.split())
#: Names that MicroPython has in its own code, on every port: they cost no memory, and those that
#: the program does not use otherwise can stand for its own. The first line is part of .mpy files'
#: format, so that they cost next to nothing on flash either.
_IN_ROM = """
abs all any args bool bytecode callable chr classmethod close copy count dict dir divmod end
endswith eval exec extend find format get getattr globals hash index insert isalpha isdigit islower
isspace isupper issubclass iter join keys list locals lower lstrip map object ord popitem pow
readinto readline remove repr reverse rfind rindex round rsplit rstrip send sep set setattr
setdefault sort sorted split staticmethod step stop strip sum super throw upper values zip builtins
little
ARRAY PTR RAW UINT VOID acos acosh asin asinh atan atan2 atanh bin calcsize ceil center chdir choice
cos cosh decode degrees deque difference discard e encode enumerate erf erfc exp expm1 fabs
factorial filter floor flush fmod frexp fromkeys frozenset gamma getcwd getter getvalue heapify
heappop heappush help hex hexlify ilistdir implementation intersection isclose isdisjoint isfinite
isinf isnan issubset issuperset ldexp lgamma listdir load loads log log10 log2 max match maxsize min
mkdir mktime modf modules mount namedtuple oct pack partition path pi platform popleft property
radians randint random rect rename reversed rmdir rpartition search seed seek setter sin sinh slice
splitlines sqrt statvfs stderr tan tanh tell trunc umount unhexlify uniform union unpack version
sizeof addressof dump dumps phase polar bytes_at sha1 md5 collect isenabled exit argv randrange
getrandbits print_exception umount sleep_us sleep_ms sleep time_ns localtime gmtime idle mem8 mem16
"""
#: Modules whose constructors are called with what stands in a configuration file.
_CONFIGURED = ("device_cable__", "device_sensors__")
#: Methods that are found by a name that is made at run time.
_BUILT = "_on_"


def rename(tree: ast.Module) -> None:
    """Rename in place."""
    keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    kept = _FOREIGN | {"run"}
    for statement in tree.body:
        match statement:
            case ast.ClassDef():
                _share_attributes(statement)
            case ast.Import(names) | ast.ImportFrom(_, names):
                kept |= {one.asname or one.name for one in names}
            case _:
                pass
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.startswith(_CONFIGURED):
            for one in ast.walk(node):
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    kept |= {arg.arg for arg in (*one.args.args, *one.args.kwonlyargs)}
    _shorten_arguments(tree, keywords | kept)
    used: Counter[str] = Counter()
    own: set[str] = set()
    for node in ast.walk(tree):
        used.update(_names(node))
        own.update(_defined(node))
    own = {name for name in own - kept if not (name.startswith(("__", _BUILT)) or len(name) < 3)}
    constants = {
        statement.targets[0].id
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "const"
    }
    stay = _kept_by_a_board(tree) - constants
    order = sorted(own, key=lambda name: (name not in stay, -used[name], name))
    members, plain = _members(tree), _plain(tree)
    fresh = _fresh(set(used))
    short: dict[str, str] = {}
    # A member and a plain name may be called alike: whatever stands behind a dot is a member.
    pairs = zip_longest(
        [name for name in order if name not in plain],
        [name for name in order if name not in members],
    )
    for pair in (*pairs, *([name] for name in order if name in members & plain)):
        fitting = next(fresh)
        short.update({name: fitting for name in pair if name is not None})
    # mpy-cross writes out constants whose names begin with a low line.
    for name in constants & own:
        short[name] = "_" + short[name]
    _apply(tree, short)


def _kept_by_a_board(tree: ast.Module) -> set[str]:
    """Return the names that are there when the program runs: all but those of local variables."""
    found = {name for statement in tree.body for name in _defined(statement)}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            found.update(one.id for one in statement.targets if isinstance(one, ast.Name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.arg | ast.FunctionDef):
            found.update(_names(node))
    return found


def _members(tree: ast.AST) -> set[str]:
    """Return the names that stand behind a dot, or in the body of a class."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for name in _in_class_scope(node):
                found.add(name)
    return found


def _plain(tree: ast.AST) -> set[str]:
    """Return the names that do not."""
    methods = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for one in node.body
        if isinstance(one, ast.FunctionDef)
    }
    return {
        name
        for node in ast.walk(tree)
        if not isinstance(node, ast.Attribute) and id(node) not in methods
        for name in _names(node)
    }


def _in_class_scope(node: ast.AST) -> Iterator[str]:
    """Yield the names in the body of a class, less those within its methods."""
    for child in ast.iter_child_nodes(node):
        yield from _names(child)
        if isinstance(child, ast.FunctionDef):
            for default in (*child.args.defaults, *child.args.kw_defaults, *child.decorator_list):
                if default is not None:
                    yield from (name for one in ast.walk(default) for name in _names(one))
        else:
            yield from _in_class_scope(child)


def _share_attributes(tree: ast.ClassDef) -> None:
    """Name the private attributes and methods of a class by letters, which all classes share.

    They are used through self alone, and no class here inherits from one that has any.
    """
    used: Counter[str] = Counter()
    taken = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("self"), name) if _is_private(name):
                used[name] += 1
            case ast.FunctionDef(name) if node in tree.body and _is_private(name):
                used[name] += 1
            case ast.Attribute(_, name):
                taken.add(name)
            case _:
                pass
    letters = (one for one in _shared() if one not in taken)
    short = {name: next(letters) for name, _ in used.most_common()}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("self"), name):
                node.attr = short.get(name, name)
            case ast.FunctionDef(name) if node in tree.body:
                node.name = short.get(name, name)
            case _:
                pass


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith(("__", _BUILT))


def _shared() -> Iterator[str]:
    for number in count():
        high, low = divmod(number, 26)
        yield _ALPHABET[low] * (high + 1)


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(name) | ast.Attribute(_, name) | ast.arg(name) | ast.keyword(str(name)):
            yield name
        case ast.FunctionDef(name) | ast.ClassDef(name):
            yield name
        case ast.alias(name, other):
            yield name
            if other:
                yield other
        case ast.ExceptHandler(_, str(name)):
            yield name
        case _:
            pass


def _defined(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(name, ast.Store()) | ast.Attribute(_, name, ast.Store()) | ast.arg(name):
            yield name
        case ast.FunctionDef(name) | ast.ClassDef(name):
            yield name
        case ast.alias(_, str(name)):
            yield name
        case _:
            pass


def _apply(tree: ast.AST, short: Mapping[str, str]) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                node.id = short.get(node.id, node.id)
            case ast.Attribute():
                node.attr = short.get(node.attr, node.attr)
            case ast.arg():
                node.arg = short.get(node.arg, node.arg)
            case ast.keyword(str(name)):
                node.arg = short.get(name, name)
            case ast.FunctionDef() | ast.ClassDef():
                node.name = short.get(node.name, node.name)
            case ast.alias():
                node.name = short.get(node.name, node.name)
                node.asname = short.get(node.asname, node.asname) if node.asname else None
            case ast.ExceptHandler(_, str(name)):
                node.name = short.get(name, name)
            case ast.Global() | ast.Nonlocal():
                node.names = [short.get(name, name) for name in node.names]
            case _:
                pass


def _fresh(taken: Collection[str]) -> Iterator[str]:
    """Yield names that are not taken, those that cost least first."""
    yield from (name for name in dict.fromkeys(_IN_ROM.split()) if name not in taken)
    taken = {*taken, *_FOREIGN}
    for number in count():
        high, low = divmod(number, 26)
        name = (_ALPHABET[high % 26] + str(high // 26) if high >= 1 else "_") + _ALPHABET[low]
        if name not in taken and not _is_word(name):
            yield name


def _is_word(name: str) -> bool:
    return name in {"as", "if", "in", "is", "or"}


def _shorten_arguments(tree: ast.AST, keywords: set[str]) -> None:
    """Rename arguments that no call names, alike in all functions: a board keeps their names."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        taken = {name for inner in ast.walk(node) for name in _names(inner)} | _FOREIGN
        letters = iter([letter for letter in _ALPHABET if letter not in taken])
        short: dict[str, str] = {}
        for argument in node.args.args:
            if argument.arg not in keywords and argument.arg != "self" and len(argument.arg) > 1:
                short[argument.arg] = next(letters, argument.arg)
        for argument in node.args.args:
            argument.arg = short.get(argument.arg, argument.arg)
        for statement in node.body:
            _rename_local(statement, short)


def _rename_local(node: ast.AST, short: Mapping[str, str]) -> None:
    if isinstance(node, ast.Name):
        node.id = short.get(node.id, node.id)
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        own = {argument.arg for argument in node.args.args}
        short = {name: letter for name, letter in short.items() if name not in own}
    for child in ast.iter_child_nodes(node):
        _rename_local(child, short)

"""Makes a program small for a board's memory; what it does stays the same.

MicroPython keeps in memory, besides bytecode, every name and every message. So, before mpy-cross
and with the whole program in view: what is never used goes, names become short, the numbers of the
specification are written out, and of most errors' messages the place in the source is left, as
('noise', 210).
"""

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath

from tickseal_flash.bundle import LATE, bundle
from tickseal_flash.renaming import rename

#: Modules whose errors a person can do something about: they keep their words.
_TOLD = {"cable", "config", "files", "identity", "pins", "sensors", "session"}
#: Methods that are found by a name that is made at run time.
_BUILT = "_on_"
#: The module of the program that is loaded at the start.
PROGRAM = "tickseal_board"
#: What starts the program, in the bundle, and what lets go of that which only the start needs.
_MAIN = "device_main__run"
_FORGET = "device_main__forget"
#: Ends the names of lists of that.
_ONCE = "__ONCE"


def slim(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a whole program as the sources of two small modules; `run` of PROGRAM starts it.

    Args:
        sources: its modules, by their path on the board; "device/main.py" has run().
    """
    trees = {path: ast.parse(source, path) for path, source in sources.items()}
    for path, tree in trees.items():
        _Slimmer(PurePosixPath(path).stem).visit(tree)
    tree, late = bundle(trees)
    tree.body += ast.parse(f"run = {_MAIN}").body
    once = _once(tree)
    _drop_unused(tree)
    _fill_forget(tree, once)
    rename(tree)
    later = _take_out(tree, late)
    return {
        name: ast.unparse(ast.fix_missing_locations(module))
        for name, module in ((PROGRAM, tree), (LATE, later))
    }


class _Slimmer(ast.NodeTransformer):
    """Drops what serves people and type checkers, in one module."""

    def __init__(self, module: str) -> None:
        self._module = module

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Mark numbers as constants, which mpy-cross writes out where they are used."""
        self._shorten(node)
        known: set[str] = set()
        for one in node.body:
            match one:
                case ast.Assign([ast.Name(name)], value) if _is_number(value, known):
                    one.value = ast.Call(ast.Name("const", ast.Load()), [value], [])
                    known.add(name)
                case _:
                    pass
        node.body.insert(0, ast.parse("from micropython import const").body[0])
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Shorten a class."""
        self._shorten(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Shorten a function."""
        self._shorten(node)
        node.returns = None
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop an annotation."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        """Drop an annotation."""
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Leave of a message the place where it stands."""
        self.generic_visit(node)
        node.cause = None
        if isinstance(node.exc, ast.Call) and self._module not in _TOLD:
            node.exc.args = [ast.Constant(self._module), ast.Constant(node.lineno)]
        return node

    def _shorten(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
        node.body = [one for one in node.body if not _is_for_people(one)] or [ast.Pass()]
        self.generic_visit(node)


def _is_for_people(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
        case ast.Assign([ast.Name("__slots__" | "TYPE_CHECKING")]):
            return True
        case ast.If(ast.Name("TYPE_CHECKING")):
            return True
        case ast.FunctionDef("__repr__"):
            return True
        case _:
            return False


def _is_number(node: ast.expr, known: set[str]) -> bool:
    """Whether mpy-cross can work an expression out, by what is known already."""
    match node:
        case ast.Constant(bool()):
            return False
        case ast.Constant(int()):
            return True
        case ast.Name(name):
            return name in known
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.LShift(), right):
            return _is_number(left, known) and _is_number(right, known)
        case _:
            return False


# --- What only the start needs ---


def _once(tree: ast.Module) -> list[str]:
    """Return the names that modules list as needed at the start only; the lists go."""
    names = []
    for node in list(tree.body):
        match node:
            case ast.Assign([ast.Name(name)], ast.Tuple(listed)) if name.endswith(_ONCE):
                names += [one.id for one in listed if isinstance(one, ast.Name)]
                tree.body.remove(node)
            case _:
                pass
    return names


def _fill_forget(tree: ast.Module, once: list[str]) -> None:
    """Let the program's forget() delete these names, and with them the code behind."""
    there = _top_names(tree)
    names = ", ".join(name for name in once if name in there)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == _FORGET and names:
            node.body = ast.parse(f"def _():\n global {names}\n del {names}").body[0].body  # type: ignore[attr-defined]


# --- What is loaded late ---


def _take_out(tree: ast.Module, late: list[ast.stmt]) -> ast.Module:
    """Take the late statements out of a program; return them as a module that imports the rest."""
    marked = {id(one) for one in late}
    body = [one for one in tree.body if id(one) in marked]
    tree.body = [one for one in tree.body if id(one) not in marked]
    constants = [one for one in tree.body if isinstance(one, ast.Assign) and _is_const(one.value)]
    there = _top_names(ast.Module([one for one in tree.body if one not in constants], []))
    names = {node.id for one in body for node in ast.walk(one) if isinstance(node, ast.Name)}
    rest = ast.ImportFrom(PROGRAM, [ast.alias(name) for name in sorted(names & there)], 0)
    return ast.Module([rest, *constants, *body], [])


def _top_names(tree: ast.Module) -> set[str]:
    """Return the names that a module binds at its top."""
    found = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name) | ast.ClassDef(name) | ast.Assign([ast.Name(name)]):
                found.add(name)
            case ast.Import(names) | ast.ImportFrom(_, names):
                found |= {one.asname or one.name for one in names}
            case _:
                pass
    return found


# --- What is never used ---


def _drop_unused(tree: ast.Module) -> None:
    """Drop functions, methods, classes, plain assignments and imports that nothing refers to."""
    dropped = True
    while dropped:
        used = _used(tree) | {"run"}
        dropped = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef):
                kept = [one for one in node.body if not _is_unused(one, used)]
                dropped |= len(kept) < len(node.body)
                node.body = kept or [ast.Pass()]


def _used(tree: ast.AST) -> set[str]:
    """Return the names that are referred to."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ast.Load()) | ast.Attribute(_, name, ast.Load()):
                found.add(name)
            case ast.ImportFrom(module, names) if module == LATE:
                found |= {one.name for one in names}
            case _:
                pass
    return found


def _is_unused(node: ast.stmt, used: set[str]) -> bool:
    match node:
        case ast.FunctionDef(name) | ast.ClassDef(name):
            return name not in used and not name.startswith(("__", _BUILT))
        case ast.Assign([ast.Name(name)], value):
            return name not in used and not (isinstance(value, ast.Call) and not _is_const(value))
        case ast.Assign([ast.Attribute(ast.Name(thing), name)]) if thing.endswith("__all"):
            return name not in used
        case ast.Import([ast.alias(name, other)]) | ast.ImportFrom(_, [ast.alias(name, other)]):
            return (other or name) not in used and name != "const"
        case _:
            return False


def _is_const(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const"
    )

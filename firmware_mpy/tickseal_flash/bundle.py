"""Joins the modules of a program into one: a board keeps much for each module that it imports.

Every name at the top of a module gets the module's name before it, so that nothing clashes; what a
module imports from another is then simply there. Modules that others import only within functions
are late: they are loaded when such a function runs.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tickseal.core.errors import ConfigError

#: What late modules are imported from.
LATE = "tickseal_handshake"
_MAIN = "device.main"


@dataclass(slots=True)
class _Module:
    """One module.

    Attributes:
        names: what its top-level names become.
        modules: names in it that stand for other modules of the program.
    """

    path: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


def bundle(trees: Mapping[str, ast.Module]) -> tuple[ast.Module, list[ast.stmt]]:
    """Return one module that has everything in it, and its late statements; the trees are used up.

    Args:
        trees: modules by their path on the board; "device/main.py" is the first to be loaded.
    Raises:
        ConfigError: modules that import each other in a circle.
    """
    modules = {_dotted(path): _Module(path, tree) for path, tree in trees.items()}
    foreign: dict[str, ast.stmt] = {}
    body: list[ast.stmt] = []
    late: list[ast.stmt] = []
    at_once = _loaded_with(_MAIN, modules)
    passed_around = _passed_around(modules)
    order = _in_order(modules)
    for name in order:
        _bind(modules[name], name, modules, foreign)
    for name in order:
        module = modules[name]
        _Resolver(module, modules).resolve()
        left_out = ast.Import | ast.ImportFrom | ast.Pass
        kept = [one for one in module.tree.body if not isinstance(one, left_out)]
        if name in passed_around:
            kept += _as_object(module, name)
        body += kept
        late += [] if name in at_once else kept
    return ast.Module([*foreign.values(), *body], []), late


def _loaded_with(name: str, modules: Mapping[str, _Module]) -> set[str]:
    """Return a module's name and those of the modules that are loaded with it."""
    found, left = set(), {name}
    while left:
        one = left.pop()
        found.add(one)
        left |= _imports(modules[one].tree, modules) - found
    return found


def _dotted(path: str) -> str:
    return ".".join(PurePosixPath(path).with_suffix("").parts)


def _imports(tree: ast.Module, modules: Mapping[str, object]) -> set[str]:
    """Return which modules of the program a module imports at its top."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
    return found & modules.keys()


def _in_order(modules: Mapping[str, _Module]) -> list[str]:
    """Return the modules, each after those that it imports."""
    left = {name: _imports(module.tree, modules) for name, module in modules.items()}
    order: list[str] = []
    while left:
        ready = sorted(name for name, needs in left.items() if needs <= set(order))
        if not ready:
            raise ConfigError(f"modules import each other in a circle: {sorted(left)}")
        order += ready
        for name in ready:
            del left[name]
    return order


def _bind(
    module: _Module, name: str, modules: Mapping[str, _Module], foreign: dict[str, ast.stmt]
) -> None:
    """Work out what each top-level name of a module stands for."""
    stem = name.replace(".", "_")
    for node in module.tree.body:
        match node:
            case ast.FunctionDef(own) | ast.ClassDef(own) | ast.Assign([ast.Name(own)]):
                module.names[own] = f"{stem}__{own.lstrip('_')}" + "_" * own.startswith("_")
            case ast.Import(names):
                for one in names:
                    foreign[one.asname or one.name] = ast.Import([one])
            case ast.ImportFrom(source, names):
                for one in names:
                    here, whole = one.asname or one.name, f"{source}.{one.name}"
                    if whole in modules:
                        module.modules[here] = whole
                    elif source is not None and source in modules:
                        module.names[here] = modules[source].names[one.name]
                    else:
                        foreign[here] = ast.ImportFrom(source, [one], 0)
            case _:
                pass


def _object_name(name: str) -> str:
    return name.replace(".", "_") + "__all"


def _passed_around(modules: Mapping[str, _Module]) -> set[str]:
    """Return the modules that some module uses as a value, not only for their names."""
    found = set()
    for module in modules.values():
        imported = dict(_module_imports(module, modules))
        nodes = list(ast.walk(module.tree))
        attributes = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        found |= {
            imported[node.id]
            for node in nodes
            if isinstance(node, ast.Name) and node.id in imported and id(node) not in attributes
        }
    return found


def _module_imports(module: _Module, modules: Mapping[str, _Module]) -> list[tuple[str, str]]:
    return [
        (one.asname or one.name, f"{node.module}.{one.name}")
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom)
        for one in node.names
        if f"{node.module}.{one.name}" in modules
    ]


def _as_object(module: _Module, name: str) -> list[ast.stmt]:
    """Return a class whose attributes are a module's public names."""
    lines = [f"class {_object_name(name)}: pass"]
    lines += [
        f"{_object_name(name)}.{own} = {target}"
        for own, target in module.names.items()
        if not own.startswith("_")
    ]
    return ast.parse("\n".join(lines)).body


class _Resolver(ast.NodeTransformer):
    """Replaces the names of one module by what they stand for."""

    def __init__(self, module: _Module, modules: Mapping[str, _Module]) -> None:
        self._module = module
        self._modules = modules
        self._local: list[set[str]] = []

    def resolve(self) -> None:
        """Do so."""
        self.visit(self._module.tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Names within are the function's own first."""
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        node.args.defaults = [self.visit(one) for one in node.args.defaults]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]
        if not self._local:
            node.name = self._module.names.get(node.name, node.name)
        self._local.append(_locals(node))
        node.body = [self.visit(one) for one in node.body]
        self._local.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """A class's own names are attributes, not names of the module."""
        node.bases = [self.visit(one) for one in node.bases]
        node.name = self._module.names.get(node.name, node.name)
        for one in node.body:
            if isinstance(one, ast.FunctionDef):
                name = one.name
                self.visit(one)
                one.name = name
            elif isinstance(one, ast.Assign):
                one.value = self.visit(one.value)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """Within a function, what is imported is late."""
        if self._local and node.module is not None and node.module in self._modules:
            names = self._modules[node.module].names
            node.names = [ast.alias(names[one.name], one.asname or one.name) for one in node.names]
            node.module = LATE
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """A name of another module is a plain name now."""
        match node.value:
            case ast.Name(here) if self._is_global(here) and here in self._module.modules:
                names = self._modules[self._module.modules[here]].names
                return ast.copy_location(ast.Name(names[node.attr], node.ctx), node)
            case _:
                self.generic_visit(node)
                return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """A name at the top of this module."""
        if self._is_global(node.id):
            if node.id in self._module.modules:
                node.id = _object_name(self._module.modules[node.id])
            else:
                node.id = self._module.names.get(node.id, node.id)
        return node

    def _is_global(self, name: str) -> bool:
        return not any(name in scope for scope in self._local)


def _locals(function: ast.FunctionDef) -> set[str]:
    """Return the names that are a function's own."""
    found = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    for extra in (function.args.vararg, function.args.kwarg):
        if extra:
            found.add(extra.arg)
    for node in ast.walk(function):
        match node:
            case ast.Name(name, ast.Store()) | ast.ExceptHandler(_, str(name)):
                found.add(name)
            case ast.FunctionDef(name) if node is not function:
                found.add(name)
            case ast.Import(names) | ast.ImportFrom(_, names):
                found.update(one.asname or one.name for one in names)
            case _:
                pass
    return found

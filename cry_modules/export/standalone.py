"""Merge a module and the project's definitions that it uses into one file."""

import ast
import importlib
import inspect
from types import ModuleType
from typing import Dict, List, Set

_PROJECT = ("cry_modules.", "data_prep.")


def standalone(module: ModuleType) -> str:
    """Source of a module with copies of the definitions that it imports from
    the project, and of those that they use.

    Annotations are not followed. The result needs no package of the project.
    """
    source, tree = _parse(module.__name__)
    docstring, *nodes = tree.body
    imports = [n for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]
    copies = _Copies()
    for node in imports:
        if _is_project(node):
            for alias in node.names:
                copies.add(node.module, alias.name)
    others = [_text(source, node) for node in imports if not _is_project(node)]
    rest = source.splitlines()[imports[-1].end_lineno :]
    parts = [
        _text(source, docstring),
        "from __future__ import annotations",
        "\n".join(dict.fromkeys([*others, *copies.imports])),
        *copies.definitions,
        "\n".join(rest).strip(),
    ]
    return "\n\n\n".join(parts) + "\n"


class _Copies:
    """Definitions of the project, each after those that it uses, and the
    imports of other packages that they need."""

    def __init__(self):
        self.imports: List[str] = []
        self.definitions: List[str] = []
        self._modules: Dict[str, str] = {}

    def add(self, module: str, name: str) -> None:
        """Copy what a module binds to a name."""
        source, tree = _parse(module)
        node = next(node for node in tree.body if name in _bound(node))
        if _is_project(node):
            self.add(node.module, name)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports.append(_text(source, node))
            return
        if name in self._modules:
            if self._modules[name] != module:
                raise ValueError(
                    f"{module} and {self._modules[name]} both define {name}; "
                    "rename one of them"
                )
            return
        self._modules[name] = module
        bound = {
            other for statement in tree.body for other in _bound(statement)
        }
        for used in sorted(_used(node) & bound - {name}):
            self.add(module, used)
        self.definitions.append(_text(source, node))


def _parse(module: str):
    source = inspect.getsource(importlib.import_module(module))
    return source, ast.parse(source)


def _is_project(node: ast.AST) -> bool:
    is_from = isinstance(node, ast.ImportFrom)
    return is_from and node.module.startswith(_PROJECT)


def _bound(node: ast.AST) -> Set[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in node.names}
    targets = getattr(node, "targets", [])
    nodes = (n for target in targets for n in ast.walk(target))
    return {n.id for n in nodes if isinstance(n, ast.Name)}


def _used(node: ast.AST) -> Set[str]:
    """Names that a definition reads, annotations left out."""
    names = set()
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                names |= _used(child)
    return names | ({node.id} if isinstance(node, ast.Name) else set())


def _text(source: str, node: ast.AST) -> str:
    """Source of a statement, its decorators and the comments before it."""
    lines = source.splitlines()
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])  # fmt: skip
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 : node.end_lineno])

"""Definitions of this project's modules as text."""

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

from data_prep.files.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

#: Definitions that are not exported: the command line of a module.
_OWN = ("main",)


class Import(NamedTuple):
    """One name that a module imports.

    ``module`` is empty for ``import name``; ``alias`` is the name in the
    importing module.
    """

    module: str
    name: str
    alias: str

    def statement(self) -> str:
        """The line of code."""
        shown = self.name
        if self.alias != self.name.partition(".")[0] or (
            self.module and self.alias != self.name
        ):
            shown = f"{self.name} as {self.alias}"
        if self.module:
            return f"from {self.module} import {shown}"
        return f"import {shown}"


class Module:
    """A parsed module of this project."""

    def __init__(self, name: str):
        path = ROOT / (name.replace(".", "/") + ".py")
        if not path.is_file():
            path = path.with_suffix("") / "__init__.py"
        if not path.is_file():
            raise InputError(f"{name} is not a module of this project")
        self.name = name
        self.path = path
        text = path.read_text(encoding="utf-8")
        self._lines = text.splitlines()
        self._tree = ast.parse(text)
        self.definitions = {
            defined: self._text(node)
            for node in self._tree.body
            for defined in defined_by(node)
        }
        self.imports = list(imports_of(self._tree))

    def text(self, name: str) -> str:
        """Text of a definition, or of ``Class.method`` with its indentation."""
        owner, _, method = name.partition(".")
        if owner not in self.definitions:
            raise InputError(f"{self.name} defines no {owner}")
        if not method:
            return self.definitions[owner]
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef) and node.name == owner:
                for inner in node.body:
                    if method in defined_by(inner):
                        return self._text(inner)
        raise InputError(f"{owner} of {self.name} has no {method}")

    def own_names(self) -> List[str]:
        """Names of all definitions except the command line."""
        return [name for name in self.definitions if name not in _OWN]

    def _text(self, node) -> str:
        first = min(
            [
                node.lineno,
                *(d.lineno for d in getattr(node, "decorator_list", [])),
            ]
        )
        while first > 1 and self._lines[first - 2].lstrip().startswith("#"):
            first -= 1
        return "\n".join(self._lines[first - 1 : node.end_lineno])


@lru_cache(maxsize=None)
def module(name: str) -> Module:
    """Parse a module once."""
    return Module(name)


def defined_by(node: ast.AST) -> List[str]:
    """Names that a statement defines, except by import.

    Example
    -------
    >>> defined_by(ast.parse("a, b = 1, 2").body[0])
    ['a', 'b']
    """
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [
        name.id
        for target in targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]


def imports_of(tree: ast.Module) -> Iterator[Import]:
    """Imports at the top level of a module."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield Import(node.module, name.name, name.asname or name.name)
        elif isinstance(node, ast.Import):
            for name in node.names:
                alias = name.asname or name.name.partition(".")[0]
                yield Import("", name.name, alias)


def names_in(text: str) -> Tuple[set, set]:
    """Names that code uses, and names that it defines or imports at its top
    level.

    Example
    -------
    >>> names_in("import a\\nb = a.c(d)")
    ({...}, {...})
    """
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    defined = {imported.alias for imported in imports_of(tree)}
    for node in tree.body:
        defined.update(defined_by(node))
    return used, defined


def blocks(text: str) -> Dict[str, str]:
    """Top-level entries of a yaml file by key, each with the comments before
    it and the lines below it.
    """
    entries, key, waiting = {}, None, []
    for line in text.splitlines():
        match = re.match(r"([\w-]+):", line)
        if match:
            key = match[1]
            entries[key] = "\n".join([*waiting, line])
            waiting = []
        elif line.startswith((" ", "\t")) and key:
            entries[key] += "\n" + line
        elif line.startswith("#"):
            waiting.append(line)
        else:
            waiting = []
    return entries

"""Fill templates with definitions of this project, for SpeechBrain.

A file for SpeechBrain is a template in ``templates/`` with the same path.
``take`` inserts definitions of a module, ``keys`` entries of a yaml file.
Imports follow from the names that are used, and the new places of definitions
from the templates of ``speechbrain/`` that take them. The comment at the head
of a template says why the rest of it cannot be derived.
"""

import re
from pathlib import Path
from typing import Dict, List, Optional

import jinja2

from data_prep.files.errors import InputError
from tools.upstream.source import ROOT, Import, Module, blocks, module, names_in

TEMPLATES = Path(__file__).with_name("templates")

#: Packages of this project, which exported files must not import.
_OURS = ("cry_modules", "data_prep", "recipes", "tests", "tools")
#: Replacements of definitions that are not exported.
_PLAIN = {"InputError": "ValueError"}
_IMPORTS = "@@imports@@"
_SUFFIX = ".j2"

#: Scripts of the same name cannot be imported together, so SpeechBrain does
#: not run their doctests.
_SCRIPT = "/train.py"
_EXAMPLE = re.compile(r'\n\n( +)Example\n\1-+\n.*?(?=\n\1""")', re.DOTALL)
_IN_DOCSTRING = re.compile(
    rf"from ((?:{'|'.join(_OURS)})\.[\w.]+) import ([\w, ]+)"
)
_IN_YAML = re.compile(rf"\b((?:{'|'.join(_OURS)})\.[\w.]+)\.(\w+)")


class File:
    """A file for SpeechBrain in the making."""

    def __init__(
        self, target: str, features: set, checkout: Path, results: str = ""
    ):
        self.target = target
        self.features = features
        self.checkout = checkout
        self.results = results
        self.taken: Dict[str, Module] = {}
        self.sources: List[Module] = []
        self.text = self._filled()

    def _filled(self) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(str(TEMPLATES)),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template(self.target + _SUFFIX)
        return template.render(
            take=self.take,
            keys=keys,
            imports=_IMPORTS,
            existing=self.existing,
            has=self.features.__contains__,
            results=self.results,
        ).lstrip("\n")

    def take(
        self,
        name: str,
        *definitions: str,
        without: tuple = (),
        replace: Optional[Dict[str, str]] = None,
    ) -> str:
        """Definitions of a module of this project, all of them by default."""
        source = module(name)
        if not definitions:
            definitions = [d for d in source.own_names() if d not in without]
        # One statement may define several names.
        texts = list(dict.fromkeys(source.text(d) for d in definitions))
        methods = all("." in d for d in definitions)
        text = ("\n\n" if methods else "\n\n\n").join(texts)
        for method in (d for d in without if "." in d):
            text = _replaced(text, {source.text(method) + "\n\n": ""}, name)
        text = _replaced(text, replace, name)
        if source not in self.sources:
            self.sources.append(source)
        self.taken.update({d: source for d in definitions if "." not in d})
        return text

    def existing(self) -> str:
        """SpeechBrain's text of the file, to append to."""
        path = self.checkout / self.target
        if not path.is_file():
            raise InputError(
                f"{path}, a file to append to, does not exist; pass a checkout "
                "of SpeechBrain"
            )
        return path.read_text(encoding="utf-8").rstrip("\n")


def keys(
    path: str,
    *wanted: str,
    without: tuple = (),
    replace: Optional[Dict[str, str]] = None,
) -> str:
    """Entries of a yaml file of this project, with their comments."""
    entries = blocks((ROOT / path).read_text(encoding="utf-8"))
    for key in (*wanted, *without):
        if key not in entries:
            raise InputError(f"{path} has no key {key!r}; correct the template")
    chosen = wanted or [key for key in entries if key not in without]
    text = "\n".join(entries[key] for key in chosen)
    text = _replaced(text, replace, path)
    # Without comments on files of this project.
    text = re.sub(r"^#.*\bcry_modules/.*\n", "", text, flags=re.M)
    # Without marks of how certain a setting is, see the yaml files here.
    text = re.sub(r"# \[[CPSD?]\];? ?", "# ", text)
    text = re.sub(r" *#? *$", "", text, flags=re.M)
    # base: the file that includes this one here.
    return re.sub(r"<base\[(\w+)\]>", r"<\1>", text)


def _replaced(text, replace, source):
    for old, new in (replace or {}).items():
        if old not in text:
            raise InputError(
                f"{source} no longer holds {old!r}; correct the template "
                "that replaces it"
            )
        text = text.replace(old, new)
    return text


class Homes:
    """Places of this project's definitions in SpeechBrain."""

    def __init__(self, files: List[File]):
        self._home = {}
        for file in files:
            if not file.target.startswith("speechbrain/"):
                continue
            dotted = file.target[: -len(".py")].replace("/", ".")
            for name, source in file.taken.items():
                other = self._home.setdefault((source.name, name), dotted)
                if other != dotted:
                    raise InputError(
                        f"{source.name}.{name} would be in {other} and in "
                        f"{dotted}; take it once"
                    )

    def of(self, source: str, name: str) -> str:
        """Name of SpeechBrain's module that will hold a definition, of a module
        or of a package that offers what its modules define."""
        inside = [
            home
            for (module, own), home in self._home.items()
            if own == name and f"{module}.".startswith(f"{source}.")
        ]
        if len(inside) != 1:
            raise InputError(
                f"{source}.{name} is in no file of speechbrain/; take it there, "
                "or define it in the template"
            )
        return inside[0]

    def siblings(self, source: Module) -> List[Import]:
        """Imports of those definitions of a module that move to SpeechBrain."""
        names = [name for module, name in self._home if module == source.name]
        return [Import(source.name, name, name) for name in names]

    def moved(self, imported: Import) -> Import:
        """An import of this project as one of SpeechBrain."""
        if imported.module.partition(".")[0] not in _OURS:
            return imported
        whole = f"{imported.module}.{imported.name}"
        modules = {
            home for (source, _), home in self._home.items() if source == whole
        }
        if len(modules) == 1:  # a module, not a definition
            package, _, name = modules.pop().rpartition(".")
            return Import(package, name, imported.alias)
        home = self.of(imported.module, imported.name)
        return imported._replace(module=home)


def finished(file: File, homes: Homes) -> str:
    """Text of a file with SpeechBrain's imports and references."""
    text = _referring(file.text, homes)
    if file.target.endswith(_SCRIPT):
        text = _EXAMPLE.sub("", text)
    if file.target.endswith(".py"):
        text = _importing(text, file, homes)
    for line in text.splitlines():
        left = re.search(rf"\b({'|'.join(_OURS[:2])})\b", line)
        if left:
            raise InputError(
                f"{file.target}: {left[1]} is left in {line.strip()!r}; correct "
                "the template"
            )
    return text


def _referring(text: str, homes: Homes) -> str:
    """Replace references in docstrings and yaml files."""

    def imported(match):
        names = [name.strip() for name in match[2].split(",")]
        of = {name: homes.of(match[1], name) for name in names}
        return "\n".join(f"from {of[n]} import {n}" for n in names)

    for name, plain in _PLAIN.items():
        text = re.sub(rf"(?:[\w.]+\.)?\b{name}\b", plain, text)
    text = _IN_DOCSTRING.sub(imported, text)
    return _IN_YAML.sub(lambda m: f"{homes.of(m[1], m[2])}.{m[2]}", text)


def _importing(text: str, file: File, homes: Homes) -> str:
    """Add the imports that the code uses: those of the modules that
    definitions were taken from, and of their other definitions."""
    used, defined = names_in(text.replace(_IMPORTS, ""))
    needed = used - defined
    statements = {}
    for source in file.sources:
        for imported in [*source.imports, *homes.siblings(source)]:
            if imported.alias not in needed or imported.name in _PLAIN:
                continue
            statement = homes.moved(imported).statement()
            other = statements.setdefault(imported.alias, statement)
            if other != statement:
                raise InputError(
                    f"{file.target}: {other!r} and {statement!r} clash; split "
                    "the file"
                )
    lines = "\n".join(sorted(statements.values()))
    return text.replace(_IMPORTS, lines)

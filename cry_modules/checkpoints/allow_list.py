"""Objects that a yaml file may build.

A recipe is code of whoever runs it. The ``hyperparams.yaml`` of a run's folder
may come from a stranger: it builds only what the recipes of ``hparams/`` do.
"""

import functools
import os
import re
from pathlib import Path
from typing import Dict, Iterator, Set

from hyperpyyaml import resolve_references
from ruamel.yaml import SafeLoader
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from cry_modules.architectures import ARCHITECTURES
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.checkpoints.versions import check_settings_version
from data_prep.files.errors import InputError, require
from data_prep.files.yaml_text import composed

_HPARAMS = Path(__file__).resolve().parents[2] / "hparams"
#: First words of the file that SpeechBrain writes for a run.
RESOLVED = "# Generated"
#: Tags of plain values, all after ``tag:yaml.org,2002:``.
_PLAIN = {"null", "bool", "int", "float", "str", "seq", "map", "timestamp"}
#: Arguments of known objects that say where they write, or what they delete.
_PLACES = ("checkpoints_dir", "save_file")
#: HyperPyYAML's reference to an attribute, ``!ref <logmel.n_mels>``, resolved.
_ATTRIBUTE = "!apply:getattr "


class TextLoader(SafeLoader):
    """Loader for HyperPyYAML in which a text in parentheses stays a text.

    HyperPyYAML parses it as a tuple with PyYAML's unsafe loader, so that a
    value from a table, such as a fold's name, could run code.
    """

    @classmethod
    def add_constructor(cls, tag, constructor):
        """Add a constructor of objects; that of tuples returns the text."""
        if tag == "!tuple":
            super().add_constructor(tag, lambda loader, node: node.value)
        else:
            super().add_constructor(tag, constructor)

    @classmethod
    def add_implicit_resolver(cls, tag, regexp, first=None):
        """Add nothing: it would reach all loaders of the process."""


#: Errors of yaml's libraries, by what a text looks like.
_WRONG_SHAPES = (
    OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError,
)  # fmt: skip
#: What the recipes build that this process was started with: its folds and
#: controls, whose hyperparams.yaml it writes itself, build the same.
_STARTED_WITH: Set[str] = set()


def resolved(path: Path, overrides: Dict) -> str:
    """Yaml file with its references resolved and settings replaced.

    Raises
    ------
    InputError
        It holds no settings; or it is the file of a run's folder, and builds
        what no recipe does.
    """
    try:
        text = Path(path).read_text("utf-8")
        is_of_run = Path(path).resolve().name == YAML_FILE
        is_of_run = is_of_run or text.startswith(RESOLVED)
        if is_of_run:
            check_objects(path, text)
        text = _without_references(str(path), text, _Overrides(overrides))
        objects = objects_of(text)
    except InputError:
        raise
    except (YAMLError, *_WRONG_SHAPES) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is not a yaml file of settings ({why}); pass one of "
            "hparams/"
        )
    if not is_of_run:
        _STARTED_WITH.update(objects)
    return text


class _Overrides(dict):
    """Settings to replace, as a key of a cache: equal if written alike."""

    def __hash__(self) -> int:
        return hash(repr(self))


@functools.lru_cache(maxsize=8)
def _without_references(path: str, text: str, overrides: _Overrides) -> str:
    """Resolve the references of a file with this text, which takes a fifth of a
    second, and a run reads its file often."""
    with open(path, encoding="utf-8") as file:
        return resolve_references(file, overrides).read()


def check_objects(path: Path, text: str) -> None:
    """Refuse a yaml file that builds what no recipe of ``hparams/`` builds.

    References are refused too, as they are resolved later: the file of a run
    has none.
    """
    check_settings_version(path, text)
    unknown = objects_of(text) - _allowed() - _STARTED_WITH
    require(
        not unknown,
        f"{path} builds {min(unknown, default='')[:80]}, which no recipe of "
        "hparams/ does: it could run any code",
        "pass the yaml file that the run was started with, if you trust it",
    )
    _check_places(path, text)


@functools.cache
def _allowed() -> Set[str]:
    """Tags of plain values and of what recipes build."""
    files = [*_HPARAMS.rglob("*.yaml")]
    files += [Path(a.yaml) for a in ARCHITECTURES.values() if a.yaml]
    text = "\n".join(file.read_text("utf-8") for file in files)
    return {
        *(f"tag:yaml.org,2002:{name}" for name in _PLAIN),
        *re.findall(r"!(?:new|name|apply):[\w.]+", text),
        *(f"!new:{a.class_path}" for a in ARCHITECTURES.values()),
        *(_ATTRIBUTE + name for name in re.findall(r"<[^<>]*\.(\w+)>", text)),
    }


def objects_of(text: str) -> Set[str]:
    """Tags of a yaml file, each with the attribute that it refers to."""
    tags = set()
    for node in _nodes(text):
        tag = str(node.tag)
        if tag == _ATTRIBUTE.strip():
            tag = _ATTRIBUTE + " ".join(str(p.value) for p in node.value[1:])
        tags.add(tag)
    return tags


def _check_places(path, text) -> None:
    """Refuse a run's file that writes to another folder than its own."""
    pairs = [
        (key.value, str(value.value))
        for node in _nodes(text)
        if isinstance(node, MappingNode)
        for key, value in node.value
        if key.value in ("output_folder", *_PLACES)
    ]
    roots = {os.path.normpath(v) for key, v in pairs if key not in _PLACES}
    for key, value in pairs:
        parents = map(str, Path(os.path.normpath(value)).parents)
        require(
            key not in _PLACES or roots.intersection(parents),
            f"{path} has {key}: {value:.200}, which is not in its output_folder",
            "get the file of the run again",
        )


def _nodes(text: str) -> Iterator[Node]:
    """Nodes of a yaml file, each once."""
    root = composed(text)
    if not isinstance(root, MappingNode):
        raise ValueError("it has no settings by name")
    seen, nodes = set(), [root]
    while nodes:  # an alias may refer to its parent
        node = nodes.pop()
        if isinstance(node, tuple):
            nodes += node
        elif id(node) not in seen:
            seen.add(id(node))
            yield node
            nodes += [] if isinstance(node.value, str) else node.value

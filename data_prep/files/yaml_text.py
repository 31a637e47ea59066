"""Yaml in which a text stays the text that was typed.

Yaml reads ``no``, ``01``, ``1e3``, ``2022-01-01`` and ``a: b`` as something
else than text, and its two libraries differ in which. Here the names of the
settings that hold a text decide. Nothing that a file names is built or run.
"""

import re
from functools import lru_cache
from typing import Any, Collection, Dict, List, Tuple, Union

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from data_prep.files.errors import InputError, require
from data_prep.files.option_values import Number, Unfit

_NULL = ("", "~", "null", "Null", "NULL")
BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}


@lru_cache(maxsize=8)
def composed(text: str) -> Node:
    """Root of the nodes of a yaml file, which nobody may change; to compose
    one takes a twentieth of a second, and a run reads each of its few often."""
    return YAML().compose(text)


def pairs_of(content: str, source: str, cure: str) -> List[Tuple[str, Node]]:
    """Keys and nodes of the top level of a yaml file, which ``source`` names.

    Raises ``InputError`` if it is not yaml, holds no settings, or one twice.
    """
    try:
        root = composed(content)
    except (YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise InputError(
            f"{source} is not a yaml file of settings ({why}); {cure}"
        )
    is_mapping = isinstance(root, MappingNode)
    require(is_mapping, f"{source} is not a yaml file of settings", cure)
    _check_keys(root, source)
    return [(key.value, node) for key, node in root.value]


def _check_keys(mapping, source):
    keys = [key.value for key, _ in mapping.value]
    for key in keys:
        is_text = isinstance(key, str)
        require(is_text, f"{source} holds {key!r:.80}", "a key must be a text")
        once = keys.count(key) == 1
        require(once, f"{source} holds {key!r} twice", "keep one of them")


def read_settings(
    content: str, source: str, cure: str, texts: Collection[str]
) -> Dict[str, Any]:
    """Read a yaml file of plain values; ``texts`` are the settings, at any
    depth, that hold texts."""
    pairs = pairs_of(content, source, cure)

    def mapping(pairs):
        values = {}
        for key, node in pairs:
            tag = str(node.tag)
            known = tag.startswith("tag:yaml.org,2002:") and "python" not in tag
            problem = f"{source}: {key} is a {tag}, not a value"
            require(known, problem, "settings are plain values")
            is_text = key in texts and not isinstance(node, MappingNode)
            values[key] = (text_of if is_text else value)(node, content)
        return values

    def value(node, content):
        if isinstance(node, MappingNode):
            _check_keys(node, source)
            return mapping((str(key.value), item) for key, item in node.value)
        if isinstance(node, SequenceNode):
            return [value(item, content) for item in node.value]
        return plain(node.value) if node.style is None else node.value

    try:
        return mapping(pairs)
    except RecursionError:
        raise InputError(f"{source} holds itself; remove the alias")


def plain(typed: str) -> Any:
    """Value of an unquoted scalar that is not known to be a text.

    Example
    -------
    >>> [plain(text) for text in ("1e-3", "010", "yes", "null", "1:30")]
    [0.001, 10, True, None, '1:30']
    """
    if typed in _NULL:
        return None
    try:
        return Number()(typed)
    except Unfit:
        return BOOLEANS.get(typed.lower(), typed)


def text_of(node: Node, content: str) -> Union[str, List[str], None]:
    """Text typed for a node, by item if it is a list; None for null."""
    if isinstance(node, SequenceNode):
        return [_typed(item, content) for item in node.value]
    if node.style is None and node.value in _NULL:
        return None
    return _typed(node, content)


def _typed(node, content):
    if isinstance(node.value, str):
        return node.value
    # A label such as `pain: no`, which yaml takes for settings.
    return content[node.start_mark.index : node.end_mark.index].strip()


def text_or_texts(typed: str) -> Union[str, List[str], None]:
    """Value of a text on a command line: ``null``, or a list in brackets."""
    stripped = typed.strip()
    if stripped == "null":
        return None
    if stripped[:1] == "[" and stripped[-1:] == "]":
        return listed(typed)
    return typed


def listed(typed: str) -> List[str]:
    """Items of a list as typed on a command line.

    Example
    -------
    >>> listed("[no, 01, 'a, b', pain: yes]")
    ['no', '01', 'a, b', 'pain: yes']
    """
    quoted = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
    inside = typed.strip()[1:-1].strip()
    items = re.findall(rf"\s*({quoted}|[^,]+?|)\s*(?:,|$)", inside)
    if not items[-1]:  # after the last item, or its comma
        items.pop()
    is_quoted = re.compile(quoted).fullmatch
    return [yaml.safe_load(i) if is_quoted(i) else i for i in items]

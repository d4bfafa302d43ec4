"""JSON and YAML of users, from ConfigMaps: safe to load and to walk, whatever the text is.

One namespace's ConfigMap must not bring down the operator of all. Depth and size are therefore checked before any value is made:
a few lines of YAML aliases, or of merge keys (`<<`), can stand for more than fits into any memory.
`tests/unit/reconcile/test_documents.py` attacks it.
"""

from __future__ import annotations

import json
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MOST_VALUES = 2_000_000
"""More than a megabyte of text can hold without aliases."""

_TEXT_PER_VALUE = 100
_LONGEST_BASE_60 = 64
_NUMBERS = (":int", ":float")
_NOT_IN_JSON = (":binary", ":set", ":omap", ":pairs")

_DEEPEST = 50
"""Far more than a task has."""


def loaded(text: str) -> Any:
    """The value that a JSON or YAML text stands for.

    Raises:
        ValueError: if it is neither, too deep, or too large; the message says which.
    """
    try:
        try:
            document = json.loads(text)
        except ValueError:
            return _constructed(text)
        _check_value(document, 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" near line {mark.line + 1}" if mark else ""
        raise ValueError(f"neither JSON nor YAML{place}") from None
    except (RecursionError, OverflowError):
        raise ValueError("is nested too deeply, or too large with its YAML aliases written out") from None
    return document


def _constructed(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        YAMLError: if it is not YAML.
        RecursionError, OverflowError: if it is too deep, or too large.
        ValueError: if a value is not of the type that its tag says.
    """
    _check_depth(text)
    root = yaml.compose(text, Loader=_Loader)
    if root is None:
        return None
    _weigh(root, {})
    try:
        return SafeConstructor().construct_document(root)
    except (AttributeError, LookupError, TypeError):
        # How PyYAML refuses `!!bool x`, `!!int ''` and `!!timestamp x`.
        raise ValueError("holds a value that is not of the type that its YAML tag says: leave the tag out") from None


def _check_value(value: Any, depth: int) -> None:
    """Refuse a JSON value that is nested too deeply for those who walk over it.

    Raises:
        RecursionError: if it is.
    """
    if isinstance(value, dict | list):
        if depth == _DEEPEST:
            raise RecursionError
        for child in value.values() if isinstance(value, dict) else value:
            _check_value(child, depth + 1)


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply before it is composed: the composer recurses in C and would take the process down.

    Raises:
        RecursionError: if it is.
        YAMLError: if it is not YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _weigh(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are with all aliases written out, found without writing them out; long texts count as several.

    It bounds merge keys as well: what they copy into a mapping is a part of what their aliases stand for.

    Raises:
        OverflowError: if they are too many, or contain themselves.
        ValueError: if one cannot be made, or has no counterpart in JSON.
    """
    if node.tag.endswith(_NOT_IN_JSON):
        raise ValueError(
            f"holds a value with the YAML tag !!{node.tag.rpartition(':')[2]}, which has no counterpart in JSON: leave the tag out"
        )
    if isinstance(node, yaml.ScalarNode):
        if node.tag.endswith(_NUMBERS) and ":" in node.value and len(node.value) > _LONGEST_BASE_60:
            # PyYAML makes it in a time that grows with the square of its length.
            raise ValueError(
                f"holds a YAML number to the base of 60 (1:2:3) of more than {_LONGEST_BASE_60} characters: put it in quotes"
            )
        return 1 + len(node.value) // _TEXT_PER_VALUE
    weight = known.get(id(node))
    if weight is None:
        known[id(node)] = _MOST_VALUES  # until it is known: one that contains itself is too heavy
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        weight = known[id(node)] = 1 + sum(_weigh(child, known) for child in children)
    if weight > _MOST_VALUES:
        raise OverflowError
    return weight

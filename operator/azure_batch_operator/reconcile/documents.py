"""JSON and YAML of users in ConfigMaps: safe to parse and to traverse, whatever the text is.

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

_MAX_VALUES = 200_000
"""Values of a YAML text with all aliases written out: more than a megabyte of tasks has. Each takes 350 bytes."""

_TEXT_PER_VALUE = 20
"""Characters that weigh as much as a value: tasks with all aliases written out are sent, so their text counts as well."""
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
    _check_size(text)
    root = yaml.compose(text, Loader=_Loader)
    if root is None:
        return None
    _check_tags(root)
    try:
        return SafeConstructor().construct_document(root)
    except (AttributeError, LookupError, TypeError):
        # How PyYAML refuses `!!bool x`, `!!int ''` and `!!timestamp x`.
        raise ValueError("contains a value that does not match its YAML tag: remove the tag") from None


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


def _check_size(text: str) -> None:
    """Refuse what is nested too deeply or stands for too much, before anything is composed.

    The composer recurses in C and would take the process down. Aliases, and with them what merge keys copy into a mapping, weigh
    what they stand for; that is found without writing them out. Long texts weigh as much as several values.

    Raises:
        RecursionError, OverflowError: if it is.
        YAMLError: if it is not YAML.
    """
    total, begun, weights = 0, list[tuple[str | None, int]](), dict[str, int]()
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            if anchor is not None:
                weights[anchor] = total - before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        before = total
        if isinstance(event, yaml.AliasEvent):
            total += weights.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1 + len(event.value) // _TEXT_PER_VALUE
            if event.anchor is not None:
                weights[event.anchor] = total - before
        else:
            total += 1
            begun.append((event.anchor, before))
            if len(begun) > _DEEPEST:
                raise RecursionError
            if event.anchor is not None:
                weights[event.anchor] = _MAX_VALUES  # until it is known: one that contains itself is too heavy
        if total > _MAX_VALUES:
            raise OverflowError


def _check_tags(root: yaml.Node) -> None:
    """Refuse values that cannot be made in reasonable time, or that have no counterpart in JSON.

    Raises:
        ValueError: the message says which.
    """
    left, seen = [root], {id(root)}
    while left:
        node = left.pop()
        if node.tag.endswith(_NOT_IN_JSON):
            tag = node.tag.rpartition(":")[2]
            raise ValueError(
                f"contains a value with the YAML tag !!{tag}, which does not exist in JSON: remove the tag"
            )
        if isinstance(node, yaml.ScalarNode):
            if node.tag.endswith(_NUMBERS) and ":" in node.value and len(node.value) > _LONGEST_BASE_60:
                # PyYAML makes it in a time that grows with the square of its length.
                raise ValueError(
                    f"contains a base-60 YAML number (1:2:3) of more than {_LONGEST_BASE_60} characters: put it in quotes"
                )
            continue
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        fresh = [child for child in children if id(child) not in seen]
        seen.update(map(id, fresh))
        left += fresh

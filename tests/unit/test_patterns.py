"""No pattern takes more than linear time of a text: a tenant's text of any length is matched on the event loop.

Every compiled pattern of every module is tried with texts made of the pattern itself: each beginning of what it matches, many
times, so that each place in the text is a start that fails late.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

PACKAGES = ("azure_batch_operator",)
"""Not the plugin: its patterns are for what the person types who runs it."""
SHORT, LONG = 8_192, 32_768
"""Characters of texts whose times are compared; the CRDs allow twice as many of a command line."""
SLOW = 0.1
"""Seconds of CPU of this thread below which nothing is compared; a linear pattern takes milliseconds of the longer text."""
STEEP = 9.0
"""The longer text takes 4 times as long as the shorter one of a linear pattern, and 16 times of a quadratic one."""
METHODS = ("search", "sub", "match", "fullmatch", "finditer", "findall", "split")
INLINE = frozenset({*METHODS, "compile", "subn"})


def sources() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.submodule_search_locations
        for module in pkgutil.walk_packages(found.submodule_search_locations, f"{package}."):
            spec = importlib.util.find_spec(module.name)
            if spec is not None and spec.origin and not module.name.endswith("__main__"):
                yield module.name, Path(spec.origin)


def compiled(value: Any) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(compiled(item) for item in value.values())
    elif isinstance(value, tuple | list | set | frozenset):
        yield from chain.from_iterable(compiled(item) for item in value)
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield from compiled(value.__self__)


def inline(source: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Methods and patterns of calls such as `re.sub("…", …)`."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in INLINE):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and node.func.attr != "compile":
                yield node.func.attr, re.compile(first.value, re.DOTALL)


def patterns() -> dict[str, tuple[re.Pattern[str], frozenset[str]]]:
    """Patterns by module and name, with the methods that are called of them; all methods if that is not seen."""
    texts = {module: path.read_text("utf-8") for module, path in sources()}
    calls: dict[str, set[str]] = {}
    for name, method in re.findall(rf"\b(\w+)\.({'|'.join(METHODS)})\b", "\n".join(texts.values())):
        calls.setdefault(name, set()).add(method)
    found = {}
    for module, text in texts.items():
        for name, value in vars(importlib.import_module(module)).items():
            for number, pattern in enumerate(compiled(value)):
                used = frozenset(calls.get(name, METHODS))
                found[f"{module.partition('.')[2]}:{name}{number or ''}"] = pattern, used
        for number, (method, pattern) in enumerate(inline(text)):
            found[f"{module.partition('.')[2]}:{method}{number}"] = pattern, frozenset({method})
    return found


def samples(parsed: Any) -> Iterator[str]:
    """Texts that a sequence of a pattern matches, for each alternative in it."""
    beginnings = [""]
    for item in parsed:
        beginnings = [before + more for before in beginnings for more in dict.fromkeys(members(item))][:8]
    yield from beginnings


def members(item: Any) -> Iterator[str]:
    kind, value = item
    if kind is op.LITERAL:
        yield chr(value)
    elif kind in (op.NOT_LITERAL, op.ANY):
        yield from ("a", "\\")
    elif kind is op.IN:
        yield from one_of(value)
    elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inside = value
        yield from (text * max(1, least) for text in samples(inside))
        yield from (text * min(max(1, least) + 3, int(most)) for text in samples(inside))
        if least == 0:
            yield ""
    elif kind is op.BRANCH:
        yield from chain.from_iterable(samples(branch) for branch in value[1])
    elif kind is op.SUBPATTERN:
        yield from samples(value[3])
    elif kind is op.ATOMIC_GROUP:
        yield from samples(value)
    else:
        yield ""


def one_of(choices: Any) -> Iterator[str]:
    negated = choices[0][0] is op.NEGATE
    if negated:
        matched = re.compile(f"[^{''.join(re.escape(chr(value)) for kind, value in choices if kind is op.LITERAL)}]")
        yield from [text for text in "a0 \\'\"" if matched.fullmatch(text)][:2]
        return
    for kind, value in choices[:3]:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.RANGE:
            yield chr(value[0])
        elif kind is op.CATEGORY:
            yield {op.CATEGORY_DIGIT: "0", op.CATEGORY_SPACE: " "}.get(value, "a")


def attacks(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each beginning of what it matches, to be followed by itself, or by its last character, many times."""
    parsed = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    units = dict.fromkeys(text for end in range(1, len(parsed) + 1) for text in list(samples(parsed[:end]))[:6] if text)
    branches = [item for item in parsed if item[0] in (op.BRANCH, op.SUBPATTERN)]
    for item in branches:
        choices = item[1][1] if item[0] is op.BRANCH else [item[1][3]]
        for inside in choices:
            for end in range(1, len(inside) + 1):
                units |= dict.fromkeys(text for text in list(samples(inside[:end]))[:3] if text)
    for unit in [*units][:40]:
        yield unit, unit
        yield unit, unit[-1]
    for opening in "\"'":
        yield opening, f"\\{opening}"


def seconds(pattern: re.Pattern[str], methods: frozenset[str], text: str) -> float:
    before = time.thread_time()
    if methods & {"search", "sub", "finditer", "findall", "split"}:
        sum(1 for _ in pattern.finditer(text))
    if methods & {"match", "fullmatch"}:
        pattern.fullmatch(text)
    return time.thread_time() - before


def steep(pattern: re.Pattern[str], methods: frozenset[str]) -> list[str]:
    """The first text, as its beginning and what is repeated behind it, of which the pattern takes more than linear time."""
    for beginning, part in attacks(pattern):
        texts = [beginning + part * (length // len(part)) + "\x00" for length in (SHORT, LONG)]
        longer = seconds(pattern, methods, texts[1])
        if longer > SLOW and longer > STEEP * seconds(pattern, methods, texts[0]):
            return [beginning, part]
    return []


TRUSTED = frozenset({"settings:_SERVICE_LINK"})
"""Patterns for texts of whoever runs the operator."""
ALL = {name: found for name, found in patterns().items() if name not in TRUSTED}


@pytest.mark.parametrize("name", ALL)
def test_a_pattern_is_linear(name: str) -> None:
    pattern, methods = ALL[name]
    assert steep(pattern, methods) == [], pattern.pattern


@pytest.mark.parametrize("quadratic", [r'"(?:[^"\\]|\\.)*"', r"a[a-z]*!", r"eyJ[\w]{5,}\."])
def test_a_quadratic_pattern_is_found(quadratic: str) -> None:
    assert steep(re.compile(quadratic), frozenset({"search"}))

"""Neither operator nor plugin takes a 404 for an absence without its error code (`batch.is_gone`): it may come from a proxy.

What was believed gone was not deleted, not run again, and not created, so this is a kind of fault that no new call may have.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

import pytest

from azure_batch_operator.batch import NotFoundError, is_gone
from azure_batch_operator.generate import ROOT

PACKAGES = (ROOT / "operator" / "azure_batch_operator", ROOT / "kubectl" / "azure_batch_kubectl")
HEADS = {
    # The response to a HEAD has no body, so no code: the file is waited for, or asked for with a GET (`missing.reason`).
    "azure_batch_kubectl/reading.py": ["_look"],
    "azure_batch_kubectl/logs_command.py": ["_single", "_one", "_to_tail"],
}
"""Functions whose handlers need not look at a code."""


def _names(node: ast.AST | None) -> set[str]:
    """All names in a part of a program, with those of members."""
    parts = list(ast.walk(node)) if node is not None else []
    members = {part.attr for part in parts if isinstance(part, ast.Attribute)}
    return members | {part.id for part in parts if isinstance(part, ast.Name)}


def _calls(statements: list[ast.stmt]) -> set[str]:
    parts = (part for statement in statements for part in ast.walk(statement))
    return {name for part in parts if isinstance(part, ast.Call) for name in _names(part.func)}


def _is_raised_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[0], ast.Raise) and handler.body[0].exc is None


def unproven(source: str, heads: Collection[str] = ()) -> list[int]:
    """Lines that handle or suppress a `NotFoundError` without a look at its code.

    Args:
        heads: functions that may.
    """
    tree = ast.parse(source)
    exempt = {
        id(part)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name in heads
        for part in ast.walk(function)
    }
    parts = [part for part in ast.walk(tree) if id(part) not in exempt]
    handlers = [
        handler.lineno
        for handler in parts
        if isinstance(handler, ast.ExceptHandler)
        if "NotFoundError" in _names(handler.type) and not _is_raised_again(handler)
        if "is_gone" not in _calls(handler.body)
    ]
    suppressed = [
        call.lineno
        for call in parts
        if isinstance(call, ast.Call) and "suppress" in _names(call.func)
        if any("NotFoundError" in _names(argument) for argument in call.args)
    ]
    return handlers + suppressed


def test_each_handler_of_a_404_looks_at_its_code() -> None:
    sources = {
        str(path.relative_to(package.parent)): path.read_text()
        for package in PACKAGES
        for path in package.rglob("*.py")
    }
    assert sum("except NotFoundError" in source for source in sources.values()) >= 14
    assert HEADS.keys() <= sources.keys()
    found = {path: lines for path, source in sources.items() if (lines := unproven(source, HEADS.get(path, ())))}
    assert found == {}, "ask is_gone(error) before an absence is concluded; raise what proves nothing"


def test_a_suppressed_404_is_found() -> None:
    assert unproven("with suppress(NotFoundError):\n    call()\n") == [1]
    assert unproven("with suppress(KeyError):\n    call()\n") == []


def test_a_function_that_may_is_left_out() -> None:
    source = "def head():\n    try:\n        call()\n    except NotFoundError:\n        pass\n"
    assert unproven(source) == [4]
    assert unproven(source, ["head"]) == []


@pytest.mark.parametrize(
    ("handler", "lines"),
    [
        ("except NotFoundError:\n    pass", [3]),
        ("except (ConflictError, batch.NotFoundError) as error:\n    found = None", [3]),
        ("except NotFoundError as error:\n    if not is_gone(error):\n        raise", []),
        ("except NotFoundError as error:\n    return await self.is_gone(request, error)", []),
        ("except NotFoundError:\n    raise", []),
        ("except NotFoundError:\n    raise gone from None", [3]),
        ("except BatchError:\n    pass", []),
    ],
)
def test_a_handler_that_believes_a_404_is_found(handler: str, lines: list[int]) -> None:
    assert unproven(f"try:\n    call()\n{handler}\n") == lines


@pytest.mark.parametrize(
    ("code", "codes", "gone"),
    [
        ("TaskNotFound", None, True),
        ("JobNotFound", None, True),
        ("ResourceNotFound", None, False),
        (None, None, False),
        ("TaskNotFound", {"tasknotfound"}, True),
        ("JobNotFound", {"tasknotfound"}, False),
    ],
)
def test_only_a_code_that_names_a_resource_says_that_it_is_gone(
    code: str | None, codes: set[str] | None, gone: bool
) -> None:
    error = NotFoundError("", status=404, code=code)
    assert is_gone(error, *([codes] if codes else [])) is gone

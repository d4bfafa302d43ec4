"""docs/operations.md: for each operation its client method, its route, its use in Kubernetes, and a test."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from artifacts.user_places import PLACES
from azure_batch_emulator.web.routes import ROUTES
from azure_batch_operator.generate import ROOT

CONFORMANCE = ROOT / "tests" / "conformance"
BODIES = ROOT / "tests" / "support" / "batch_bodies.py"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
HELPERS = {
    "create_pool": "make_pool",
    "create_job": "make_job",
    "create_task": "add_task",
    "get_task_file": "text_of",
    "evaluate_pool_auto_scale": "evaluated",
    "list_jobs_from_schedule": "jobs",
}
"""Helper through which tests call a method; `calls_of` tells whether it does."""


def client_method(operation: str) -> str:
    """The official client's method for an operation id: ``Pools_CreatePool`` is ``create_pool``."""
    return _WORD.sub("_", operation.partition("_")[2]).lower()


def _uses_client(text: str) -> bool:
    return "from azure.batch import" in text


@lru_cache(maxsize=1)
def methods_tested() -> dict[str, list[str]]:
    """Tests per client method, as ``file::test``."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONFORMANCE.glob("test_*.py")):
        text = file.read_text()
        if not _uses_client(text):
            continue
        for block in re.split(r"^(?=(?:async )?def test_)", text, flags=re.MULTILINE)[1:]:
            name = re.match(r"(?:async )?def (test_\w+)", block)
            if name is None:
                continue
            words = set(re.findall(r"\bclient\.(\w+)\b", block)) | set(re.findall(r"\b(\w+)\(", block))
            for route in ROUTES:
                method = client_method(route.operation)
                if method in words or HELPERS.get(method) in words:
                    found.setdefault(method, []).append(f"{file.stem}::{name[1]}")
    return found


def calls_of(helper: str) -> list[set[str]]:
    """Methods of the client that a helper calls, for each function of that name which tests of the client can use."""
    files = [BODIES, *(file for file in CONFORMANCE.glob("test_*.py") if _uses_client(file.read_text()))]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == helper]
    return [{name for node in ast.walk(function) if (name := _method(node))} for function in functions]


def _method(node: ast.AST) -> str:
    """Method of the client that a node calls; empty if it calls none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return node.func.attr if node.func.value.id == "client" else ""
    return ""


def page() -> str:
    """docs/operations.md."""
    tests = methods_tested()
    lines = [
        "# The 77 operations",
        "",
        "All operations of api-version 2024-07-01.20.0, with the method of the official `azure-batch` client (synchronous and",
        "asynchronous), the route in the emulator, where the operation is used in Kubernetes, and a test in `tests/conformance/`.",
        "`kubectl azure-batch operate` creates each BatchOperation on this page.",
        "[From az batch to kubectl](az-batch.md) lists the commands of `az batch`.",
        "This page is written by `make crds`.",
        "",
        "| Operation | Client method | Route | Success | Use in Kubernetes | Test |",
        "|---|---|---|---|---|---|",
    ]
    for route in ROUTES:
        method = client_method(route.operation)
        found = tests.get(method, [])
        example = f"`{found[0]}`" if found else ""
        target = f"`{route.method} {route.template}`"
        lines.append(
            f"| {route.operation} | `{method}` | {target} | {route.status} | {PLACES.get(route.operation, '')} | {example} |"
        )
    return "\n".join(lines) + "\n"

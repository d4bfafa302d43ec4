"""What is imported when.

No files import each other in a circle, also not for types only or inside functions: each can be read after those it needs.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

from azure_batch_operator.generate import ROOT


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages: list[str] = project["tool"]["importlinter"]["root_packages"]
    return grimp.build_graph(*packages, cache_dir=None)


def _check(graph: grimp.ImportGraph) -> None:
    """Raises CycleError, which names the files of a circle."""
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


def test_no_files_import_each_other(graph: grimp.ImportGraph) -> None:
    for folder in ("operator", "emulator", "kubectl"):
        files = len(list((ROOT / folder).rglob("*.py")))
        modules = [name for name in graph.modules if f"azure_batch_{folder}" in name]
        assert len(modules) == files, "the graph has all files"
    _check(graph)


def test_a_circle_is_found(graph: grimp.ImportGraph) -> None:
    graph.add_import(importer="azure_batch_emulator.clock", imported="azure_batch_emulator.emulator")
    with pytest.raises(CycleError):
        _check(graph)
    graph.remove_import(importer="azure_batch_emulator.clock", imported="azure_batch_emulator.emulator")


def test_the_operator_loads_no_library_that_only_some_accounts_need() -> None:
    """azure-identity takes 10 MiB; only accounts that sign in with Microsoft Entra ID need it (docs/performance.md#memory)."""
    code = "import sys, azure_batch_operator.cli, azure_batch_operator.app; print('azure.identity' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

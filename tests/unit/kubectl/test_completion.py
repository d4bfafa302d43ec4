"""Completion of the plugin's words, as kubectl asks for it."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.completion import lines
from azure_batch_operator.generate import ROOT


def values(*words: str) -> list[str]:
    """The proposals without their descriptions, and the directive."""
    return [line.partition("\t")[0] for line in lines(words)]


@pytest.mark.parametrize(
    ("words", "proposals"),
    [
        (["su"], ["submit", "suspend", ":4"]),
        (["nodes", "dr"], ["drain", ":4"]),
        (["nodes", "drain", "cpu", "--ta"], ["--tasks", ":4"]),
        (["nodes", "drain", "cpu", "--tasks", "t"], ["terminate", "taskcompletion", ":4"]),
        (["top", "-o", ""], ["json", "yaml", "name", ":4"]),
        (["submit", ""], [":0"]),
        (["why", "bj/x", "no"], [":4"]),
    ],
)
def test_words_are_completed(words: list[str], proposals: list[str]) -> None:
    assert values(*words) == proposals


def test_without_words_all_commands_are_proposed() -> None:
    assert values("") == [*sorted(plugin.commands), ":4"]
    assert lines([]) == lines([""])


def test_a_proposal_has_its_description() -> None:
    assert lines(["nodes", "ss"])[0].startswith("ssh\tLog in to a node with ssh")


def test_the_program_is_the_one_that_kubectl_looks_for() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["kubectl_complete-azure_batch"].partition(":")
    assert function == "main"
    program = f"import sys\nsys.path.insert(0, {str(ROOT / 'kubectl')!r})\nfrom {module} import main\nmain()"
    done = subprocess.run([sys.executable, "-c", program, "tr"], capture_output=True, text=True, check=True)
    description = "Show a job with its account, its pool, its..."
    assert done.stdout == f"tree\t{description}\n:4\n"

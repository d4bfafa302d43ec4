"""Completion of the plugin's words, as kubectl asks for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from azure_batch_kubectl import proposals
from azure_batch_kubectl.__main__ import COMPLETE
from azure_batch_kubectl.cli import plugin
from azure_batch_kubectl.cluster import Place
from azure_batch_kubectl.completion import lines
from azure_batch_operator.api.kinds import KINDS
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
        (["top", "-o", "w"], ["wide", ":4"]),
        (["top", "-o", "jsonpath"], ["jsonpath=", "jsonpath-as-json=", "jsonpath-file=", ":4"]),
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


class Asked:
    """A cluster that knows names of objects, and what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, str, str]] = []
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    @asynccontextmanager
    async def connected(self, place: object) -> AsyncIterator[Asked]:
        self.place = place
        yield self

    async def names(self, plural: str, limit: int, fields: str = "") -> list[str]:
        assert limit <= 500
        self.calls.append((self.place, plural, fields))
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return [f"{plural[:6]}-a", f"{plural[:6]}-b", "other"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    cluster = Asked()
    monkeypatch.setattr("azure_batch_kubectl.cluster.connected", cluster.connected)
    return cluster


@pytest.mark.parametrize(
    ("words", "proposals", "plural"),
    [
        (["why", "bp/"], ["bp/batchp-a", "bp/batchp-b", "bp/other", ":4"], "batchpools"),
        (["why", "bp/o"], ["bp/other", ":4"], "batchpools"),
        (["why", "b"], ["bj/", "bt/", "bjs/", "bop/", "bp/", "bacc/", ":6"], None),
        (["tree", "ba"], ["batchj-a", "batchj-b", ":4"], "batchjobs"),
        (["suspend", "o"], ["other", ":4"], "batchjobs"),
        (["logs", "render/o"], ["render/other", ":4"], "batchtasks"),
        (["nodes", "ls", "batchp-b"], ["batchp-b", ":4"], "batchpools"),
        (["nodes", "drain", ""], ["batchp-a", "batchp-b", "other", ":4"], "batchpools"),
        (["submit", "--pool", "o"], ["other", ":4"], "batchpools"),
        (["top", "-n", "o"], ["other", ":4"], "namespaces"),
        (["diff", "bjs/o"], ["bjs/other", ":4"], "batchjobschedules"),
    ],
)
def test_names_of_objects_are_completed(
    asked: Asked, words: list[str], proposals: list[str], plural: str | None
) -> None:
    assert values(*words) == proposals
    assert [called for _, called, _ in asked.calls] == ([plural] if plural else [])


def test_all_kinds_are_proposed() -> None:
    assert {info.short: info.plural for info in KINDS.values()} == proposals._KINDS


def test_names_are_those_of_the_cluster_and_namespace_that_the_words_mean(asked: Asked) -> None:
    values("logs", "-n", "team-a", "--context", "prod", "render/")
    assert asked.calls == [(Place(None, "prod", "team-a"), "batchtasks", "spec.jobRef.name=render")]


def test_a_cluster_that_cannot_be_asked_proposes_nothing(asked: Asked) -> None:
    asked.error = OSError("no route")
    assert values("tree", "") == [":4"]


def test_a_cluster_that_does_not_answer_is_not_waited_for(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure_batch_kubectl.proposals.SECONDS", 0.0)
    asked.answers.clear()
    assert values("tree", "") == [":4"]


def test_a_word_that_is_an_option_asks_nothing(asked: Asked) -> None:
    assert values("tree", "--al") == ["--all", ":4"]
    assert asked.calls == []


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "plain,bp/other"), ("zsh", "plain\nbp/other\n_"), ("fish", "plain,bp/other")]
)
def test_a_shell_can_ask_the_program_itself(asked: Asked, shell: str, line: str) -> None:
    words = "kubectl-azure_batch why bp/o"
    environment = {COMPLETE: f"{shell}_complete", "COMP_WORDS": "bp/o" if shell == "fish" else words, "COMP_CWORD": "2"}
    environment |= {"COMP_WORDS": words, "COMP_CWORD": "bp/o"} if shell == "fish" else {}
    done = CliRunner().invoke(plugin, [], env=environment, prog_name="kubectl azure-batch", complete_var=COMPLETE)
    assert line in done.stdout

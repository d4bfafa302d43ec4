"""The example of `kubectl azure-batch why` in docs/kubectl.md is what the plugin prints."""

from __future__ import annotations

import re

import yaml

from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.generate import ROOT
from support.plugin_on_stage import reached, why
from support.stage import Stage

PAGE = (ROOT / "docs" / "kubectl.md").read_text()
STDERR = "licence server licences.example.com:27000 does not answer\n"


def example() -> str:
    """The example without its line breaks."""
    [block] = re.findall(r"(?m)^    \$ kubectl azure-batch why bj/checks\n((?:^    .*\n)+)", PAGE)
    return " ".join(block.split())


async def test_the_example_of_the_page_is_printed(stage: Stage) -> None:
    await stage.ready_pool()
    stage.azure.simulate("checks/licence", exitCode=3, stderr=STDERR)
    stage.apply(*yaml.safe_load_all((ROOT / "manifests" / "samples" / "job-checks.yaml").read_text()))
    await reached(stage, "bj", "TasksFailed", "checks")
    assert await why(stage, Kind.JOB, "checks") == example()

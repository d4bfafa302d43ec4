"""Each line of the threat model has tests, and a sabotage that they notice; each reader of outside text is attacked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mutants.__main__ import mutants
from unit.test_hostile_input import READERS
from unit.test_hostile_text import WAYS

ROOT = Path(__file__).parents[2]
DEFENSES: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "security" / "defenses.yaml").read_text())
THREATS: list[dict[str, Any]] = DEFENSES["threats"]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()


def rows() -> list[str]:
    """What the rows of the table say that somebody wants."""
    table = [line for line in PAGE.splitlines() if line.startswith("|")][2:]
    return [line.split("|")[2].strip() for line in table]


def exists(test: str) -> bool:
    """Whether a test of this name is in the file."""
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.is_file() and re.search(rf"^\s*(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None


def test_each_line_of_the_threat_model_has_tests() -> None:
    assert [each["wants"] for each in THREATS] == rows()
    assert all(each["tests"] for each in THREATS)


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat["wants"])
def test_each_test_and_each_sabotage_exists(threat: dict[str, Any]) -> None:
    assert [test for test in threat["tests"] if not exists(test)] == []
    tests = {each.name: each.test for each in mutants()}
    assert [name for name in threat.get("sabotages", ()) if name not in tests] == []
    assert threat.get("sabotages") or threat.get("end-to-end")


def test_paths_that_the_page_names_as_tests_exist() -> None:
    for path in re.findall(r"`(tests/[\w/.]+\.py)`", PAGE):
        assert (ROOT / path).is_file()


def test_each_reader_and_each_output_is_attacked() -> None:
    """The lists in the file are for people; what they name must be what the tests do."""
    for listed, attacked in ((DEFENSES["readers"], READERS), (DEFENSES["outputs"], WAYS)):
        here = {name for name, test in listed.items() if test is None}
        assert here <= set(attacked)
        assert [test for test in listed.values() if test is not None and not exists(test)] == []
    assert set(READERS) <= set(DEFENSES["readers"])


def test_tokens_are_granted_of_one_service_account_alone() -> None:
    documents = yaml.safe_load_all((ROOT / "manifests/components/workload-identity/rbac.yaml").read_text())
    rules = [
        rule for each in documents for rule in each.get("rules", ()) if "serviceaccounts/token" in rule["resources"]
    ]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in rules] == [(["azure-batch"], ["create"])]


@pytest.mark.parametrize("name", ["operator", "emulator"])
def test_each_library_is_pinned_by_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []

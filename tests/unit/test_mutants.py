"""The sabotages of `make mutants` can be applied: what they replace stands where they look for it."""

from __future__ import annotations

import re

import pytest

from mutants.__main__ import ROOT, Mutant, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_what_is_replaced_stands_there_once(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert (ROOT / edit.file).read_text().count(edit.find) == 1, edit.file
        assert edit.find != edit.put


def test_names_are_unique_and_the_tests_exist() -> None:
    listed = mutants()
    assert len({each.name for each in listed}) == len(listed)
    for each in listed:
        file, _, name = each.test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), f"{each.name}: {each.test}"


def test_kinds_are_documented() -> None:
    documented = re.findall(r"^\| (\d+) \| ", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE)
    assert {mutant.kind for mutant in mutants()} == {int(number) for number in documented}

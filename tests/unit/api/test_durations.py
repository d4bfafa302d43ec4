"""Months where minutes were meant: `P5M` is five months, `PT5M` five minutes. No member of a spec takes months or years."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CRDS = sorted((Path(__file__).parents[3] / "crds").glob("azurebatch.io_*.yaml"))


def durations(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member that is a duration, by the rule that it has."""
    for rule in schema.get("x-kubernetes-validations", []):
        if "ISO 8601 duration" in rule.get("message", "") and rule["rule"].startswith("self.matches("):
            yield path, rule
    for name, member in schema.get("properties", {}).items():
        yield from durations(member, f"{path}.{name}")
    if "items" in schema:
        yield from durations(schema["items"], f"{path}[]")


def found() -> list[tuple[str, dict[str, Any]]]:
    """Of all kinds."""
    result = []
    for file in CRDS:
        body = yaml.safe_load(file.read_text())
        spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        result += [(f"{body['spec']['names']['kind']}{path}", rule) for path, rule in durations(spec, "")]
    return result


DURATIONS = found()


@pytest.mark.parametrize(
    "member", ["resizeTimeout", "constraints.maxWallClockTime", "recurrenceInterval", "startWindow"]
)
def test_known_durations_are_found(member: str) -> None:
    assert any(path.endswith(f".{member}") for path, _ in DURATIONS)


@pytest.mark.parametrize(("path", "rule"), DURATIONS, ids=[path for path, _ in DURATIONS])
def test_months_and_years_are_refused(path: str, rule: dict[str, Any]) -> None:
    [pattern] = re.findall(r"self\.matches\('(.*)'\)", rule["rule"])
    assert not re.search(pattern, "P5M"), path
    assert not re.search(pattern, "P1Y"), path
    assert not re.search(pattern, "P1Y2M3DT4H"), path
    for text in ("P1DT", "P5MT", "PT5M5H", "PT1S5M", "P1D2W"):
        assert not re.search(pattern, text), (path, text)
    for text in (
        "PT5M",
        "P7D",
        "P2W",
        "P1DT12H",
        "PT1.5S",
        "PT5H1S",
        "PT5M1S",
        "PT1H2M3S",
        "P1WT1H",
        "P10675199DT2H48M5.4775807S",
    ):
        assert re.search(pattern, text), (path, text)

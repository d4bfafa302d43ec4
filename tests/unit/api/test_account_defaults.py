"""What an account gives its pools and jobs has the bounds that it has in their own specs: else it is refused far from its cause."""

from __future__ import annotations

import re
from typing import Any

import pytest

from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.crds import crd

KIND_OF = {"pool": Kind.POOL, "job": Kind.JOB}
LEFT_OUT = {"commonEnvironmentSettings": "valueFrom"}
"""Members that defaults do not have: Secrets and ConfigMaps are of the namespace of the job, not of the account."""


def spec_of(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = crd(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def bounds(node: Any) -> Any:
    """A schema without its texts."""
    if isinstance(node, dict):
        return {name: bounds(each) for name, each in node.items() if name != "description" or isinstance(each, dict)}
    return [bounds(each) for each in node] if isinstance(node, list) else node


def without(member: str, node: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list without a member of its items, and without the rules about it."""
    items = node["items"]
    rules = [each for each in items.get("x-kubernetes-validations", []) if member not in each["rule"]]
    items["properties"].pop(member)
    items = {name: each for name, each in items.items() if name != "x-kubernetes-validations"}
    return node | {"items": items | ({"x-kubernetes-validations": rules} if rules else {})}


def members_of(rule: str) -> set[str]:
    return set(re.findall(r"self\.(\w+)", rule.replace("oldSelf.", "oldSelf self.")))


@pytest.mark.parametrize("name", KIND_OF)
def test_a_default_has_the_bounds_of_the_property_that_it_stands_for(name: str) -> None:
    own = spec_of(KIND_OF[name])
    defaults = spec_of(Kind.ACCOUNT)["properties"]["defaults"]["properties"][name]
    for member, found in defaults["properties"].items():
        wanted = bounds(own["properties"][member])
        if member in LEFT_OUT:
            wanted = without(LEFT_OUT[member], wanted)
        assert bounds(found) == wanted, f"defaults.{name}.{member}"
    rules = [each["rule"] for each in own["x-kubernetes-validations"] if "oldSelf" not in each["rule"]]
    about = [each for each in rules if members_of(each) and members_of(each) <= defaults["properties"].keys()]
    assert {each["rule"] for each in defaults.get("x-kubernetes-validations", [])} == set(about)

"""Bodies as people write them, under spec, at the real API server: what is accepted, and with which words the rest is refused.

`tests/data/bodies/refusals.txt` holds the words. After a change of rules write it again with `UPDATE_GOLDEN=1` and review the
difference: each message must tell a user what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_batch_operator.api.base import GROUP, VERSION
from azure_batch_operator.api.kinds import KINDS, Kind
from localcluster import LocalCluster
from localcluster.apiclient import ApiClient, Refused

DATA = Path(__file__).parents[1] / "data" / "bodies"
GOLDEN = DATA / "refusals.txt"
# What an object of Kubernetes says beside the pasted body.
BESIDE = {
    "BatchPool": {"accountRef": {"name": "main"}},
    "BatchJob": {"accountRef": {"name": "main"}},
    "BatchJobSchedule": {"accountRef": {"name": "main"}},
    "BatchTask": {"jobRef": {"name": "job"}},
}


def cases(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, name and body of each case of a file."""
    document = yaml.safe_load((DATA / name).read_text())
    return [(kind, case, body) for kind, bodies in document.items() for case, body in bodies.items()]


ACCEPTED, REFUSED = cases("accepted.yaml"), cases("refused.yaml")


def create(cluster: LocalCluster, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Dry run, with unknown fields refused as kubectl does.

    Raises:
        Refused: with the API server's message.
    """
    plural = KINDS[Kind(kind)].plural
    path = f"/apis/{GROUP}/{VERSION}/namespaces/default/{plural}?dryRun=All&fieldValidation=Strict"
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": "pasted"}, "spec": spec}
    api = ApiClient(cluster.url, cluster.ca_file, cluster.admin_token)
    return api.object(path, method="POST", body=body)


def merged(base: Any, change: Any) -> Any:
    """A merge patch that keeps nulls."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    return {**base, **{name: merged(base.get(name), value) for name, value in change.items()}}


@pytest.mark.parametrize(("kind", "case", "body"), ACCEPTED, ids=[f"{kind}: {case}" for kind, case, _ in ACCEPTED])
def test_pasted_bodies_are_accepted_as_they_are(
    installed: LocalCluster, kind: str, case: str, body: dict[str, Any]
) -> None:
    stored = create(installed, kind, body | BESIDE[kind])["spec"]
    # Nothing pruned, nothing filled in; nulls may be kept or dropped.
    assert _without_nulls(stored) == _without_nulls(body | BESIDE[kind])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def refusal(cluster: LocalCluster, kind: str, body: dict[str, Any]) -> list[str]:
    """The API server's complaints about the smallest body of the kind, changed by `body`."""
    smallest = next(spec for its_kind, _, spec in ACCEPTED if its_kind == kind)
    try:
        create(cluster, kind, merged(smallest | BESIDE[kind], body))
    except Refused as refused:
        text = re.sub(r"^POST \S+ (.*? is invalid: )?", "", str(refused)).removeprefix("[").removesuffix("]")
        # Complaints come in no fixed order; the last one is not a complaint.
        parts = re.split(r", (?=(?:[.]?spec[.\[]|<nil>: ))", text)
        return sorted(part for part in parts if not part.startswith("<nil>: "))
    return ["accepted!"]


def test_refusals_say_what_to_do(installed: LocalCluster) -> None:
    lines = []
    for kind, case, body in REFUSED:
        complaints = refusal(installed, kind, body)
        assert "hush" not in " ".join(complaints), (kind, case)
        lines += [f"{kind}: {case}", *(f"    {complaint}" for complaint in complaints)]
    found = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert "accepted!" not in found
    assert found == GOLDEN.read_text()


def test_every_way_of_applying_converges_and_leaves_no_difference(installed: LocalCluster, tmp_path: Path) -> None:
    name = "network, mounts, accounts"
    spec = next(body for kind, case, body in ACCEPTED if (kind, case) == ("BatchPool", name)) | BESIDE["BatchPool"]
    spec = _without_nulls(spec)
    pool = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "BatchPool", "metadata": {"name": "ways"}, "spec": spec}
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(pool))
    try:
        # Unchanged properties of any shape count as unchanged for the rules about what is fixed.
        for way in (["apply"], ["apply"], ["apply", "--server-side", "--force-conflicts"], ["replace"], ["apply"]):
            installed.kubectl(*way, "-f", str(file))
            assert installed.kubectl("diff", "-f", str(file)).stdout == ""
        shown = installed.kubectl("get", "bp", "ways", "-o", "jsonpath={.metadata.generation}").stdout
        assert shown == "1"
    finally:
        installed.kubectl("delete", "bp", "ways", "--ignore-not-found")


@pytest.mark.parametrize("way", [("apply",), ("apply", "--server-side")], ids=" ".join)
def test_nulls_are_no_difference(installed: LocalCluster, tmp_path: Path, way: tuple[str, ...]) -> None:
    name = "nulls everywhere mean left out"
    spec = next(body for kind, case, body in ACCEPTED if (kind, case) == ("BatchJob", name)) | BESIDE["BatchJob"]
    spec |= {"tasks": [{"id": "a", "commandLine": "x", "resourceFiles": None, "constraints": {"retentionTime": None}}]}
    file = tmp_path / "job.yaml"
    job = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "BatchJob", "metadata": {"name": "nulls"}, "spec": spec}
    file.write_text(yaml.safe_dump(job))
    try:
        for _ in range(2):
            installed.kubectl(*way, "-f", str(file))
        assert installed.kubectl("diff", *way[1:], "-f", str(file)).stdout == ""
        shown = installed.kubectl("get", "bj", "nulls", "-o", "jsonpath={.metadata.generation}").stdout
        assert shown == "1"
    finally:
        installed.kubectl("delete", "bj", "nulls", "--ignore-not-found")


def test_server_side_apply_merges_lists_by_name(installed: LocalCluster) -> None:
    """Two managers, each with a metadata item of its own on the same job."""
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "BatchJob", "metadata": {"name": "shared"}}
    try:
        for manager in ("one", "two"):
            spec = {"poolRef": {"name": "p"}, "metadata": [{"name": manager, "value": "x"}]}
            text = yaml.safe_dump(head | {"spec": spec})
            installed.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=text)
        names = installed.kubectl("get", "bj", "shared", "-o", "jsonpath={.spec.metadata[*].name}").stdout
        assert names == "one two"
    finally:
        installed.kubectl("delete", "bj", "shared", "--ignore-not-found")

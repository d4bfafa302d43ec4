"""Flux's own kustomize-controller over the life of each kind: what a Kustomization with `wait` shows, in docs/gitops.md.

The operator, the API server and the controller are real; the objects come from an archive, as from Git.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.conftest import Stage, job, pool, task, thing
from stage import REPOSITORY
from support.flux import Flux

PAGE = REPOSITORY / "docs" / "gitops.md"
_SOURCE, KUSTOMIZATION = yaml.safe_load_all((REPOSITORY / "gitops" / "flux" / "kustomization.yaml").read_text())
EXPRESSIONS = KUSTOMIZATION["spec"]
_BEGIN = "<!-- Written by tests/e2e/test_flux.py with UPDATE_GOLDEN=1; do not edit. -->\n"
_END = "<!-- end -->\n"
_COLUMNS = ("Kind", "State", "`wait: true`", "`wait: true` and the expressions")
_ENDED, _LONG = [{"id": "a", "commandLine": "true"}], [{"id": "a", "commandLine": "sleep 600"}]

Body = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """An object that Flux applies, in the state in which it stays.

    Attributes:
        state: in words.
        body: of the object.
        is_so: whether its status is that of the state.
        others: what else stands in its folder.
    """

    state: str
    body: Body
    is_so: Callable[[Mapping[str, Any]], bool]
    others: Sequence[Body] = ()

    @property
    def folder(self) -> str:
        """Where it stands in Git, and the name of its Kustomization."""
        return f"{self.body['kind'].lower()}-{self.body['metadata']['name']}"


def _in(phase: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda status: status.get("phase") == phase


def _says(type_: str, reason: str = "") -> Callable[[Mapping[str, Any]], bool]:
    def is_so(status: Mapping[str, Any]) -> bool:
        found = [each for each in status.get("conditions", ()) if each["type"] == type_]
        return bool(found) and (found[0]["reason"] == reason if reason else found[0]["status"] == "True")

    return is_so


def _annotated(body: Body, policy: str) -> Body:
    body["metadata"]["annotations"] = {"azurebatch.io/reconcile-policy": policy}
    return body


def _schedule(name: str, **spec: Any) -> Body:
    jobs = {"poolRef": {"name": "cpu"}, "tasks": _ENDED}
    return thing("BatchJobSchedule", name, cron={"expression": "0 2 * * *"}, jobSpecification=jobs, **spec)


def _operation(name: str, pool: str = "cpu", **nodes: Any) -> Body:
    return thing(
        "BatchOperation", name, poolRef={"name": pool}, getRemoteLoginSettings={"nodes": nodes or {"selector": "all"}}
    )


def rows(stage: Stage) -> list[Row]:
    """The life, failure, suspension and hold of each kind."""
    *secret, account = stage.account()
    *other, wrong = stage.account("wrong", accountName="nobody")
    held, waits = "held (`reconcile-policy: skip`)", "waiting for its pool"
    return [
        Row("ready", account, _says("Ready"), secret),
        Row("wrong name or key", wrong, _says("Stalled"), other),
        Row("waiting for its account", pool("early", accountRef={"name": "later"}), _says("Ready", "AccountNotFound")),
        Row("steady", pool("cpu"), _says("Ready")),
        Row("invalid policy", _annotated(pool("unclear"), "managed"), _says("Stalled")),
        Row(held, _annotated(pool("never"), "skip"), _says("Skipped")),
        Row(waits, job("early", poolRef={"name": "later"}, tasks=_ENDED), _says("Ready", "PoolNotFound")),
        Row("running", job("long", tasks=_LONG), _in("Running")),
        Row("succeeded", job("good", tasks=_ENDED), _says("Complete")),
        Row("failed", job("bad", tasks=[{"id": "a", "commandLine": "false"}]), _says("Failed")),
        Row("suspended", job("paused", suspend=True, tasks=_ENDED), _says("Suspended")),
        Row(held, _annotated(job("never", tasks=_ENDED), "skip"), _says("Skipped")),
        Row("waiting for its job", task("early", "later"), _says("Ready", "JobNotFound")),
        Row("running", task("long", "open", "sleep 600"), _in("Running"), [job("open", onAllTasksComplete="noaction")]),
        Row("succeeded", task("good", "open"), _says("Complete")),
        Row("failed", task("bad", "open", "false"), _says("Failed")),
        Row(held, _annotated(task("never", "open"), "skip"), _says("Skipped")),
        Row("active", _schedule("nightly"), _says("Ready")),
        Row("suspended", _schedule("paused", suspend=True), _says("Suspended")),
        Row("invalid policy", _annotated(_schedule("unclear"), "managed"), _says("Stalled")),
        Row(held, _annotated(_schedule("never"), "skip"), _says("Skipped")),
        Row(waits, _operation("early", "later"), _says("Ready", "PoolNotFound")),
        Row("succeeded", _operation("good"), _says("Complete")),
        Row("failed", _operation("bad", names=["nobody"]), _says("Failed")),
        Row(held, _annotated(_operation("never"), "skip"), _says("Skipped")),
    ]  # fmt: skip


def shown(ready: Mapping[str, Any]) -> str:
    """What `Ready` of a Kustomization says, as a word or two."""
    if ready["status"] == "True":
        return "ready"
    found = re.search(r"status: '(\w+)'", ready["message"])
    assert ready["reason"] == "HealthCheckFailed", ready
    assert found, ready
    return {"Failed": "fails immediately", "InProgress": "fails after `timeout`"}[found[1]]


def table(found: Sequence[Row], before: Mapping[str, Body], after: Mapping[str, Body]) -> str:
    """What each object makes of its Kustomization, without and with the expressions."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|---|---|---|"]
    for row in found:
        words = (row.body["kind"], row.state, shown(before[row.folder]), shown(after[row.folder]))
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines) + "\n"


@pytest.fixture
def flux(stage: Stage, tmp_path: Path) -> Iterator[Flux]:
    flux = Flux(stage.cluster, stage.namespace, tmp_path / "flux")
    yield flux
    flux.stop()


def objects(stage: Stage) -> dict[str, Body]:
    """All objects of ours, by the name that their folder has."""
    items = json.loads(stage.kubectl("get", "azurebatch", "-o", "json"))["items"]
    return {f"{each['kind'].lower()}-{each['metadata']['name']}": each for each in items}


def not_so(stage: Stage, found: Sequence[Row]) -> list[str]:
    """The folders whose object is not in its state."""
    there = objects(stage)
    return [row.folder for row in found if not row.is_so(there.get(row.folder, {}).get("status", {}))]


def versions(stage: Stage) -> dict[str, str]:
    """The resource version of each object."""
    return {folder: each["metadata"]["resourceVersion"] for folder, each in objects(stage).items()}


def test_a_kustomization_shows_what_the_page_says_and_takes_all_away(stage: Stage, flux: Flux) -> None:
    found = rows(stage)
    folders = [row.folder for row in found]
    flux.publish(1, {row.folder: [*row.others, row.body] for row in found})
    flux.sync(*folders)
    stage.until(lambda: not not_so(stage, found), "each object is in its state", 120)
    before = flux.reconcile()
    written = versions(stage)
    flux.sync(*folders, healthCheckExprs=EXPRESSIONS["healthCheckExprs"])
    after = flux.reconcile()
    # Neither writes what the other has: nothing was applied again, and nothing put back.
    assert versions(stage) == written

    text = PAGE.read_text()
    head, _, rest = text.partition(_BEGIN)
    page = f"{head}{_BEGIN}\n{table(found, before, after)}\n{_END}{rest.partition(_END)[2]}"
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)
    assert page == text

    marks = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": folder}} for folder in folders]
    flux.publish(2, dict(zip(folders, ([mark] for mark in marks), strict=True)))
    # Flux deletes in no order, and waits for none of it; the account goes last.
    assert {shown(each) for each in flux.reconcile().values()} == {"ready"}
    stage.until_gone("azurebatch")
    assert [stage.batch("GET", each)["value"] for each in ("jobs", "pools")] == [[], []]

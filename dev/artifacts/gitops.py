"""What Argo CD and Flux need to know of the custom resources, all from one table: which conditions mean which health.

gitops/argocd/resource_customizations has the layout of Argo CD's own repository, so that it can be handed over; argocd-cm.yaml
holds the same for an Argo CD of today. Flux reads kstatus' conditions by itself; its CEL expressions make it wait for the end of
jobs as well. Tests run the scripts and test data through the libraries that these tools use (`gitopstools`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from azure_batch_operator.api.base import API_VERSION, GROUP, RECONCILE_NOW, RETRY_FAILED, TERMINATE
from azure_batch_operator.api.kinds import Kind

_NOTE = "Written by `make crds`; do not edit."
ENDING = frozenset({"BatchJob", "BatchTask", "BatchOperation"})
"""Kinds that are done one day: healthy is only what has ended well."""


@dataclass(frozen=True)
class Rule:
    """One line of the table; the first that fits counts.

    Attributes:
        condition: the condition that must be True.
        health: what Argo CD calls it.
        current: what kstatus calls it.
        only: kinds that it is for; all if empty.
    """

    condition: str
    health: str
    current: str
    only: frozenset[str] = frozenset()
    ready: bool | None = False
    """`Ready` beside it in the test data; None if there is none."""


RULES = (
    Rule("Failed", "Degraded", "Failed"),
    Rule("Stalled", "Degraded", "Failed"),
    Rule("Complete", "Healthy", "Current", ready=True),
    Rule("Skipped", "Suspended", "Current", ready=None),
    Rule("Suspended", "Suspended", "Current", ready=True),
    Rule("Reconciling", "Progressing", "InProgress"),
    Rule("Ready", "Progressing", "Current", only=ENDING, ready=True),
    Rule("Ready", "Healthy", "Current", ready=True),
)


def rules_of(kind: str) -> list[Rule]:
    """The rules for a kind, up to the one that makes those after it idle."""
    found: list[Rule] = []
    for rule in RULES:
        if (not rule.only or kind in rule.only) and all(rule.condition != each.condition for each in found):
            found.append(rule)
    return found


# --- Argo CD ---


def health_lua(kind: str) -> str:
    """The health script of a kind."""
    checks = "\n".join(
        f'if is("{rule.condition}") then return {{ status = "{rule.health}", message = message("{rule.condition}") }} end'
        for rule in rules_of(kind)
    )
    return f"""-- {_NOTE}
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return {{ status = "Progressing", message = "The operator has not looked at it yet" }}
end
local conditions = {{}}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local function message(name)
  return conditions[name].reason .. ": " .. conditions[name].message
end
{checks}
return {{ status = "Progressing", message = conditions.Ready ~= nil and message("Ready") or "" }}
"""


def _annotate(annotation: str) -> str:
    """Sets an annotation to a value that it has not had before."""
    return f"""-- {_NOTE}
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {{}}
end
local os = require("os")
obj.metadata.annotations["{annotation}"] = os.date("!%Y-%m-%dT%XZ")
return obj
"""


def _suspend(value: str) -> str:
    return f"-- {_NOTE}\nobj.spec.suspend = {value}\nreturn obj\n"


ACTIONS: Mapping[str, str] = {
    "reconcile-now": _annotate(RECONCILE_NOW),
    "retry-failed": _annotate(RETRY_FAILED),
    "terminate": _annotate(TERMINATE),
    "suspend": _suspend("true"),
    "resume": _suspend("false"),
}


def actions_of(kind: str) -> list[str]:
    """Names of the actions of a kind."""
    more = {
        "BatchJob": ["retry-failed", "terminate", "suspend", "resume"],
        "BatchJobSchedule": ["suspend", "resume"],
        "BatchOperation": ["terminate"],
    }
    return ["reconcile-now", *more.get(kind, [])]


_ENABLED = {
    "reconcile-now": "true",
    # Azure Batch runs no task of a job again that has ended or is ending.
    "retry-failed": '(state == "active" or state == "disabling" or state == "disabled" or state == "enabling") '
    "and open and managed and failed > 0",
    "terminate": "open and managed",
    "suspend": "obj.spec.suspend ~= true and open",
    "resume": "obj.spec.suspend == true and open",
}
_LOCALS = """local status = obj.status or {}
local state = status.state
local failed = (status.taskCounts or {}).failed or 0
local open = obj.metadata.deletionTimestamp == nil
local managed = true
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" and (condition.type == "Complete" or condition.type == "Failed") then
    open = false
  end
  if condition.type == "Skipped" then
    managed = false
  end
end
"""


def discovery_lua(kind: str) -> str:
    """Tells which actions the operator would carry out for an object as it is."""
    lines = [f'actions["{name}"] = {{ disabled = not ({_ENABLED[name]}) }}' for name in actions_of(kind)]
    names = _LOCALS if any("open" in line for line in lines) else ""
    return f"-- {_NOTE}\nlocal actions = {{}}\n{names}" + "\n".join(lines) + "\nreturn actions\n"


# --- Flux ---


def _has(condition: str) -> str:
    return f"status.conditions.exists(c, c.type == '{condition}' && c.status == 'True')"


def expressions(kind: str) -> dict[str, str]:
    """CEL for `healthCheckExprs`, for kinds that end: Flux is to wait until they do, unless the policy `skip` holds them."""
    failed = f"{_has('Failed')} || {_has('Stalled')}"
    over = f"{_has('Complete')} || {_has('Skipped')}"
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "current": over if kind in ENDING else f"{_has('Ready')} && !{_has('Reconciling')}",
        "failed": failed,
        "inProgress": f"!({over} || {failed})" if kind in ENDING else _has("Reconciling"),
    }


# --- test data ---


@dataclass(frozen=True)
class Case:
    """An object in a state, and what is made of it."""

    name: str
    health: str
    current: str
    body: Mapping[str, Any] = field(repr=False)


def _body(kind: str, generation: int, status: Mapping[str, Any] | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {"name": "example", "namespace": "team", "generation": generation}, "spec": {},
    }  # fmt: skip
    return made if status is None else made | {"status": dict(status)}


def _status(observed: int, *conditions: tuple[str, str, str]) -> dict[str, Any]:
    """A status with conditions given as type, status and reason."""
    since = "2026-01-02T03:04:05Z"
    listed = [
        {
            "type": type_, "status": value, "reason": reason, "message": f"why it is {reason}",
            "lastTransitionTime": since, "observedGeneration": observed,
        }
        for type_, value, reason in conditions
    ]  # fmt: skip
    return {"observedGeneration": observed, "phase": conditions[0][2], "conditions": listed}


def cases(kind: str) -> list[Case]:
    """Test data of a kind: one for each rule, and the states before there is anything to say."""
    ready = ("Ready", "True", "Fine")
    not_ready = ("Ready", "False", "NotYet")
    found = [
        Case("new", "Progressing", "InProgress", _body(kind, 1, {"observedGeneration": -1})),
        Case("changed", "Progressing", "InProgress", _body(kind, 2, _status(1, ready))),
        Case("waiting", "Progressing", "InProgress", _body(kind, 1, _status(1, not_ready))),
    ]
    for rule in rules_of(kind):
        beside = [] if rule.condition == "Ready" or rule.ready is None else [ready if rule.ready else not_ready]
        if rule.condition == "Failed":
            # Both are there, as bounded work that ended badly is for a person to look at.
            beside.append(("Stalled", "True", "TasksFailed"))
        conditions = [*beside, (rule.condition, "True", rule.condition)]
        found.append(Case(rule.condition.lower(), rule.health, rule.current, _body(kind, 1, _status(1, *conditions))))
    return found


# --- files ---


def resource_customizations() -> Iterator[tuple[str, str]]:
    """Path below gitops/argocd/resource_customizations → content."""
    for kind in Kind:
        folder = f"{GROUP}/{kind.value}"
        yield f"{folder}/health.lua", health_lua(kind.value)
        tests = []
        for case in cases(kind.value):
            yield f"{folder}/testdata/{case.name}.yaml", yaml.safe_dump(dict(case.body), sort_keys=False)
            message = _message(kind.value, case)
            tests.append(
                {"healthStatus": {"status": case.health, "message": message}, "inputPath": f"testdata/{case.name}.yaml"}
            )
        yield f"{folder}/health_test.yaml", f"# {_NOTE}\n" + yaml.safe_dump({"tests": tests}, sort_keys=False)
        yield f"{folder}/actions/discovery.lua", discovery_lua(kind.value)
        for action in actions_of(kind.value):
            yield f"{folder}/actions/{action}/action.lua", ACTIONS[action]


def _message(kind: str, case: Case) -> str:
    if case.name in {"new", "changed"}:
        return "The operator has not looked at it yet"
    found = {rule.condition.lower(): rule.condition for rule in rules_of(kind)}
    reason = (found | {"waiting": "NotYet"})[case.name]
    return f"{reason}: why it is {reason}"


class _Literal(str):
    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def argocd_cm() -> str:
    """A ConfigMap to merge into Argo CD's own."""
    data: dict[str, str] = {}
    for kind in Kind:
        data[f"resource.customizations.health.{GROUP}_{kind.value}"] = _Literal(health_lua(kind.value))
        definitions = [{"name": name, "action.lua": _Literal(ACTIONS[name])} for name in actions_of(kind.value)]
        actions = {"discovery.lua": _Literal(discovery_lua(kind.value)), "definitions": definitions}
        text = yaml.dump(actions, Dumper=_Dumper, sort_keys=False)
        data[f"resource.customizations.actions.{GROUP}_{kind.value}"] = _Literal(text)
    manifest = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": data,
    }  # fmt: skip
    how = "kubectl -n argocd patch configmap argocd-cm --patch-file argocd-cm.yaml"
    return f"# {_NOTE}\n# {how}\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False)


_FLUX_SOURCE = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: fleet
  namespace: flux-system
spec:
  interval: 10m
  url: https://git.example/platform/fleet   # replace: the repository with your objects, in the folder batch/
  ref: {branch: main}
"""


def flux_kustomization() -> str:
    """A Kustomization of Flux that waits for pools, and for jobs to end."""
    manifest = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "batch", "namespace": "flux-system"},
        "spec": {
            "interval": "10m",
            "path": "./batch",
            "prune": True,
            "wait": True,
            "timeout": "2h",
            "sourceRef": {"kind": "GitRepository", "name": "fleet"},
            "healthCheckExprs": [expressions(kind.value) for kind in Kind if kind.value in ENDING],
        },
    }
    return (
        f"# {_NOTE}\n{_FLUX_SOURCE}---\n# Without the expressions, a job is current as soon as Batch has accepted it.\n"
        + yaml.safe_dump(manifest, sort_keys=False, width=200)
    )


def table() -> str:
    """The table for docs/gitops.md."""
    lines = ["| Condition that is True | Kinds | Argo CD | kstatus (Flux, `helm --wait`) |", "|---|---|---|---|"]
    for rule in RULES:
        kinds = "those that end" if rule.only else "all"
        if rule.condition == "Ready" and not rule.only:
            kinds = "those that stay"
        lines.append(f"| `{rule.condition}` | {kinds} | {rule.health} | {rule.current} |")
    return "\n".join(lines) + "\n"


def as_json(case: Case) -> str:
    """The object of a case."""
    return json.dumps(case.body)

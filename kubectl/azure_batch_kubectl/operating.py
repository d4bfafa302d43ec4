"""BatchOperations that the plugin creates: their targets and inputs from words of the command line, and their end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import ValidationError

from azure_batch_kubectl import objects
from azure_batch_kubectl.choices import Goal
from azure_batch_kubectl.cluster import Cluster
from azure_batch_kubectl.failure import Exit, FailureError
from azure_batch_kubectl.objects import Object
from azure_batch_kubectl.wait_command import wait_for
from azure_batch_kubectl.why import Around, explain
from azure_batch_operator.api.base import API_VERSION, ApiModel, types_in
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.operation import TARGETS, On, OperationSpec

TTL = 86400
"""Seconds for which an operation is kept: somebody may want to see what was done."""
_REFERENCES = {
    Kind.POOL: "poolRef",
    Kind.JOB: "jobRef",
    Kind.SCHEDULE: "scheduleRef",
    Kind.ACCOUNT: "accountRef",
}
_KINDS: Mapping[On, tuple[Kind, ...]] = {
    On.NODES: (Kind.POOL,),
    On.POOL: (Kind.POOL,),
    On.ACCOUNT: (Kind.ACCOUNT,),
    On.JOB: (Kind.JOB,),
    On.TASKS: (Kind.JOB,),
    On.TASK: (Kind.JOB,),
    On.FILES: (Kind.JOB, Kind.POOL),
    On.SCHEDULE: (Kind.SCHEDULE,),
}
_FORMS: Mapping[On, str] = {
    On.NODES: "bp/POOL/NODE, or bp/POOL with --set nodes.selector=all",
    On.POOL: "bp/POOL",
    On.ACCOUNT: "bacc/ACCOUNT",
    On.JOB: "bj/JOB",
    On.TASKS: "bj/JOB/TASK, or bj/JOB with --set tasks.failed=true",
    On.TASK: "bj/JOB/TASK",
    On.FILES: "bj/JOB/TASK or bp/POOL/NODE",
    On.SCHEDULE: "bjs/SCHEDULE",
}
_MEMBERS: Mapping[On, bool | None] = {
    On.NODES: None,
    On.POOL: False,
    On.ACCOUNT: False,
    On.JOB: False,
    On.TASKS: None,
    On.TASK: True,
    On.FILES: True,
    On.SCHEDULE: False,
}
"""Whether the target names a node or task; None where it may."""


@dataclass(frozen=True)
class Target:
    """An object, and possibly a node or task of it."""

    kind: Kind
    name: str
    member: str = ""


def target(verb: str, word: str) -> Target:
    """What a verb is to act on.

    Raises:
        FailureError: there is no such verb, or it does not apply to that.
    """
    if verb not in TARGETS:
        raise FailureError(f"{verb!r} is not a verb of a BatchOperation: use one of {', '.join(TARGETS)}")
    kind, _, rest = word.partition("/")
    name, slash, member = rest.partition("/")
    with suppress(objects.UnknownKindError):
        found = Target(objects.kind_of(kind), name, member)
        wanted = _MEMBERS[TARGETS[verb]]
        fits = wanted is None or wanted == bool(member)
        if found.kind in _KINDS[TARGETS[verb]] and name and fits and bool(slash) == bool(member):
            return found
    raise FailureError(f"{verb} does not apply to {word!r}: give {_FORMS[TARGETS[verb]]}")


def _type_of(model: type[ApiModel], name: str) -> Any:
    """The annotation of a member by its name in a manifest; None if there is no such member."""
    fields = model.model_fields.items()
    return next((info.annotation for field, info in fields if (info.alias or field) == name), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in getattr(annotation, "__args__", ()))


def _model(annotation: Any) -> type[ApiModel] | None:
    return next((found for found in types_in(annotation) if issubclass(found, ApiModel)), None)


def inputs(verb: str, settings: Iterable[str]) -> dict[str, Any]:
    """The inputs of a verb from settings such as `nodes.states=unusable`; a list takes several settings of one name.

    Raises:
        FailureError: a setting has another form, or names no input of the verb that takes a value.
    """
    made: dict[str, Any] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise FailureError(f"--set {setting!r} has no value: give NAME=VALUE")
        *outer, last = path.split(".")
        model, inner = _model(_type_of(OperationSpec, verb)), made
        for depth, name in enumerate(outer, 1):
            model = _model(_known(verb, setting, model, name))
            if model is None:
                before = ".".join(outer[:depth])
                raise FailureError(f"{verb} has no input {path!r}: {before} has no members, give --set {before}=VALUE")
            inner = inner.setdefault(name, {})
        annotation = _known(verb, setting, model, last)
        if members := _model(annotation):
            known = ", ".join(members.wire_names())
            example = f"--set {path}.{next(iter(members.wire_names()))}=VALUE"
            raise FailureError(
                f"{verb} cannot have {path} {value!r}: it is an object with the members {known}, give one, such as {example}"
            )
        if _is_list(annotation):
            inner.setdefault(last, []).append(value)
        else:
            inner[last] = value
    return made


def _known(verb: str, setting: str, model: type[ApiModel] | None, name: str) -> Any:
    annotation = _type_of(model, name) if model else None
    if annotation is None:
        known = ", ".join(model.wire_names()) if model else ""
        hint = f"use one of {known}" if known else "leave it out"
        raise FailureError(f"{verb} has no input {name!r} (--set {setting!r}): {hint}")
    return annotation


def operation(verb: str, where: Target, given: Mapping[str, Any], ttl: int = TTL) -> dict[str, Any]:
    """The BatchOperation of a verb.

    Raises:
        FailureError: an input has a value that it cannot have, or the targets are given twice.
    """
    on, asked = TARGETS[verb], dict(given)
    spec: dict[str, Any] = {_REFERENCES[where.kind]: {"name": where.name}}
    chosen = {On.NODES: "nodes", On.TASKS: "tasks"}.get(on, "")
    if where.member and chosen in asked:
        raise FailureError(
            f"{verb} names {where.member!r} and {chosen}: leave out --set {chosen}…, or /{where.member} after {where.name}"
        )
    if on is On.NODES and where.member:
        asked["nodes"] = {"names": [where.member]}
    elif on is On.TASKS and where.member:
        asked["tasks"] = {"ids": [where.member]}
    elif where.member:
        spec["taskId" if where.kind is Kind.JOB else "nodeId"] = where.member
    try:
        checked = OperationSpec.model_validate({**spec, verb: asked, "ttlSecondsAfterFinished": ttl})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise FailureError(_problem(verb, where, problem)) from None
    word = re.sub(r"(?<!^)(?=[A-Z])", "-", verb).lower()
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.OPERATION.value,
        "metadata": {"generateName": f"{word}-"},
        "spec": checked.model_dump(by_alias=True, exclude_none=True),
    }


def _problem(verb: str, where: Target, problem: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in problem["loc"] if part != verb)
    if problem["type"] == "missing" and path in {"nodes", "tasks"}:
        return f"{verb} of {where.name!r} says not which {path}: give {_FORMS[TARGETS[verb]]}"
    if problem["type"] == "missing":
        return f"{verb} needs {path}: add --set {path}=VALUE"
    return f"{verb} cannot have {path} {problem['input']!r}: {problem['msg']}"


async def done(cluster: Cluster, name: str, timeout: float = 0.0) -> str:
    """Wait for the end of an operation; how it has ended.

    Args:
        timeout: seconds; 0 for no limit.

    Raises:
        FailureError: with exit code 3 if it fails, 4 after the timeout.
    """
    after = f"it continues; kubectl azure-batch terminate bop/{name} stops it, and kubectl azure-batch why bop/{name} says why"
    judgment = await wait_for(cluster, Kind.OPERATION, name, Goal.COMPLETE, timeout, after)
    if not judgment.reached:
        raise FailureError(str(explain(await cluster.get(Kind.OPERATION, name), Around())), Exit.FAILED)
    return judgment.text


HEADER = ("TARGET", "OUTCOME", "ANSWER")


def rows(results: Sequence[Object]) -> Iterable[tuple[str, str, str]]:
    """The outcomes of an operation: a line for each value that Azure Batch has answered."""
    for result in results:
        who, outcome = str(result.get("target", "")), str(result.get("outcome", ""))
        answers = [f"{name}={value}" for name, value in (result.get("values") or {}).items()]
        answers += [str(result["message"])] if result.get("message") else []
        answers += [f"({number} more)"] if (number := result.get("omittedValues")) else []
        for answer in answers or [""]:
            yield who, outcome, answer

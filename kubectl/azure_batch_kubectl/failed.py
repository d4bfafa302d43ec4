"""What failed, in words: tasks, nodes and targets by cause, hints about the cause after the fact, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azure_batch_kubectl import objects
from azure_batch_kubectl.objects import Object, command, condition, status
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.causes.commands import names_of, without_shell
from azure_batch_operator.causes.remedies import of_code

_TAIL = 400
_SHOWN = 3
_NO_SUCH_USER = "taskschedulingconstraintfailed"
_NAMED = ("(first: {id}, {how})", "task {id!r} failed ({how})")
"""How the verdict on a job names a task that failed."""
_REMEDIES = ("delete this batchtask", "create a new batch")
"""Words of a message that says itself what to do: another remedy would repeat or contradict it."""
_NOT_LAUNCHED = frozenset({"commandprogramnotfound", "commandlaunchfailed"})


def failures(thing: Object) -> Iterator[str]:
    """Tasks, nodes and targets that failed, by cause."""
    found, told = status(thing), _told(thing)
    for group in found.get("failures") or ():
        yield from _group(group, told)
    for node in found.get("nodeFailures") or ():
        yield f"The {node['task']} task of the job failed on node {node['nodeId']} with {_how(node)}"
    if thing["kind"] == Kind.TASK and found.get("result") == "failure":
        info = {**(found.get("failureInfo") or {}), **({"exitCode": found["exitCode"]} if "exitCode" in found else {})}
        output = f"the end of its stderr: {end_of(found['stderrTail'])}" if found.get("stderrTail") else ""
        if _how(info) not in told and (info.get("message") or _how(info)) not in told:
            yield f"It ended with {_how(info)}{f'; {output}' if output else ''}"
        elif output:
            yield output[0].upper() + output[1:]
    wrong = [each for each in found.get("results") or () if each.get("outcome") in {"Failed", "Unknown"}]
    for each in wrong[:_SHOWN]:
        if f"{each['target']}: {each.get('message')}" not in told:
            yield f"{each['target']}: {each['outcome']}: {each.get('message', 'no message')}"


def _told(thing: Object) -> str:
    """What the verdict on an object says already, which names what failed first."""
    return str((condition(thing, "Failed") or condition(thing, "Ready")).get("message") or "")


def _group(group: Mapping[str, Any], told: str) -> Iterator[str]:
    """Tasks that failed in the same way; of a single one that the verdict has named, only its output."""
    count, ids = int(group.get("count", 0)), (group.get("taskIds") or ())[:_SHOWN]
    output = f"the end of its stderr: {end_of(group['stderrTail'])}" if group.get("stderrTail") else ""
    if not output and group.get("stderrProblem"):
        output = f"its stderr: {group['stderrProblem']}"
    if count == 1 and ids and any(form.format(id=ids[0], how=_how(group)) in told for form in _NAMED):
        if output:
            yield output[0].upper() + output[1:]
        return
    tail = f"; {output}" if output else ""
    yield f"{count} {'task' if count == 1 else 'tasks'} failed with {_how(group)} (first: {', '.join(ids)}){tail}"


def _how(found: Object) -> str:
    if found.get("exitCode"):
        return f"exit code {found['exitCode']}"
    text = ": ".join(str(found[name]) for name in ("code", "message") if found.get(name))
    return text or ("exit code 0" if "exitCode" in found else "no exit code")


def end_of(text: str) -> str:
    """The end of what a task has written."""
    return repr(text.strip()[-_TAIL:])


def what_to_do(thing: Object, pool: Object | None) -> str | None:
    """What to do about a failure: what its cause suggests, then how to run again what failed.

    Args:
        pool: the BatchPool on which it ran, if it can be read.
    """
    told = _told(thing)
    if any(remedy in told.lower() for remedy in _REMEDIES):
        return None
    parts = hints(thing, pool)
    if (again := _run_again(thing)) is not None:
        parts.append(again)
    return "; ".join(parts) or None


def hints(thing: Object, pool: Object | None) -> list[str]:
    """What the causes of failed tasks suggest, unless the verdict says it."""
    told = _told(thing)
    return [hint for hint in dict.fromkeys(_hints(thing, pool)) if hint not in told]


def _hints(thing: Object, pool: Object | None) -> Iterator[str]:
    found = status(thing)
    if thing["kind"] == Kind.TASK:
        info = {**(found.get("failureInfo") or {}), "exitCode": found.get("exitCode")}
        yield from _hint(info, objects.spec(thing), pool)
    for group in (found.get("failures") or ())[:_SHOWN]:
        first = next(iter(group.get("taskIds") or ()), "")
        yield from _hint(group, _task(objects.spec(thing), first), pool)


def _hint(info: Mapping[str, Any], task: Mapping[str, Any], pool: Object | None) -> Iterator[str]:
    code = str(info.get("code") or "").lower()
    if info.get("exitCode") or code in _NOT_LAUNCHED:
        words = without_shell(str(task.get("commandLine") or ""), names_of(task))
        if words is not None:
            yield words
    user = (task.get("userIdentity") or {}).get("username")
    if code == _NO_SUCH_USER and user:
        yield _user(user, pool)
    # A task whose upload failed may have failed before, by itself.
    if not info.get("exitCode") and (text := of_code(code)) is not None:
        yield text


def _user(name: str, pool: Object | None) -> str:
    if pool is None:
        return f"check that userAccounts of the pool has user {name!r}, as whom the task runs"
    if any(account.get("name") == name for account in objects.spec(pool).get("userAccounts") or ()):
        return f"reimage the nodes, if user {name!r} was added to userAccounts after they had started"
    where = f"userAccounts of BatchPool {objects.name(pool)}"
    return f"add user {name!r}, as whom the task runs, to {where}, or correct userIdentity.username"


def _task(spec: Mapping[str, Any], id: str) -> Mapping[str, Any]:
    """A task as the spec of a BatchJob has it; empty if it comes from somewhere else."""
    for task in spec.get("tasks") or ():
        if str(task.get("id")).lower() == id.lower():
            found: Mapping[str, Any] = task
            return found
    return (spec.get("taskFactory") or {}).get("repeatTask") or {} if id.isdigit() else {}


def _run_again(thing: Object) -> str | None:
    if thing["kind"] == Kind.JOB and status(thing).get("failures"):
        return (
            "if the cause is outside of the tasks, such as missing data or a license server, correct it and create a new BatchJob "
            f"with spec.retryOf: {{name: {objects.name(thing)}}}, which runs the failed tasks with the same commands. If a command "
            "or script is wrong, correct it and submit it again as a new job. With failurePolicy.action: Hold, a job with failed "
            "tasks stays open for `kubectl azure-batch retry`"
        )
    if thing["kind"] == Kind.TASK:
        return (
            f"if the cause is outside of the task, correct it, then {command('retry', thing)} while its job is open; if its "
            "command is wrong, create a new BatchTask"
        )
    if thing["kind"] == Kind.OPERATION:
        return "correct the cause and create a new BatchOperation: the spec of one cannot change"
    return None

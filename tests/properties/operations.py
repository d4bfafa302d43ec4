"""What each property of a BatchOperation comes to, written by hand: its spec cannot be changed, so it is set when it is created.

A row says what is given, and what the calls then carry. The rest of what verbs do is tested in `tests/quick/test_operation*.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from properties.paths import Path, is_list, members, schema_of

KIND = "BatchOperation"
Body = Mapping[str, Any]
POOL: Body = {"poolRef": {"name": "cpu"}}
JOB: Body = {"jobRef": {"name": "own"}}
ACCOUNT: Body = {"accountRef": {"name": "main"}}
SCHEDULE: Body = {"scheduleRef": {"name": "tick"}}
ONE: Body = {"nodes": {"selector": "lowPriority"}}
"""One node."""
TASK: Body = {"tasks": {"ids": ["t0"]}}
T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
KEY = "ssh-ed25519 AAAA somebody"
ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"


@dataclass(frozen=True)
class Row:
    """One spec and what comes of it.

    Attributes:
        spec: of the operation.
        call: operation of the service that is called.
        body: members that each body has.
        query: parts that each query has.
        path: part that each path has.
        calls: how many there are.
        ended: whether the operation succeeds.
    """

    spec: Body
    call: str
    body: Body = field(default_factory=dict)
    query: tuple[str, ...] = ()
    path: str = ""
    calls: int = 1
    ended: str = "Succeeded"


def _nodes(verb: str, call: str, **members_: Any) -> Row:
    return Row({**POOL, verb: {**ONE, **members_}}, call, members_)


def _files(verb: str, call: str, given: Body, query: tuple[str, ...] = (), path: str = "", **outer: Any) -> Row:
    return Row({**JOB, "taskId": "t0", verb: given, **outer}, call, query=query, path=path)


READ = {"path": "stdout.txt", "into": {"name": "out-1"}}
_CHOOSING: tuple[tuple[Body, int], ...] = (
    ({"selector": "dedicated"}, 3),
    ({"selector": "lowPriority"}, 1),
    ({"selector": "all"}, 4),
    # Three tasks run, each on a node of its own.
    ({"states": ["idle"]}, 1),
    ({"states": ["idle", "running"], "selector": "all"}, 4),
    ({"states": ["unusable"]}, 0),
    ({"selector": "all", "most": 2}, 2),
    ({"names": ["NODE"]}, 1),
)
LOGS = {**ONE, "containerUrl": "https://a.blob.core.windows.net/logs", "startTime": T1}
_BY_SECRET = {"secretKeyRef": {"name": "values", "key": "url"}}
_BY_MAP = {"configMapKeyRef": {"name": "texts", "key": "url"}}
_PASSWORD = {"secretKeyRef": {"name": "values", "key": "password"}}["secretKeyRef"]
ROWS: tuple[Row, ...] = (
    # --- which nodes: alike for all verbs, so this is tried with one that changes nothing ---
    *(
        Row({**POOL, "getRemoteLoginSettings": {"nodes": choice}}, "Nodes_GetNodeRemoteLoginSettings", calls=number)
        for choice, number in _CHOOSING
    ),
    Row({**ACCOUNT, "poolId": "cpu", "listNodeExtensions": ONE}, "Nodes_ListNodeExtensions", path="/pools/cpu/"),
    # --- nodes ---
    _nodes("createNodeUser", "Nodes_CreateNodeUser", name="ann", isAdmin=True, expiryTime=T2, sshPublicKey=KEY),
    Row({**POOL, "createNodeUser": {**ONE, "name": "bob", "passwordSecretRef": _PASSWORD}}, "Nodes_CreateNodeUser",
        {"name": "bob", "password": "hush-hush"}),
    Row({**POOL, "updateNodeUser": {**ONE, "name": "ann", "sshPublicKey": KEY, "expiryTime": T1}}, "Nodes_ReplaceNodeUser",
        {"sshPublicKey": KEY, "expiryTime": T1}, path="/users/ann"),
    Row({**POOL, "updateNodeUser": {**ONE, "name": "bob", "passwordSecretRef": _PASSWORD}}, "Nodes_ReplaceNodeUser",
        {"password": "hush-hush"}, path="/users/bob"),
    Row({**POOL, "deleteNodeUser": {**ONE, "name": "ann"}}, "Nodes_DeleteNodeUser", path="/users/ann"),
    _nodes("disableNodeScheduling", "Nodes_DisableNodeScheduling", nodeDisableSchedulingOption="terminate"),
    Row({**POOL, "enableNodeScheduling": ONE}, "Nodes_EnableNodeScheduling"),
    Row({**POOL, "uploadNodeLogs": {**LOGS, "endTime": T2, "identityReference": {"resourceId": ID}}}, "Nodes_UploadNodeLogs",
        {"containerUrl": LOGS["containerUrl"], "startTime": T1, "endTime": T2, "identityReference": {"resourceId": ID}}),
    *(
        Row({**POOL, "uploadNodeLogs": {**ONE, "containerUrlFrom": source, "startTime": T1}}, "Nodes_UploadNodeLogs",
            {"containerUrl": url})
        for source, url in ((_BY_SECRET, "https://secret.example/logs"), (_BY_MAP, "https://map.example/logs"))
    ),
    _nodes("rebootNode", "Nodes_RebootNode", nodeRebootOption="terminate"),
    _nodes("reimageNode", "Nodes_ReimageNode", nodeReimageOption="terminate"),
    _nodes("deallocateNode", "Nodes_DeallocateNode", nodeDeallocateOption="terminate"),
    Row({**POOL, "startNode": ONE}, "Nodes_StartNode"),
    # --- the pool and the account ---
    Row({**ACCOUNT, "poolId": "scaled", "evaluateAutoScale": {"autoScaleFormula": "$TargetDedicatedNodes = 1;"}},
        "Pools_EvaluatePoolAutoScale", {"autoScaleFormula": "$TargetDedicatedNodes = 1;"}, path="/pools/scaled/"),
    Row({**ACCOUNT, "usageMetrics": {"startTime": T1, "endTime": T2}}, "Pools_ListPoolUsageMetrics",
        query=(f"startTime={T1}", f"endTime={T2}")),
    # --- files ---
    _files("listFiles", "Tasks_ListTaskFiles", {"recursive": True}, ("recursive=true",), "/jobs/own/tasks/t0/"),
    _files("readFile", "Tasks_GetTaskFile", READ, path="/files/stdout.txt"),
    _files("readFile", "Tasks_GetTaskFile", {**READ, "into": {"name": "out-2"}, "mostBytes": 3, "tail": True}),
    Row({**ACCOUNT, "jobId": "own", "taskId": "t0", "listFiles": {}}, "Tasks_ListTaskFiles", path="/jobs/own/tasks/t0/"),
    Row({**POOL, "nodeId": "NODE", "listFiles": {}}, "Nodes_ListNodeFiles", path="/nodes/NODE/"),
    _files("deleteFile", "Tasks_DeleteTaskFile", {"path": "wd", "recursive": True}, ("recursive=true",), "/files/wd"),
    # --- tasks and jobs ---
    Row({**JOB, "taskId": "t0", "listSubtasks": {}}, "Tasks_ListSubTasks", path="/tasks/t0/"),
    Row({**JOB, "jobPreparationStatus": {}}, "Jobs_ListJobPreparationAndReleaseTaskStatus"),
    Row({**JOB, "reactivateTasks": {"tasks": {"failed": True, "most": 1}}}, "Tasks_ReactivateTask", path="/tasks/t0/"),
    Row({**JOB, "terminateTasks": {"tasks": {"ids": ["r0"]}}}, "Tasks_TerminateTask", path="/tasks/r0/"),
    Row({**JOB, "terminateTasks": {"tasks": {"states": ["running"], "most": 1}}}, "Tasks_TerminateTask", path="/tasks/r1/"),
    # --- the operation itself ---
    Row({**JOB, "terminateTasks": {"tasks": {"ids": ["t9"]}}, "maxFailures": 1}, "Tasks_TerminateTask", calls=0),
    Row({**JOB, "terminateTasks": {"tasks": {"ids": ["t9"]}}, "maxFailures": 0}, "Tasks_TerminateTask", calls=0,
        ended="Failed"),
    Row({**POOL, "deleteNodeUser": {"nodes": {"names": ["no-1", "NODE"]}, "name": "x"}, "maxConcurrent": 1, "pausePolicy": "Stop"},
        "Nodes_DeleteNodeUser", ended="Failed"),
    Row({**POOL, "getRemoteLoginSettings": ONE, "ttlSecondsAfterFinished": 60}, "Nodes_GetNodeRemoteLoginSettings", ended="gone"),
    # --- what ends things ---
    Row({**SCHEDULE, "scheduleStatus": {}}, "Jobs_ListJobsFromSchedule"),
    Row({**ACCOUNT, "scheduleId": "tick", "terminateSchedule": {"force": True}}, "JobSchedules_TerminateJobSchedule",
        query=("force=true",), path="/jobschedules/tick/"),
    Row({**JOB, "terminateJob": {"terminateReason": "Enough", "force": True}}, "Jobs_TerminateJob",
        {"terminateReason": "Enough"}, ("force=true",)),
    Row({**POOL, "removeNodes": {**ONE, "nodeDeallocationOption": "terminate", "resizeTimeout": "PT20M"}}, "Pools_RemoveNodes",
        {"nodeDeallocationOption": "terminate", "resizeTimeout": "PT20M"}),
    Row({**ACCOUNT, "poolId": "wide", "stopResize": {}}, "Pools_StopPoolResize", path="/pools/wide/"),
)  # fmt: skip
ELSEWHERE: Mapping[Path, str] = {
    ("spec", "accountRef", "namespace"): "tests/quick/test_operations.py: an ID of another namespace",
    ("spec", "createNodeUser", "password"): "refused in favor of passwordSecretRef, below",
    ("spec", "updateNodeUser", "password"): "refused in favor of passwordSecretRef, below",
}
"""Properties that no row sets, and where they are tried."""


def set_by(spec: Any, path: Path = ("spec",)) -> set[Path]:
    """All properties that a spec sets."""
    found: set[Path] = set()
    if isinstance(spec, dict):
        for name, value in spec.items():
            found |= {(*path, name)} | set_by(value, (*path, name))
    return found


def is_choice(path: Path) -> bool:
    """Whether it says which nodes or tasks: alike for all verbs."""
    return len(path) > 3 and path[2] in {"nodes", "tasks"}


def wrong_values(path: Path) -> list[Any]:
    """Values of another type than the property's, and beyond its bounds."""
    schema = schema_of(KIND, path)
    kind = schema["type"]
    values: list[Any] = [{"string": 7, "integer": "many", "boolean": "yes", "object": "x", "array": "x"}[kind]]
    if kind == "string":
        values.append("x" * (schema.get("maxLength", 64) + 1) if "enum" not in schema else "Nonsense")
        values += ["no-such-word"] if "pattern" in schema and "?i:" in schema["pattern"] else []
        values += ["yesterday"] if schema.get("format") == "date-time" else []
        values += ["an hour"] if "x-kubernetes-validations" in schema and "format" not in schema else []
    if kind == "integer":
        values += [schema["minimum"] - 1] + ([schema["maximum"] + 1] if "maximum" in schema else [])
    if kind == "array":
        values += [[], ["x"] * (schema["maxItems"] + 1), [7]]
    if kind == "object" and not is_list(schema) and members(schema):
        values.append({"no-such-member": 1} if schema.get("required") else None)
    return [each for each in values if each is not None]

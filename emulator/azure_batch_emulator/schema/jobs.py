"""Bodies of jobs and job schedules (docs/azure-batch.md#jobs)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.common import (
    APPLICATION_PACKAGES,
    AUTHENTICATION_TOKEN,
    COMMAND_LINE,
    CONTAINER_SETTINGS,
    ENVIRONMENT,
    METADATA,
    OUTPUT_FILES,
    RESOURCE_FILES,
    RETENTION,
    TASK_CONSTRAINTS,
    USER_IDENTITY,
)
from azure_batch_emulator.schema.networks import SubnetId
from azure_batch_emulator.schema.pools import POOL_SPECIFICATION
from azure_batch_emulator.schema.types import (
    DISPLAY_NAME,
    FOREIGN_ID,
    ID,
    TEXT,
    Boolean,
    Choice,
    Duration,
    Integer,
    Struct,
    Text,
    Timestamp,
    one_of,
    optional,
    required,
)
from azure_batch_emulator.wire.durations import INFINITE
from azure_batch_emulator.wire.errors import BatchError, invalid_property

RELEASE_LIMIT = 15 * 60
JOB_CONSTRAINTS = Struct(
    {
        "maxWallClockTime": optional(Duration(), INFINITE),
        "maxTaskRetryCount": optional(Integer(-1), 0),
    }
)


class MaxParallelTasks(Integer):
    """−1 for no limit, or a positive number."""

    def accept(self, name: str, value: Any) -> Any:
        value = super().accept(name, value)
        if value == 0 or value < -1:
            raise invalid_property(name, value, "The value must be -1 or greater than 0.")
        return value


JOB_MANAGER = Struct(
    {
        "id": required(ID),
        "displayName": DISPLAY_NAME,
        "commandLine": required(COMMAND_LINE),
        "containerSettings": CONTAINER_SETTINGS,
        "resourceFiles": RESOURCE_FILES,
        "outputFiles": OUTPUT_FILES,
        "environmentSettings": ENVIRONMENT,
        "constraints": optional(TASK_CONSTRAINTS, {}),
        "requiredSlots": optional(Integer(1, 256), 1),
        "killJobOnCompletion": optional(Boolean(), True),
        "userIdentity": optional(USER_IDENTITY, {}),
        "runExclusive": optional(Boolean(), True),
        "applicationPackageReferences": APPLICATION_PACKAGES,
        "authenticationTokenSettings": AUTHENTICATION_TOKEN,
        "allowLowPriorityNode": optional(Boolean(), True),
    }
)
JOB_PREPARATION = Struct(
    {
        "id": optional(ID, "jobpreparation"),
        "commandLine": required(COMMAND_LINE),
        "containerSettings": CONTAINER_SETTINGS,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "constraints": optional(TASK_CONSTRAINTS, {}),
        "waitForSuccess": optional(Boolean(), True),
        "userIdentity": optional(USER_IDENTITY, {}),
        "rerunOnNodeRebootAfterSuccess": optional(Boolean(), True),
    }
)
JOB_RELEASE = Struct(
    {
        "id": optional(ID, "jobrelease"),
        "commandLine": required(COMMAND_LINE),
        "containerSettings": CONTAINER_SETTINGS,
        "resourceFiles": RESOURCE_FILES,
        "environmentSettings": ENVIRONMENT,
        "maxWallClockTime": optional(Duration(0, RELEASE_LIMIT), "PT15M"),
        "retentionTime": optional(Duration(), RETENTION),
        "userIdentity": optional(USER_IDENTITY, {}),
    }
)
AUTO_POOL = Struct(
    {
        "autoPoolIdPrefix": Text(r"[A-Za-z0-9_-]{0,20}", reason="A prefix has up to 20 letters, digits, '-' and '_'."),
        "poolLifetimeOption": required(Choice("jobschedule", "job")),
        "keepAlive": optional(Boolean(), False),
        "pool": POOL_SPECIFICATION,
    }
)
POOL_INFO = Struct(
    {"poolId": FOREIGN_ID, "autoPoolSpecification": AUTO_POOL}, rules=[one_of("poolId", "autoPoolSpecification")]
)
JOB_NETWORK = Struct({"subnetId": required(SubnetId()), "skipWithdrawFromVNet": required(Boolean())})


def _job_tasks_rule(accepted: dict[str, Any]) -> None:
    preparation, release = accepted.get("jobPreparationTask"), accepted.get("jobReleaseTask")
    if release is not None and preparation is None:
        raise BatchError(
            "MissingRequiredProperty",
            {"PropertyName": "jobPreparationTask", "Reason": "A job release task needs a job preparation task."},
        )
    ids = [task["id"].lower() for task in (accepted.get("jobManagerTask"), preparation, release) if task]
    if len(set(ids)) != len(ids):
        raise invalid_property("id", ids[-1], "The tasks of a job must have different ids.")


_SPECIFICATION: dict[str, Any] = {
    "displayName": DISPLAY_NAME,
    "usesTaskDependencies": optional(Boolean(), False),
    "priority": optional(Integer(-1000, 1000), 0),
    "allowTaskPreemption": optional(Boolean(), False),
    "maxParallelTasks": optional(MaxParallelTasks(), -1),
    "constraints": optional(JOB_CONSTRAINTS, {}),
    "jobManagerTask": JOB_MANAGER,
    "jobPreparationTask": JOB_PREPARATION,
    "jobReleaseTask": JOB_RELEASE,
    "commonEnvironmentSettings": ENVIRONMENT,
    "poolInfo": required(POOL_INFO),
    "onAllTasksComplete": optional(Choice("noaction", "terminatejob"), "noaction"),
    "onTaskFailure": optional(Choice("noaction", "performexitoptionsjobaction"), "noaction"),
    "networkConfiguration": JOB_NETWORK,
    "metadata": METADATA,
}
JOB = Struct({"id": required(ID), **_SPECIFICATION}, rules=[_job_tasks_rule])
JOB_SPECIFICATION = Struct(_SPECIFICATION, rules=[_job_tasks_rule])
JOB_UPDATE = Struct(
    {
        "priority": Integer(-1000, 1000),
        "allowTaskPreemption": Boolean(),
        "maxParallelTasks": MaxParallelTasks(),
        "constraints": JOB_CONSTRAINTS,
        "poolInfo": POOL_INFO,
        "onAllTasksComplete": Choice("noaction", "terminatejob"),
        "metadata": METADATA,
        "networkConfiguration": JOB_NETWORK,
    }
)
# A PUT takes a whole job; what cannot change is accepted and kept as it was (docs/azure-batch.md#changes).
JOB_REPLACE = Struct({name: kind for name, kind in _SPECIFICATION.items() if name in JOB_UPDATE.properties})
JOB_READ_ONLY = frozenset(
    {
        "url",
        "eTag",
        "lastModified",
        "creationTime",
        "state",
        "stateTransitionTime",
        "previousState",
        "previousStateTransitionTime",
        "executionInfo",
        "stats",
    }
)
JOB_KEPT_BY_REPLACE = frozenset({"id", *_SPECIFICATION}) - frozenset(JOB_REPLACE.properties)
DISABLE_JOB = Struct({"disableTasks": required(Choice("requeue", "terminate", "wait"))})
TERMINATE_JOB = Struct({"terminateReason": TEXT})
SCHEDULE = Struct(
    {
        "doNotRunUntil": Timestamp(),
        "doNotRunAfter": Timestamp(),
        "startWindow": Duration(60),
        "recurrenceInterval": Duration(60),
    }
)
JOB_SCHEDULE = Struct(
    {
        "id": required(ID),
        "displayName": DISPLAY_NAME,
        "schedule": required(SCHEDULE),
        "jobSpecification": required(JOB_SPECIFICATION),
        "metadata": METADATA,
    }
)
JOB_SCHEDULE_UPDATE = Struct({"schedule": SCHEDULE, "jobSpecification": JOB_SPECIFICATION, "metadata": METADATA})
JOB_SCHEDULE_REPLACE = Struct(
    {"schedule": SCHEDULE, "jobSpecification": required(JOB_SPECIFICATION), "metadata": METADATA}
)

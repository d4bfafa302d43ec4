"""Bodies of tasks: add, add collection, PUT (docs/azure-batch.md#tasks)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.common import (
    APPLICATION_PACKAGES,
    AUTHENTICATION_TOKEN,
    COMMAND_LINE,
    CONTAINER_SETTINGS,
    ENVIRONMENT,
    JOB_TASK_CONSTRAINTS,
    OUTPUT_FILES,
    RESOURCE_FILES,
    USER_IDENTITY,
)
from azure_batch_emulator.schema.types import (
    DISPLAY_NAME,
    ID,
    TEXT,
    Choice,
    Integer,
    Many,
    Struct,
    Text,
    optional,
    required,
)
from azure_batch_emulator.wire.errors import BatchError, invalid_property

DEPENDENCY_LIST_LIMIT = 64_000
EXIT_OPTIONS = Struct(
    {
        "jobAction": Choice("none", "disable", "terminate"),
        "dependencyAction": Choice("satisfy", "block"),
    }
)


def _range_rule(accepted: dict[str, Any]) -> None:
    if accepted["end"] < accepted["start"]:
        raise invalid_property("end", accepted["end"], "The end of a range must not be less than its start.")


EXIT_CONDITIONS = Struct(
    {
        "exitCodes": Many(Struct({"code": required(Integer()), "exitOptions": required(EXIT_OPTIONS)})),
        "exitCodeRanges": Many(
            Struct(
                {
                    "start": required(Integer()),
                    "end": required(Integer()),
                    "exitOptions": required(EXIT_OPTIONS),
                },
                rules=[_range_rule],
            )
        ),
        "preProcessingError": EXIT_OPTIONS,
        "fileUploadError": EXIT_OPTIONS,
        "default": EXIT_OPTIONS,
    }
)


def _dependencies_rule(accepted: dict[str, Any]) -> None:
    if sum(len(task_id) for task_id in accepted.get("taskIds", ())) > DEPENDENCY_LIST_LIMIT:
        raise BatchError("TaskDependencyListTooLong")


DEPENDS_ON = Struct(
    {
        "taskIds": Many(Text(shortest=1, longest=64)),
        "taskIdRanges": Many(Struct({"start": required(Integer(0)), "end": required(Integer(0))}, rules=[_range_rule])),
    },
    rules=[_dependencies_rule],
)
MULTI_INSTANCE = Struct(
    {
        "numberOfInstances": optional(Integer(1), 1),
        "coordinationCommandLine": required(COMMAND_LINE),
        "commonResourceFiles": RESOURCE_FILES,
    }
)


def _task_rule(accepted: dict[str, Any]) -> None:
    if "multiInstanceSettings" in accepted and accepted["requiredSlots"] != 1:
        raise invalid_property("requiredSlots", accepted["requiredSlots"], "A multi-instance task takes one slot.")


TASK = Struct(
    {
        "id": required(ID),
        "displayName": DISPLAY_NAME,
        "exitConditions": EXIT_CONDITIONS,
        "commandLine": required(COMMAND_LINE),
        "containerSettings": CONTAINER_SETTINGS,
        "resourceFiles": RESOURCE_FILES,
        "outputFiles": OUTPUT_FILES,
        "environmentSettings": ENVIRONMENT,
        "affinityInfo": Struct({"affinityId": required(TEXT)}),
        "constraints": optional(JOB_TASK_CONSTRAINTS, {}),
        "requiredSlots": optional(Integer(1, 256), 1),
        "userIdentity": optional(USER_IDENTITY, {}),
        "multiInstanceSettings": MULTI_INSTANCE,
        "dependsOn": DEPENDS_ON,
        "applicationPackageReferences": APPLICATION_PACKAGES,
        "authenticationTokenSettings": AUTHENTICATION_TOKEN,
    },
    rules=[_task_rule],
)
TASK_UPDATE = Struct({"constraints": optional(JOB_TASK_CONSTRAINTS, {})})
TASK_READ_ONLY = frozenset(
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
        "nodeInfo",
        "stats",
    }
)
"""What a task has in a response beyond its request; ignored in the body of a PUT, which is a whole task."""

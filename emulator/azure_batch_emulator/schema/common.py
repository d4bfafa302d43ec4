"""Parts that bodies of pools, jobs and tasks share: commands, files, identities, metadata."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.types import (
    TEXT,
    Boolean,
    Choice,
    Duration,
    Integer,
    Many,
    Struct,
    Text,
    optional,
    required,
    secret,
)
from azure_batch_emulator.wire.durations import INFINITE
from azure_batch_emulator.wire.errors import BatchError, invalid_property

# The service gives no number for metadata; this is generous and keeps the error testable.
METADATA_LIMIT = 32_768
# The longest command line and environment that the nodes' operating systems take in one piece.
COMMAND_LIMIT = 32_768
ENVIRONMENT_LIMIT = 65_536


class Metadata(Many):
    """Name/value pairs, uninterpreted, with the service's own errors for empty names and sheer size.

    An item without a value is taken, and comes back without.
    """

    def __init__(self) -> None:
        super().__init__(Struct({"name": required(TEXT), "value": TEXT}))

    def accept(self, name: str, value: Any) -> Any:
        items = super().accept(name, value)
        if any(not item["name"] for item in items):
            raise BatchError("EmptyMetadataKey")
        if sum(len(item["name"]) + len(item.get("value", "")) for item in items) > METADATA_LIMIT:
            raise BatchError("MetadataTooLarge")
        return items


class Environment(Many):
    """Environment settings of a task; a value may be left out or empty."""

    def __init__(self) -> None:
        super().__init__(Struct({"name": required(Text(shortest=1)), "value": TEXT}))

    def accept(self, name: str, value: Any) -> Any:
        items = super().accept(name, value)
        size = sum(len(item["name"]) + len(item.get("value", "")) + 2 for item in items)
        if size > ENVIRONMENT_LIMIT:
            raise invalid_property(name, size, f"The environment is larger than {ENVIRONMENT_LIMIT} bytes.")
        for item in items:
            if "=" in item["name"] or "\0" in item["name"] + item.get("value", ""):
                raise invalid_property(name, item["name"], "The name of an environment variable is not valid.")
        return items


METADATA = Metadata()
ENVIRONMENT = Environment()
COMMAND_LINE = Text(longest=COMMAND_LIMIT)
IDENTITY_REFERENCE = Struct({"resourceId": TEXT})
CONTAINER_REGISTRY = Struct(
    {
        "username": TEXT,
        "password": secret(TEXT),
        "registryServer": TEXT,
        "identityReference": IDENTITY_REFERENCE,
    }
)
CONTAINER_SETTINGS = Struct(
    {
        "containerRunOptions": TEXT,
        "imageName": required(TEXT),
        "registry": CONTAINER_REGISTRY,
        "workingDirectory": Choice("taskWorkingDirectory", "containerImageDefault"),
        "containerHostBatchBindMounts": Many(
            Struct(
                {
                    "source": Choice("Shared", "Startup", "VfsMounts", "Task", "JobPrep", "Applications"),
                    "isReadOnly": Boolean(),
                }
            )
        ),
    }
)


def _resource_file_rule(accepted: dict[str, Any]) -> None:
    sources = [name for name in ("autoStorageContainerName", "storageContainerUrl", "httpUrl") if name in accepted]
    if len(sources) != 1:
        reason = "Exactly one of autoStorageContainerName, storageContainerUrl and httpUrl must be given."
        raise invalid_property("resourceFiles", ", ".join(sources), reason)
    if sources == ["httpUrl"]:
        if "blobPrefix" in accepted:
            raise invalid_property("blobPrefix", accepted["blobPrefix"], "It is not valid together with httpUrl.")
        if "filePath" not in accepted:
            raise BatchError("MissingRequiredProperty", {"PropertyName": "filePath"})


RESOURCE_FILE = Struct(
    {
        "autoStorageContainerName": TEXT,
        "storageContainerUrl": TEXT,
        "httpUrl": TEXT,
        "blobPrefix": TEXT,
        "filePath": TEXT,
        "fileMode": Text(r"0?[0-7]{3,4}", reason="The file mode must be in octal format."),
        "identityReference": IDENTITY_REFERENCE,
    },
    rules=[_resource_file_rule],
)
RESOURCE_FILES = Many(RESOURCE_FILE)
OUTPUT_FILES = Many(
    Struct(
        {
            "filePattern": required(Text(shortest=1)),
            "destination": required(
                Struct(
                    {
                        "container": required(
                            Struct(
                                {
                                    "path": TEXT,
                                    "containerUrl": required(Text(shortest=1)),
                                    "identityReference": IDENTITY_REFERENCE,
                                    "uploadHeaders": Many(Struct({"name": required(TEXT), "value": TEXT})),
                                }
                            )
                        )
                    }
                )
            ),
            "uploadOptions": optional(
                Struct(
                    {
                        "uploadCondition": optional(
                            Choice("TaskSuccess", "TaskFailure", "TaskCompletion"), "TaskCompletion"
                        )
                    }
                ),
                {},
            ),
        }
    )
)


def _user_identity_rule(accepted: dict[str, Any]) -> None:
    if "username" in accepted and "autoUser" in accepted:
        raise invalid_property("username", accepted["username"], "username and autoUser exclude each other.")
    if "username" not in accepted and "autoUser" not in accepted:
        accepted["autoUser"] = {"scope": "pool", "elevationLevel": "nonadmin"}


USER_IDENTITY = Struct(
    {
        "username": TEXT,
        "autoUser": Struct(
            {
                "scope": optional(Choice("task", "pool"), "pool"),
                "elevationLevel": optional(Choice("nonadmin", "admin"), "nonadmin"),
            }
        ),
    },
    rules=[_user_identity_rule],
)
RETENTION = "P7D"
TASK_CONSTRAINTS = Struct(
    {
        "maxWallClockTime": optional(Duration(), INFINITE),
        "retentionTime": optional(Duration(), RETENTION),
        "maxTaskRetryCount": optional(Integer(-1), 0),
    }
)
# A task of a job takes its retry count from the job when it has none of its own, so the schema leaves it open.
JOB_TASK_CONSTRAINTS = Struct(
    {
        "maxWallClockTime": optional(Duration(), INFINITE),
        "retentionTime": optional(Duration(), RETENTION),
        "maxTaskRetryCount": Integer(-1),
    }
)
APPLICATION_PACKAGES = Many(Struct({"applicationId": required(TEXT), "version": TEXT}))
AUTHENTICATION_TOKEN = Struct({"access": Many(Choice("job"))})

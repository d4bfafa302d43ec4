"""Bodies of node operations (docs/azure-batch.md#nodes)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.schema.common import IDENTITY_REFERENCE
from azure_batch_emulator.schema.types import TEXT, Boolean, Choice, Struct, Text, Timestamp, optional, required
from azure_batch_emulator.wire.errors import invalid_property

_ALL = Choice("requeue", "terminate", "taskcompletion", "retaineddata")
REBOOT = Struct({"nodeRebootOption": optional(_ALL, "requeue")})
REIMAGE = Struct({"nodeReimageOption": optional(_ALL, "requeue")})
DEALLOCATE = Struct({"nodeDeallocateOption": optional(_ALL, "requeue")})
DISABLE_SCHEDULING = Struct(
    {"nodeDisableSchedulingOption": optional(Choice("requeue", "terminate", "taskcompletion"), "requeue")}
)


def _credential_rule(accepted: dict[str, Any]) -> None:
    if "password" in accepted and "sshPublicKey" in accepted:
        raise invalid_property("sshPublicKey", "(hidden)", "password and sshPublicKey exclude each other.")


# What an operating system of either kind takes as an account's name; it becomes part of URLs and of headers.
USER_NAME = Text(
    r"""[^\x00-\x1f\x7f"/\\\[\]:;|=,+*?<>@]{1,64}""",
    reason="A user name has 1 to 64 characters that account names allow.",
)
# Passwords are kept out of everything that is returned: no call reads node users.
USER = Struct(
    {
        "name": required(USER_NAME),
        "isAdmin": optional(Boolean(), False),
        "expiryTime": Timestamp(),
        "password": TEXT,
        "sshPublicKey": TEXT,
    },
    rules=[_credential_rule],
)
USER_UPDATE = Struct({"password": TEXT, "expiryTime": Timestamp(), "sshPublicKey": TEXT}, rules=[_credential_rule])
UPLOAD_LOGS = Struct(
    {
        "containerUrl": required(Text(shortest=1)),
        "startTime": required(Timestamp()),
        "endTime": Timestamp(),
        "identityReference": IDENTITY_REFERENCE,
    }
)

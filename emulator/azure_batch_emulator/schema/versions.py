"""The versions of the API that are spoken, each with what sets it apart.

Where the differences come from: the models and operations of the official clients for each version (azure-batch 14.2.0,
15.0.0b2 and 15.1.0), compared property by property and value by value; what is marked as recorded was seen on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

_CERTIFICATES = frozenset(
    {
        "Certificates_ListCertificates",
        "Certificates_CreateCertificate",
        "Certificates_GetCertificate",
        "Certificates_DeleteCertificate",
        "Certificates_CancelCertificateDeletion",
    }
)
_NEW_IN_2024_07 = frozenset(
    {
        "communityGalleryImageId",
        "containerHostBatchBindMounts",
        "deallocated",
        "deallocating",
        "securityEncryptionType",
        "sharedGalleryImageId",
        "skipWithdrawFromVNet",
    }
)
_NEW_IN_2025_06 = frozenset(
    {"customerManagedKey", "diskEncryptionSet", "ipFamilies", "ipTags", "jobDefaultOrder", "proxyAgentSettings"}
)
_GONE_IN_2025_06 = frozenset(
    {"authenticationTokenSettings", "currentNodeCommunicationMode", "resourceTags", "targetNodeCommunicationMode"}
)
# Properties whose value the service passes on unread, whatever names stand in it.
_UNREAD = frozenset({"resourceTags", "settings"})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the API.

    Attributes:
        name: value of ``api-version``.
        numbers_as_text: whether ``"3"`` is taken for 3, as older versions do.
        unknown: properties that this version does not have: refused in requests, absent from responses.
        hidden: properties that may be sent but do not come back.
        values: by property, values in lower case that this version does not have: refused in requests; in responses another stands
            in their place, or with None the property is left out.
        certificates_required: whether ``updateproperties`` must name the certificates.
        reimages_machines: whether nodes of virtual machine pools can be reimaged (recorded: not before 2024-07).
        without: operations that this version does not have.
        patchable: by operation, the only properties that a PATCH may have.
        filled: by property that is an object, what is in it when it was not set.
    """

    name: str
    numbers_as_text: bool = False
    unknown: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    values: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    certificates_required: bool = True
    reimages_machines: bool = True
    without: frozenset[str] = frozenset()
    patchable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    filled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def show(self, value: Any) -> Any:
        """A response, or a part of one, as this version has it; what is stored, and what is the user's own, is left as it is."""
        if isinstance(value, list):
            return [self.show(item) for item in value]
        if not isinstance(value, dict):
            return value
        absent = self.unknown | self.hidden
        shown = {
            name: item if name in _UNREAD else self.show(item) for name, item in value.items() if name not in absent
        }
        for name in self.values:
            found = shown.get(name)
            if isinstance(found, str):
                if (other := self.show_value(name, found)) is None:
                    del shown[name]
                else:
                    shown[name] = other
        for name, members in self.filled.items():
            if name in shown:
                shown[name] = dict(members) | shown[name]
        return shown

    def show_value(self, name: str, value: str) -> str | None:
        """The value of a property as this version has it; None where it is left out."""
        replaced = self.values.get(name)
        return value if replaced is None else replaced.get(value.lower(), value)

    def first_unknown(self, path: Sequence[str]) -> str | None:
        """The first property on a path that this version does not have; whatever names stand in what is the user's own."""
        for part in path:
            if part in self.unknown:
                return part
            if part in _UNREAD:
                break
        return None


VERSIONS = {
    version.name: version
    for version in (
        Version(
            "2024-02-01.19.0",
            numbers_as_text=True,
            unknown=_NEW_IN_2024_07 | _NEW_IN_2025_06,
            # What it shows for such nodes is inferred: no task is scheduled on them.
            values={
                "securityType": {"confidentialvm": None},
                "state": {"deallocating": "offline", "deallocated": "offline"},
            },
            reimages_machines=False,
            without=frozenset({"Nodes_DeallocateNode", "Nodes_StartNode"}),
            patchable={
                "Pools_UpdatePool": frozenset(
                    {
                        "startTask",
                        "certificateReferences",
                        "applicationPackageReferences",
                        "metadata",
                        "targetNodeCommunicationMode",
                    }
                ),
                "Jobs_UpdateJob": frozenset(
                    {
                        "priority",
                        "maxParallelTasks",
                        "allowTaskPreemption",
                        "onAllTasksComplete",
                        "constraints",
                        "poolInfo",
                        "metadata",
                    }
                ),
            },
        ),
        Version(
            "2024-07-01.20.0",
            unknown=_NEW_IN_2025_06,
            values={"securityEncryptionType": {"diskwithvmgueststate": None}},
        ),
        Version(
            "2025-06-01",
            unknown=_GONE_IN_2025_06,
            hidden=frozenset({"certificateReferences"}),
            certificates_required=False,
            without=_CERTIFICATES,
            # Recorded: the member appears in this version.
            filled={"taskSchedulingPolicy": {"jobDefaultOrder": "none"}},
        ),
    )
}
DEFAULT = VERSIONS["2024-07-01.20.0"]
CURRENT: ContextVar[Version] = ContextVar("CURRENT", default=DEFAULT)
"""The version of the request that is being answered."""

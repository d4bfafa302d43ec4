"""A custom resource in memory: the metadata that decisions read, the raw spec and the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, NamedTuple

from azure_batch_operator.api.base import FINALIZER, FORCE_FINALIZE, without_nulls
from azure_batch_operator.api.kinds import KINDS, Kind
from azure_batch_operator.shapes import conform


class Key(NamedTuple):
    """Identifies an object of ours in the cluster."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @classmethod
    def of_account(cls, text: object) -> Key | None:
        """The BatchAccount that a status names as `namespace/name`; None if the text is none."""
        namespace, slash, name = text.partition("/") if isinstance(text, str) else ("", "", "")
        return cls(Kind.ACCOUNT, namespace, name) if namespace and slash and name else None


class Owner(NamedTuple):
    """The object that controls another one."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One object as the API server last showed it."""

    key: Key
    uid: str
    generation: int
    version: int
    """resourceVersion; comparable as a number (Kubernetes API conventions since 1.35)."""
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    spec: Mapping[str, object]
    """Without nulls, which mean the same as leaving out. Decisions read it as typed values (`reconcile.<kind>.spec`)."""
    status: Mapping[str, object] = field(default_factory=dict)
    """Repeated as it is; decisions read it as typed values (`reconcile.before`)."""
    controller: Owner | None = None
    deletion_asked: str = ""
    """When its deletion was asked for; empty if it is to stay."""
    unreadable: tuple[str, ...] = ()
    """Paths in the spec of what is missing or has another type than the CRD says; it is left out of `spec`."""
    status_manager: str = field(default="", compare=False)
    """The field manager that wrote the status last; empty if that is not known."""

    @staticmethod
    def identify(body: Mapping[str, Any]) -> tuple[Key, int]:
        """Which object of the API server it is, in which version."""
        metadata = body["metadata"]
        return Key(Kind(body["kind"]), metadata["namespace"], metadata["name"]), int(metadata.get("resourceVersion", 0))

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Resource:
        """From an object of the API server; what the operator does not need is dropped here."""
        metadata = body["metadata"]
        kind = Kind(body["kind"])
        # The API server has checked all this, unless somebody loosened the CRD or switched its checks off.
        spec, unreadable = conform(KINDS[kind].spec, without_nulls(body.get("spec") or {}), strict=True)
        status, _ = conform(KINDS[kind].status, _whole(without_nulls(body.get("status") or {})), strict=True)
        return cls(
            key=Key(kind, metadata["namespace"], metadata["name"]),
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            version=int(metadata.get("resourceVersion", 0)),
            created=metadata.get("creationTimestamp", ""),
            deleting="deletionTimestamp" in metadata,
            deletion_asked=metadata.get("deletionTimestamp", ""),
            finalizers=tuple(metadata.get("finalizers", ())),
            annotations={
                name: value
                for name, value in metadata.get("annotations", {}).items()
                if not name.startswith("kubectl.kubernetes.io/")
            },
            spec=spec,
            status=status,
            unreadable=tuple(unreadable),
            status_manager=_status_manager(metadata),
            controller=next(
                (
                    Owner(owner["kind"], owner["name"], owner["uid"])
                    for owner in metadata.get("ownerReferences", ())
                    if owner.get("controller")
                ),
                None,
            ),
        )

    @property
    def has_finalizer(self) -> bool:
        """Whether deletion waits for the operator."""
        return FINALIZER in self.finalizers

    @property
    def released(self) -> bool:
        """Whether the user lets the object go although Azure could not be cleaned up."""
        return self.annotations.get(FORCE_FINALIZE, "").lower() == "true"

    @property
    def remote_id(self) -> str:
        """Id in Azure Batch: `spec.id`, by default `metadata.name`."""
        return str(self.spec.get("id") or self.key.name)

    @property
    def job_spec(self) -> tuple[str, Mapping[str, object]]:
        """Where the spec describes a job, and that part: the spec itself, or `jobSpecification` of a schedule."""
        if self.key.kind is Kind.SCHEDULE:
            found = self.spec.get("jobSpecification")
            return "spec.jobSpecification", found if isinstance(found, Mapping) else {}
        return "spec", self.spec

    @property
    def suspends(self) -> bool:
        """Whether the spec wants nothing of it to run."""
        return bool(self.spec.get("suspend"))

    @property
    def is_cron(self) -> bool:
        """Whether it is a BatchJobSchedule that the operator keeps, and nothing of it is in Azure Batch but its jobs."""
        return bool(self.spec.get("cron"))

    @property
    def scheduled_by(self) -> Key | None:
        """The BatchJobSchedule that has made this BatchJob, if one has."""
        owner = self.controller
        if owner is None or owner.kind != Kind.SCHEDULE:
            return None
        return Key(Kind.SCHEDULE, self.key.namespace, owner.name)

    def condition(self, type_: str) -> Mapping[str, object] | None:
        """A condition of the status, if it is there."""
        return next((condition for condition in self.listed_conditions if condition.get("type") == type_), None)

    @property
    def listed_conditions(self) -> list[Mapping[str, object]]:
        """The conditions of the status."""
        return conditions_in(self.status)


def conditions_in(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The conditions of a status."""
    found = status.get("conditions")
    return found if isinstance(found, list) else []


def _status_manager(metadata: Mapping[str, Any]) -> str:
    """Who wrote the status last; of two in one second, the one that the API server lists last."""
    last, who = "", ""
    for entry in metadata.get("managedFields") or ():
        if entry.get("subresource") == "status" and (time := entry.get("time") or "") >= last:
            last, who = time, entry.get("manager") or ""
    return intern(str(who))


_BLANK = {"status": "Unknown", "reason": "", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"}
"""What a condition says that somebody has edited by hand, where it says nothing."""


def _whole(status: Any) -> Any:
    """A status whose conditions have all members that conditions have."""
    listed = status.get("conditions") if isinstance(status, dict) else None
    if not isinstance(listed, list):
        return status
    return {
        **status,
        "conditions": [_BLANK | condition if isinstance(condition, dict) else condition for condition in listed],
    }

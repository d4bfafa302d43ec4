"""A custom resource as the operator holds it in memory: the few parts of the metadata that matter, the raw spec and the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from azure_batch_operator.api.base import FINALIZER, FORCE_FINALIZE, without_nulls
from azure_batch_operator.api.kinds import Kind


class Key(NamedTuple):
    """Identifies an object of ours in the cluster."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


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
    spec: Mapping[str, Any]
    """Without nulls, which mean the same as leaving out."""
    status: Mapping[str, Any] = field(default_factory=dict)
    controller: Owner | None = None
    deletion_asked: str = ""
    """When its deletion was asked for; empty if it is to stay."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Resource:
        """From an object of the API server; what the operator does not need is dropped here."""
        metadata = body["metadata"]
        return cls(
            key=Key(Kind(body["kind"]), metadata["namespace"], metadata["name"]),
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
            spec=without_nulls(body.get("spec", {})),
            status=dict(body.get("status", {})),
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
        """Id in Azure Batch (design §4: `spec.id`, by default `metadata.name`)."""
        return str(self.spec.get("id") or self.key.name)

    @property
    def job_spec(self) -> tuple[str, Mapping[str, Any]]:
        """Where the spec describes a job, and that part: the spec itself, or `jobSpecification` of a schedule."""
        if self.key.kind is Kind.SCHEDULE:
            return "spec.jobSpecification", self.spec.get("jobSpecification") or {}
        return "spec", self.spec

    @property
    def scheduled_by(self) -> Key | None:
        """The BatchJobSchedule that has made this BatchJob, if one has."""
        owner = self.controller
        if owner is None or owner.kind != Kind.SCHEDULE:
            return None
        return Key(Kind.SCHEDULE, self.key.namespace, owner.name)

    def condition(self, type_: str) -> Mapping[str, Any] | None:
        """A condition of the status, if it is there."""
        return next((each for each in self.status.get("conditions", ()) if each.get("type") == type_), None)

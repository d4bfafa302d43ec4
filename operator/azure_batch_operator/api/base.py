"""Building blocks of the custom resources: the base model, CEL rules, and the string types that Azure Batch defines.

The models in this package are the single source of the CRDs in `crds/` (written by `azure_batch_operator.crds`) and of what the
reconcilers read. They do no I/O and know nothing of Kubernetes clients or of the Batch client.

Rules that the API server should enforce live next to the field they are about: JSON-Schema constraints as pydantic constraints,
everything else as CEL (`cel(...)`, `immutable(...)`), so that `kubectl apply` refuses wrong input while the operator is down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "azurebatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/finalizer"
OWNER_METADATA = f"{GROUP}/owner"
"""Name of the Batch metadata item by which a pool or job says which object owns it (design §4, Lifecycle)."""
FORCE_FINALIZE = f"{GROUP}/force-finalize"
"""Annotation: let the object go although nothing could be deleted in Azure Batch."""


@dataclass(frozen=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`): `message` says what is wrong and what to do; `field` is a path below the model."""

    expression: str
    message: str
    field: str | None = None

    def schema(self) -> dict[str, str]:
        """The rule in the form that a CRD takes."""
        return {"rule": self.expression, "message": self.message} | ({"fieldPath": self.field} if self.field else {})


def cel(expression: str, message: str, field: str | None = None) -> Rule:
    """A CEL rule over the model that it stands in; `field` (`.name`) is where the API server points to."""
    return Rule(expression, message, field)


def immutable(field: str, remedy: str) -> Rule:
    """Refuse adding, changing or removing `field` after creation; `remedy` tells the user what to do instead."""
    return Rule(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} cannot be changed: {remedy}",
        f".{field}",
    )


def exactly_one_of(fields: Sequence[str], message: str) -> Rule:
    """Exactly one of the (optional) fields must be given."""
    return Rule(" + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields) + " == 1", message)


class ApiModel(BaseModel):
    """Base of everything that users write or read: REST names on the wire, snake_case in Python, values frozen.

    Unknown members are ignored on reading: the API server has pruned or refused them already, and an operator that is older than
    the CRD must not choke on a new field.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
    rules: ClassVar[tuple[Rule, ...]] = ()
    ours: ClassVar[frozenset[str]] = frozenset()
    """Wire names of the members that are the operator's own and never part of a REST body."""

    @classmethod
    def wire_names(cls) -> tuple[str, ...]:
        """Names of all members as they stand in a manifest."""
        return tuple(info.alias or name for name, info in cls.model_fields.items())

    @classmethod
    def rest_body(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a raw `spec` that is REST, untouched: same names, same nesting, same order of lists."""
        return {name: value for name, value in spec.items() if name in cls._rest_names() and value is not None}

    @classmethod
    def _rest_names(cls) -> frozenset[str]:
        return frozenset(cls.wire_names()) - cls.ours


def one_of(*values: str) -> WithJsonSchema:
    """Schema of an enum of the service, whose casing is free on the way in (batch-semantics §10.1).

    A pattern and not a CEL rule: enums stand deep in lists of lists, where the API server's cost limit leaves no room for rules.
    """
    return WithJsonSchema({"type": "string", "maxLength": 64, "pattern": f"^(?i:{'|'.join(values)})$"})


def schema(**keywords: Any) -> dict[str, Any]:
    """Extra schema keywords of a field, `x_kubernetes_…` spelled with underscores."""
    return {name.replace("_", "-") if name.startswith("x_") else name: value for name, value in keywords.items()}


BatchId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=64)]
"""Id of a pool, job or task: 1 to 64 letters, digits, `-`, `_`; not case-sensitive (batch-semantics §8)."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
"""Name of a Kubernetes object."""

Duration = Annotated[
    str,
    StringConstraints(
        pattern=r"^P(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$", min_length=3, max_length=64
    ),
]
"""ISO 8601 duration as the service takes it, for example `PT15M` or `P1DT12H`."""

DisplayName = Annotated[str, StringConstraints(max_length=1024)]
CommandLine = Annotated[str, StringConstraints(max_length=65536)]
RestState = Annotated[str, StringConstraints(max_length=64)]
ShortText = Annotated[str, StringConstraints(max_length=4096)]


class NameRef(ApiModel):
    """A reference to an object of the same namespace."""

    name: Name = Field(description="Name of the object.")


class AccountRef(NameRef):
    """A reference to a BatchAccount, in the same namespace unless `namespace` is given."""

    namespace: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None,
        description="Namespace of the BatchAccount, if another one; that account must allow this namespace.",
    )


class SecretKeyRef(NameRef):
    """A key of a Secret in the namespace of the object that names it."""

    key: Name = Field(description="Key within the Secret.")


class Condition(ApiModel):
    """`metav1.Condition`."""

    type: str
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    reason: Annotated[str, StringConstraints(max_length=256)]
    message: Annotated[str, StringConstraints(max_length=32768)]
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    observed_generation: int | None = None


class Status(ApiModel):
    """What every kind reports (design §4, Status)."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status speaks of; -1 until it was first looked at."
    )
    phase: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="The state in one word, for people and for simple tools."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        description="Ready, Reconciling and Stalled as kstatus reads them, and more by kind.",
        json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"], maxItems=16),
    )


class RemoteStatus(Status):
    """Status of a kind that stands for something in Azure Batch."""

    id: str | None = Field(default=None, description="Id in Azure Batch.")
    url: str | None = Field(default=None, description="URL of the resource in Azure Batch.")

"""Building blocks of the custom resources: the base model, CEL rules, and the string types that Azure Batch defines.

The models in this package are the single source of the CRDs in `crds/` (written by `azure_batch_operator.crds`) and of what the
reconcilers read. They do no I/O and know nothing of Kubernetes clients or of the Batch client.

Rules that the API server should enforce live next to the field they are about: JSON-Schema constraints as pydantic constraints,
everything else as CEL (`cel(...)`, `immutable(...)`), so that `kubectl apply` refuses wrong input while the operator is down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "azurebatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/finalizer"
OWNER_METADATA = f"{GROUP}/owner"
"""Name of the Batch metadata item that records which object owns a pool or job (docs/ownership.md)."""
ADOPTED_METADATA = f"{GROUP}/adopted"
"""Name of the Batch metadata item that records that a pool or job existed before its object."""
ADOPT = f"{GROUP}/adopt"
"""Annotation: adopt the resource that exists under this ID, whoever created it."""
RECONCILE_POLICY = f"{GROUP}/reconcile-policy"
"""Annotation of an object or a namespace: manage, skip or detach-on-delete."""
HELD_METADATA = f"{GROUP}/held"
HOLDS_METADATA = f"{GROUP}/holds"
"""Name of the Batch metadata item that records that the operator disabled a job, and so may enable it again."""
TASKS_METADATA = f"{GROUP}/tasks"
"""Name of the Batch metadata item that records which tasks of its spec a job has: fingerprint of the sources / digits of IDs."""
RETRY_FAILED = f"{GROUP}/retry-failed"
TERMINATE = f"{GROUP}/terminate"
RECONCILE_NOW = f"{GROUP}/reconcile-now"
RECREATE = f"{GROUP}/recreate"
"""One-shot annotations: each new value acts once and is then recorded in `status.handled`."""
SCHEDULE_LABEL = f"{GROUP}/schedule"
"""Label of a BatchJob that a cron schedule created: the name of the schedule."""
POOL_LABEL = f"{GROUP}/pool"
"""Label that matches no Pod, for the selector of the scale subresource."""
APPLIED_METADATA = f"{GROUP}/applied"
"""Name of the Batch metadata item that holds fingerprints of what the operator last applied to a pool."""
VALUES_METADATA = f"{GROUP}/values"
"""Name of the Batch metadata item that holds the versions of the Secrets and ConfigMaps that a pool's values came from."""
FORCE_FINALIZE = f"{GROUP}/force-finalize"
"""Annotation: remove the finalizer even though nothing could be deleted in Azure Batch."""


@dataclass(frozen=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`): `message` says what is wrong and what to do; `field` is a path below the model.

    `says` is CEL that makes the message from the values; `message` is then for the reference. `fixed` marks the rule that a field
    cannot be changed, for its description.
    """

    expression: str
    message: str
    field: str | None = None
    fixed: bool = False
    says: str | None = None

    def schema(self) -> dict[str, str]:
        """The rule in the form that a CRD takes."""
        told = {"fieldPath": self.field, "messageExpression": self.says}
        return {"rule": self.expression, "message": self.message} | {name: text for name, text in told.items() if text}


def cel(expression: str, message: str, field: str | None = None, *, says: str | None = None) -> Rule:
    """A CEL rule over the model that it stands in; `field` (`.name`) is where the API server points to."""
    return Rule(expression, message, field, says=says)


def immutable(field: str, remedy: str) -> Rule:
    """Refuse adding, changing or removing `field` after creation; `remedy` tells the user what to do instead."""
    return Rule(
        # As few accesses as can be: for each the API server goes through all properties of `self`, at every write of a status.
        f"has(self.{field}) ? has(oldSelf.{field}) && self.{field} == oldSelf.{field} : !has(oldSelf.{field})",
        f"{field} cannot be changed: {remedy}",
        f".{field}",
        fixed=True,
    )


def fixed_account(kind: str) -> Rule:
    """Refuse another account; what the object has in Azure Batch can stay if both represent the same account there."""
    return immutable(
        "accountRef",
        f"create a new {kind}, which can adopt what this one has in Azure Batch (docs/ownership.md, Move objects)",
    )


_MAX_SEEN_AT_ONCE = 3
"""Fields of a choice that a reader finds in a manifest without being told which of them are there."""


def exactly_one_of(fields: Sequence[str], message: str, several: str = "") -> Rule:
    """Exactly one of the (optional) fields must be given.

    Args:
        several: what to do instead of giving several.
    """
    rule = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields) + " == 1"
    return Rule(rule, message, says=naming(fields, message, several) if len(fields) > _MAX_SEEN_AT_ONCE else None)


def naming(fields: Sequence[str], message: str, several: str = "") -> str:
    """CEL: a message about a choice, with the names of those fields that are given if these are several."""
    present = " + ".join(f"(has(self.{name}) ? ['{name}'] : [])" for name in fields)
    after = json.dumps(f"){several and f': {several}'}")
    # The list of one list gives the names that are present a name.
    said = f"[{present}].map(given, given.size() > 1 ? ' (given: ' + given.join(' and ') + {after} : '')[0]"
    return f"{json.dumps(message)} + {said}"


REFUSED = "Not a field. "
"""How the description of a property begins that is declared only to be refused: `kubectl explain` shows it among the real ones."""


@dataclass(frozen=True)
class Refused:
    """A property that is declared only to be refused with a reason: retired, a secret in clear, or a habitual wrong name.

    `schema` is its type; `rule` lets through what is harmless, such as an empty list; `remedy` is what the description says to do
    instead, by default what the reason says after its colon.
    """

    name: str
    reason: str
    schema: Mapping[str, Any]
    rule: str = "false"
    remedy: str = ""

    def declaration(self) -> dict[str, Any]:
        """The property as a CRD declares it."""
        return {
            "description": f"{REFUSED}{self.remedy or _sentence(self.reason.rpartition(': ')[2])}.",
            **self.schema,
            "nullable": True,
            "x-kubernetes-validations": [{"rule": self.rule, "message": self.reason}],
        }


def misnamed(name: str, right: str, type_: str = "string") -> Refused:
    """A name that people write by habit; `right` is what it is called here."""
    bound = {"maxLength": 1024} if type_ == "string" else {}
    return Refused(name, f"there is no {name}: use {right}", {"type": type_, **bound}, remedy=f"Use {right}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


@dataclass(frozen=True)
class StandsFor:
    """Marks a member that says where the value of a REST property is to be taken from.

    Attributes:
        name: the REST property.
        secret: whether that property must not be written out in a spec.
        structured: whether its value is a JSON object and not a text.
        required: whether the service wants it.
    """

    name: str
    secret: bool = True
    structured: bool = False
    required: bool = False

    def declaration(self) -> dict[str, Any]:
        """The secret property itself as a CRD declares it, so that it can be refused with a reason."""
        shape = (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            if self.structured
            else {"type": "string", "maxLength": 65536}
        )
        return {
            "description": f"{REFUSED}Put the value into a Secret and reference it with {self.name}SecretRef.",
            **shape,
            "nullable": True,
        }

    def rules(self) -> tuple[Rule, ...]:
        """Refuses the secret in clear; over the whole object, since the API server repeats the value that a rule is about."""
        what = "a JSON object" if self.structured else "text"
        reference = f"{self.name}SecretRef"
        rules = [
            cel(
                f"!has(self.{self.name})",
                f"a secret must not appear in a manifest: store it as {what} in a Secret and reference it with "
                f"{reference}: {{name, key}}",
                f".{self.name}",
            )
        ]
        if self.required:
            rules.append(
                cel(f"has(self.{self.name}) || has(self.{reference})", f"{reference} is required", f".{reference}")
            )
        return tuple(rules)


class ApiModel(BaseModel):
    """Base of everything that users write or read: REST names on the wire, snake_case in Python, values frozen.

    Unknown members are ignored on reading: the API server has pruned or refused them already, and an operator that is older than
    the CRD must not choke on a new field.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
    rules: ClassVar[tuple[Rule, ...]] = ()
    refused: ClassVar[tuple[Refused, ...]] = ()
    ours: ClassVar[frozenset[str]] = frozenset()
    """Wire names of the members that are the operator's own and never part of a REST body."""

    @classmethod
    def wire_names(cls) -> tuple[str, ...]:
        """Names of all members as they are in a manifest."""
        return tuple(cls.members())

    @classmethod
    def members(cls) -> dict[str, Member]:
        """All members by their name in a manifest."""
        return _members(cls)

    @classmethod
    def secrets(cls) -> tuple[StandsFor, ...]:
        """The secret properties of the REST body that this model replaces by references."""
        marks = (member.stands_for for member in _members(cls).values())
        return tuple(mark for mark in marks if mark is not None and mark.secret)

    @classmethod
    def rest_body(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a raw `spec` that is REST: same names, same nesting, same order of lists, without nulls.

        References to Secrets and ConfigMaps stay in place until their values are put in (`azure_batch_operator.api.references`).
        """
        members = _members(cls)
        known = members.keys() | {member.stands_for.name for member in members.values() if member.stands_for}
        body = {}
        for name, value in spec.items():
            if value is None or name in cls.ours or name not in known:
                continue
            model = members[name].model if name in members else None
            body[name] = value if model is None else _rest(model, value)
        return body


@dataclass(frozen=True)
class Member:
    """One member of a model, as a walk over raw manifests needs it.

    Attributes:
        model: model of its value, or of the items if it is a list; None for plain values and for objects of any shape.
        stands_for: set if the member is a reference in place of a REST property.
    """

    model: type[ApiModel] | None
    stands_for: StandsFor | None


@cache
def _members(model: type[ApiModel]) -> dict[str, Member]:
    found = {}
    for name, info in model.model_fields.items():
        models = [model for model in types_in(info.annotation) if issubclass(model, ApiModel)]
        mark = next((stand_in for stand_in in info.metadata if isinstance(stand_in, StandsFor)), None)
        found[info.alias or name] = Member(models[0] if models else None, mark)
    return found


def types_in(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of."""
    if isinstance(annotation, type):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from types_in(argument)


def _rest(model: type[ApiModel], value: Any) -> Any:
    if isinstance(value, Mapping):
        return model.rest_body(value)
    if isinstance(value, list):
        return [_rest(model, item) for item in value if item is not None]
    return value


def without_nulls(value: Any) -> Any:
    """A manifest without its nulls, which mean the same as leaving out; free-form objects stay whole.

    Names and short texts are shared between manifests: thousands of objects have the same ones, and half of their memory is that
    (docs/performance.md).
    """
    if isinstance(value, str):
        return _shared(value) if len(value) <= _MAX_SHARED else value
    # In this order, because nearly all of it is one of these, and an abstract class is slow to ask for.
    if isinstance(value, dict) or (not isinstance(value, int | float | list) and isinstance(value, Mapping)):
        return {
            _shared(name): member if name in FREE_FORM else without_nulls(member)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


_MAX_SHARED = 32
"""Characters of a text that is likely to be in many objects: phases, reasons, names of what they refer to."""


@lru_cache(maxsize=4096)
def _shared(text: str) -> str:
    """The one copy of a text; of those that no object has shown for long, none is kept."""
    return text


FREE_FORM = frozenset({"settings"})
"""Properties whose value is an object of any shape, which the service hands on as it is."""


def optional(description: str, *, alias: str | None = None, **keywords: Any) -> Any:
    """A member that may be left out or null."""
    return Field(default=None, alias=alias, description=description, json_schema_extra=schema(**keywords) or None)


def many(description: str, most: int, *, key: str | None = None, **keywords: Any) -> Any:
    """An optional list of at most `most` items; with `key`, server-side apply merges items by that member."""
    if key is not None:
        keywords |= {"x_kubernetes_list_type": "map", "x_kubernetes_list_map_keys": [key]}
    return optional(description, maxItems=most, **keywords)


def secret_for(name: str, description: str) -> Any:
    """Annotation metadata and field are apart in pydantic; this is the field of a `…SecretRef`."""
    return optional(
        f"{description} References a key of a Secret in the same namespace. Replaces {name} of the REST API."
    )


def one_of(*values: str) -> WithJsonSchema:
    """Schema of an enum of the service, whose casing is free on the way in (docs/azure-batch.md#bodies-in-practice).

    A pattern and not a CEL rule: enums stand deep in lists of lists, where the API server's cost limit leaves no room for rules.
    """
    return WithJsonSchema({"type": "string", "maxLength": 64, "pattern": f"^(?i:{'|'.join(values)})$"})


def schema(**keywords: Any) -> dict[str, Any]:
    """Extra schema keywords of a field, `x_kubernetes_…` spelled with underscores."""
    return {name.replace("_", "-") if name.startswith("x_") else name: value for name, value in keywords.items()}


BatchId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=64)]
"""Id of a pool, job or task: 1 to 64 letters, digits, `-`, `_`; not case-sensitive (docs/azure-batch.md#limits)."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
"""Key within a Secret or ConfigMap."""

_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
ObjectName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, min_length=1, max_length=253)]
"""Name of a Kubernetes object: an RFC 1123 subdomain. Another one names nothing, which the API server says at once."""


def says(pattern: str, message: str, most: int) -> WithJsonSchema:
    """Schema of a text whose form has a message of its own, where a pattern would only be quoted back; costs CEL budget."""
    return judged(f"self.matches('{pattern}')", message, most)


def judged(rule: str, message: str, most: int) -> WithJsonSchema:
    """Schema of a text that a CEL rule of its own is about, so that the API server names the field and the value."""
    rules = [{"rule": rule, "message": message}]
    return WithJsonSchema({"type": "string", "maxLength": most, "x-kubernetes-validations": rules})


_SECONDS = "[0-9]+([.][0-9]+)?S"
_DURATION = f"^P([0-9]+W)?([0-9]+D)?(T([0-9]+H([0-9]+M)?({_SECONDS})?|[0-9]+M({_SECONDS})?|{_SECONDS}))?$"
_STORED_DURATION = _DURATION.replace("^P", "^P([0-9]+Y)?([0-9]+M)?")
_DURATION_SAYS = (
    "must be an ISO 8601 duration such as PT15M, P7D or P1DT12H (days before the T, minutes after it; no months or "
    "years)"
)
WRITTEN = {"written": True}
"""Validation context of what the API server has not checked, such as tasks in a ConfigMap."""


def _no_months(value: str, info: ValidationInfo) -> str:
    """Refuse months and years where the API server does not; objects that an older CRD let in keep theirs."""
    if info.context == WRITTEN and re.fullmatch(_DURATION, value) is None:
        raise ValueError(_DURATION_SAYS)
    return value


Duration = Annotated[
    str,
    StringConstraints(pattern=_STORED_DURATION, min_length=3, max_length=64),
    AfterValidator(_no_months),
    says(_DURATION, _DURATION_SAYS, 64),
]
"""ISO 8601 duration, for example `PT15M` or `P1DT12H`. No months or years: `P5M`, five months, is a slip of `PT5M`."""

RemoteId = Annotated[BatchId, WithJsonSchema({"type": "string", "maxLength": 64})]
"""`spec.id`: a rule of the kind checks its characters (`api.kinds`), where a pattern would only be quoted back."""

JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:-]+$", min_length=1, max_length=96)]
"""Id of a job that somebody else made: those of a job schedule are called `<schedule>:job-<number>`."""

DisplayName = Annotated[str, StringConstraints(max_length=1024)]
CommandLine = Annotated[str, StringConstraints(max_length=65536)]
RestState = Annotated[str, StringConstraints(max_length=64)]
ShortText = Annotated[str, StringConstraints(max_length=4096)]


class NameRef(ApiModel):
    """A reference to an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class AccountRef(NameRef):
    """A reference to a BatchAccount."""

    namespace: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = Field(
        default=None,
        description="Namespace of the BatchAccount. Defaults to the namespace of this object. In another namespace, the "
        "account must allow this one in allowedNamespaces.",
    )


class SecretKeyRef(NameRef):
    """A reference to a key of a Secret in the same namespace."""

    key: Name = Field(description="Key in the Secret.")


class ConfigMapKeyRef(NameRef):
    """A reference to a key of a ConfigMap in the same namespace."""

    key: Name = Field(description="Key in the ConfigMap.")

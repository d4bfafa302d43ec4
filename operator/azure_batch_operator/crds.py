"""Generates `crds/` from the models in `api/`: one CustomResourceDefinition per kind. `make test` checks that they are up to date.

pydantic emits JSON Schema with `$defs`, `anyOf: [..., null]`, titles and `default: null`; a CRD wants a structural schema. The
conversion below is the difference: references inlined, null alternatives dropped, CEL rules of the models added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from azure_batch_operator.api.base import GROUP, REFUSED, VERSION, ApiModel, Rule
from azure_batch_operator.api.kinds import KINDS, KindInfo

INITIAL_STATUS: dict[str, Any] = {"observedGeneration": -1, "phase": "Pending"}
"""Status of an object that nobody has looked at: not current for kstatus, and readable in `kubectl get`."""

_ANY_CASING = re.compile(r"^\^\(\?i:(?P<values>[\w|]+)\)\$$")
_DROPPED = frozenset({"title", "default", "$defs"})


def structural(model: type[ApiModel], *, nullable: bool = False) -> dict[str, Any]:
    """Structural OpenAPI v3 schema of a model, with the CEL rules of it and of all models below it.

    Args:
        nullable: whether null may stand for leaving out, as it does in REST bodies. The API server drops
            nulls from what is created, but not from what is applied on the server side.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=GenerateJsonSchema, mode="validation")
    models: dict[str, type[ApiModel]] = {}
    for part in _models_below(model):
        if models.setdefault(part.__name__, part) is not part:
            raise ValueError(f"two models are called {part.__name__}")
    return _Converter(raw.get("$defs", {}), models, nullable).convert(raw)


def _models_below(model: type[ApiModel], seen: set[type[ApiModel]] | None = None) -> Iterator[type[ApiModel]]:
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    yield model
    for member in model.members().values():
        if member.model is not None:
            yield from _models_below(member.model, seen)


@dataclass(frozen=True)
class _Converter:
    """From pydantic's JSON Schema to a structural schema."""

    defs: Mapping[str, Any]
    models: Mapping[str, type[ApiModel]]
    nullable: bool

    def convert(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """The structural schema of one node."""
        if "$ref" in node:
            target = self.convert(self.defs[node["$ref"].rsplit("/", 1)[-1]])
            return target | {key: value for key, value in node.items() if key != "$ref" and key not in _DROPPED}
        if "anyOf" in node:
            options = [option for option in node["anyOf"] if option.get("type") != "null"]
            if len(options) != 1:
                raise ValueError(f"not structural: {node}")
            rest = {key: value for key, value in node.items() if key != "anyOf"}
            target = self.convert(options[0] | rest)
            return target | {"nullable": True} if self.nullable and len(options) < len(node["anyOf"]) else target
        result: dict[str, Any] = {}
        for key, value in node.items():
            if key in _DROPPED or (key == "additionalProperties" and isinstance(value, bool)):
                continue
            if key == "properties":
                result[key] = {name: self.convert(child) for name, child in value.items()}
            elif key == "items":
                result[key] = value if "x-kubernetes-int-or-string" in value else self.convert(value)
            elif key == "exclusiveMinimum":
                result |= {"minimum": value, "exclusiveMinimum": True}
            elif key == "description":
                result[key] = " ".join(value.split())
            else:
                result[key] = value
        model = self.models.get(node.get("title", ""))
        if model is not None and node.get("type") == "object":
            _add_model(result, model)
        if result.get("type") == "integer":
            result.setdefault("format", "int64")
        if "description" in result:
            result["description"] += said_values(result)
        return result


def enum_values(node: Mapping[str, Any]) -> list[str]:
    """The values of an enum that takes any casing; empty for anything else."""
    match = _ANY_CASING.match(node.get("pattern", ""))
    return match["values"].split("|") if match else []


def said_values(node: Mapping[str, Any]) -> str:
    """What a description says of the values, since `kubectl explain` does not show patterns."""
    values = enum_values(node)
    return f" One of {', '.join(values)}, in any casing." if len(values) > 1 else ""


def _add_model(result: dict[str, Any], model: type[ApiModel]) -> None:
    """What a model knows beyond its JSON Schema: first line of its docstring, refused properties, rules."""
    lines = (model.__doc__ or "").strip().split("\n")
    if result.get("description") == " ".join((model.__doc__ or "").split()):
        result["description"] = lines[0]
    secrets = model.secrets()
    properties = result.setdefault("properties", {})
    properties |= {refusal.name: refusal.declaration() for refusal in model.refused}
    properties |= {secret.name: secret.declaration() for secret in secrets}
    if not properties:
        # The API server drops an empty map when it stores a CRD: who applies the file next would conflict with it.
        del result["properties"]
    rules = [*model.rules, *(rule for secret in secrets for rule in secret.rules())]
    if rules:
        result["x-kubernetes-validations"] = [rule.schema() for rule in rules]


_UNCHANGED = "self == oldSelf"


def folded(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The rules of a spec, with those about a change as one that ends at once where nothing has changed.

    The API server evaluates every rule at every write, also of a finalizer or the status, and copies the schemas of all properties
    for each access to one: a rule for each property was a quarter of what such a write cost (docs/performance.md). The
    message has a sentence for each rule that is broken, which begins with the property, since one rule has but one `fieldPath`.
    """
    kept = [rule.schema() for rule in rules if "oldSelf" not in rule.expression]
    changes = [rule for rule in rules if "oldSelf" in rule.expression]
    if not changes:
        return kept
    said = (f"({group.expression} ? '' : {_literal(f'{group.message}. ')})" for group in map(_grouped, changes))
    allowed = " && ".join(group.expression for group in map(_grouped, changes))
    return [
        *kept,
        {
            "rule": f"{_UNCHANGED} || ({allowed})",
            "message": "the spec holds a change that cannot be made: create a new object",
            "messageExpression": " + ".join(said),
        },
    ]


def _grouped(rule: Rule) -> Rule:
    return replace(rule, expression=f"({rule.expression})")


def _literal(text: str) -> str:
    """A text as CEL writes it."""
    return json.dumps(text, ensure_ascii=False)


def _say_what_is_fixed(schema: dict[str, Any], model: type[ApiModel]) -> None:
    """Descriptions of the top level end with whether the property can be changed, as the rules have it."""
    fixed = {rule.field for rule in model.rules if rule.fixed}
    if None in fixed:
        fixed |= {f".{name}" for name in schema["properties"]}
    for name, child in schema["properties"].items():
        refused = child.get("description", "").startswith(REFUSED)
        if model.rules and not refused and any(rule.fixed for rule in model.rules):
            child["description"] += " Cannot be changed." if f".{name}" in fixed else " Can be changed."


def _schema(info: KindInfo) -> dict[str, Any]:
    """The schema of the whole object.

    Raises:
        ValueError: the spec has rules that are not its model's.
    """
    status = structural(info.status) | {"default": INITIAL_STATUS}
    spec = structural(info.spec, nullable=True)
    _say_what_is_fixed(spec, info.spec)
    if len(spec["x-kubernetes-validations"]) != len(info.spec.rules):
        raise ValueError(f"{info.kind}: the spec has rules that are not its model's")
    spec["x-kubernetes-validations"] = folded(info.spec.rules)
    if info.scale:
        # The scale subresource reads this number and fails on a null.
        spec["properties"][info.scale.spec_replicas.removeprefix(".spec.")].pop("nullable", None)
    schema: dict[str, Any] = {
        "type": "object",
        "description": info.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    if info.rules:
        schema["x-kubernetes-validations"] = [rule.schema() for rule in info.rules]
    return schema


def _version(info: KindInfo) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _schema(info)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description}
            | ({"priority": 1} if column.wide else {})
            for column in info.columns
        ],
    }
    if info.scale:
        version["subresources"]["scale"] = {
            "specReplicasPath": info.scale.spec_replicas,
            "statusReplicasPath": info.scale.status_replicas,
            "labelSelectorPath": info.scale.selector,
        }
    if info.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable]
    return version


def crd(info: KindInfo) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": info.kind.value,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.singular,
                "shortNames": [info.short],
                "categories": ["azurebatch"],
            },
            "versions": [_version(info)],
        },
    }


def render() -> dict[str, str]:
    """File name → YAML of all CRDs, and the kustomization that lists them."""
    files = {f"{GROUP}_{info.plural}.yaml": _yaml(crd(info)) for info in KINDS.values()}
    files["kustomization.yaml"] = _yaml(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    )
    return files


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out in full: not every reader of manifests takes anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Mapping[str, Any]) -> str:
    return "# Written by `make crds`; do not edit.\n" + yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )

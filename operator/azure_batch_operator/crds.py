"""Writes `crds/` from the models in `api/`: one CustomResourceDefinition per kind, checked in, checked for drift by `make test`.

pydantic emits JSON Schema with `$defs`, `anyOf: [..., null]`, titles and `default: null`; a CRD wants a structural schema. The
conversion below is the difference: references inlined, null alternatives dropped, CEL rules of the models added.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic.json_schema import GenerateJsonSchema

from azure_batch_operator.api.base import GROUP, VERSION, ApiModel
from azure_batch_operator.api.kinds import KINDS, KindInfo

DIRECTORY = Path(__file__).parents[2] / "crds"
INITIAL_STATUS: dict[str, Any] = {"observedGeneration": -1, "phase": "Pending"}
"""Status of an object that nobody has looked at: not current for kstatus, and readable in `kubectl get`."""

_DROPPED = frozenset({"title", "default", "additionalProperties", "$defs"})


def structural(model: type[ApiModel]) -> dict[str, Any]:
    """Structural OpenAPI v3 schema of a model, with the CEL rules of it and of all models below it."""
    raw = model.model_json_schema(by_alias=True, schema_generator=GenerateJsonSchema, mode="validation")
    models = {each.__name__: each for each in _models_below(model)}
    return _convert(raw, raw.get("$defs", {}), models)


def _models_below(model: type[ApiModel], seen: set[type[ApiModel]] | None = None) -> Iterator[type[ApiModel]]:
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    yield model
    for info in model.model_fields.values():
        for each in _types_in(info.annotation):
            yield from _models_below(each, seen)


def _types_in(annotation: Any) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _types_in(argument)


def _convert(node: Mapping[str, Any], defs: Mapping[str, Any], models: Mapping[str, type[ApiModel]]) -> dict[str, Any]:
    if "$ref" in node:
        target = _convert(defs[node["$ref"].rsplit("/", 1)[-1]], defs, models)
        return target | {key: value for key, value in node.items() if key != "$ref" and key not in _DROPPED}
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"not structural: {node}")
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _convert(options[0] | rest, defs, models)
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED:
            continue
        if key == "properties":
            result[key] = {name: _convert(child, defs, models) for name, child in value.items()}
        elif key == "items":
            result[key] = value if "x-kubernetes-int-or-string" in value else _convert(value, defs, models)
        elif key == "exclusiveMinimum":
            result |= {"minimum": value, "exclusiveMinimum": True}
        elif key == "description":
            result[key] = " ".join(value.split())
        else:
            result[key] = value
    model = models.get(node.get("title", ""))
    if model is not None and node.get("type") == "object":
        if "description" in result and result["description"] == " ".join((model.__doc__ or "").split()):
            result["description"] = (model.__doc__ or "").strip().split("\n")[0]
        if model.rules:
            result["x-kubernetes-validations"] = [rule.schema() for rule in model.rules]
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    return result


def crd(info: KindInfo) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    status = structural(info.status) | {"default": INITIAL_STATUS}
    schema: dict[str, Any] = {
        "type": "object",
        "description": info.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(info.spec),
            "status": status,
        },
    }
    if info.rules:
        schema["x-kubernetes-validations"] = [rule.schema() for rule in info.rules]
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
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
        }
    if info.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable]
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
            "versions": [version],
        },
    }


def render() -> dict[str, str]:
    """File name → YAML of all CRDs, and the kustomization that lists them."""
    files = {f"{GROUP}_{info.plural}.yaml": _yaml(crd(info)) for info in KINDS.values()}
    files["kustomization.yaml"] = _yaml(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    )
    return files


def _yaml(document: Mapping[str, Any]) -> str:
    return "# Written by `make crds`; do not edit.\n" + yaml.safe_dump(
        dict(document), sort_keys=False, width=120, allow_unicode=True
    )


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files are stale.")
def main(check: bool) -> None:
    """Write or check the files."""
    wanted = render()
    present = {path.name: path.read_text() for path in DIRECTORY.glob("*.yaml")}
    if check:
        stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        if stale:
            sys.exit(f"crds/ is stale ({', '.join(stale)}): run make crds")
        return
    DIRECTORY.mkdir(exist_ok=True)
    for name in present.keys() - wanted.keys():
        (DIRECTORY / name).unlink()
    for name, text in wanted.items():
        (DIRECTORY / name).write_text(text)


if __name__ == "__main__":
    main()

"""Generates JSON Schemas for editors (`schemas/`) and reference pages (`docs/reference/`) of the custom resources.

Both come from the CRDs, which `azure_batch_operator.crds` generates from the models in `api/`. `make crds` writes all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from azure_batch_operator.api.base import API_VERSION, GROUP, REFUSED, VERSION
from azure_batch_operator.api.kinds import KINDS, KindInfo
from azure_batch_operator.api.secrets import secret_properties
from azure_batch_operator.crds import crd, enum_values, said_values

Node = Mapping[str, Any]

_KEPT = frozenset(
    {
        "description", "enum", "format", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength",
        "minimum", "pattern", "required",
    }
)  # fmt: skip


def editor_schemas() -> dict[str, str]:
    """File name → JSON Schema (draft 7) of each kind, in the layout that catalogues of CRD schemas use."""
    return {f"{info.kind.lower()}_{VERSION}.json": _json(editor_schema(info)) for info in KINDS.values()}


def editor_schema(info: KindInfo) -> dict[str, Any]:
    """The JSON Schema of a kind: strict about names, and with the usual casing of enums for completion."""
    root = _schema_of(info)
    properties = {name: _for_editor(node) for name, node in root["properties"].items()}
    properties["apiVersion"] = {"type": "string", "enum": [API_VERSION]}
    properties["kind"] = {"type": "string", "enum": [info.kind.value]}
    # A CRD does not describe it: it is Kubernetes' own.
    properties["metadata"] = {"type": "object"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": info.kind.value,
        "description": info.description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": properties,
        "additionalProperties": False,
    }


def _for_editor(node: Node) -> dict[str, Any]:
    description = node.get("description", "")
    if description.startswith(REFUSED):
        said = [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
        reason = said[0] if said else description.removeprefix(REFUSED).rstrip(".")
        # An empty list of what is retired says nothing and is let through.
        nothing: dict[str, Any] = {"maxItems": 0} if "items" in node else {"type": "null"}
        return {"description": description, "errorMessage": reason, **nothing}
    result: dict[str, Any] = {key: value for key, value in node.items() if key in _KEPT}
    kinds = ["integer", "string"] if node.get("x-kubernetes-int-or-string") else [node["type"]]
    if node.get("nullable"):
        kinds.append("null")
    result["type"] = kinds if len(kinds) > 1 else kinds[0]
    if isinstance(node.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _for_editor(node["additionalProperties"])
    elif node.get("type") == "object":
        if "properties" in node:
            result["properties"] = {name: _for_editor(child) for name, child in node["properties"].items()}
        # Also of an object without any property: `{}` is all that the API server keeps of it.
        result["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    if "items" in node:
        result["items"] = _for_editor(node["items"])
    if node.get("exclusiveMinimum"):
        result["exclusiveMinimum"] = result.pop("minimum")
    if values := enum_values(node):
        # JavaScript's regular expressions know no (?i:…).
        letters = "|".join(
            "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in value) for value in values
        )
        result.pop("pattern")
        result["anyOf"] = [
            {"enum": values},
            {"pattern": f"^({letters})$"},
            *([{"type": "null"}] if "null" in kinds else []),
        ]
    return result


def pages() -> dict[str, str]:
    """File name → Markdown of the reference."""
    return {"README.md": _index()} | {f"{info.kind.lower()}.md": page(info) for info in KINDS.values()}


def _index() -> str:
    lines = [
        _WRITTEN, "# API reference", "",
        f"The kinds of `{API_VERSION}`. Properties under `spec` have the names of the Batch REST API 2024-07-01.20.0, so you can",
        "paste a body for `az batch … create --json-file`. `null` means that the property is unset. Enum values are",
        "case-insensitive.", "",
        "| Kind | Short name | Description |", "|---|---|---|",
        *(f"| [{info.kind}]({info.kind.lower()}.md) | `{info.short}` | {info.description} |" for info in KINDS.values()),
        "", "JSON Schemas for editors are in `schemas/`. To use one, add",
        "`# yaml-language-server: $schema=<path>/schemas/batchpool_v1alpha1.json` at the top of a manifest.",
        "", "## Secrets", "",
        "Manifests contain no secrets. `…SecretRef: {name, key}` replaces each of these REST properties, and refers to a key of a",
        "Secret in the namespace of the object:", "",
    ]  # fmt: skip
    for info in KINDS.values():
        if found := secret_properties(info.spec):
            lines += [f"**{info.kind}**", "", *(f"- `{path}` → `{name}`" for path, name in sorted(found.items())), ""]
    lines += [
        "Environment settings accept `valueFrom` with `secretKeyRef` or `configMapKeyRef`. The operator reads the values when it",
        "sends a request. If a value is missing, the object waits, and the message of its condition `Ready` names it.",
    ]
    return "\n".join(lines) + "\n"


_WRITTEN = "<!-- Written by `make crds`; do not edit. -->"


def page(info: KindInfo) -> str:
    """The reference page of a kind: a tree of its properties that folds, each shape once.

    It is HTML, which both the site and code hosts show as it is: Markdown has no lists that fold.
    """
    root = _schema_of(info)
    lines = [
        _WRITTEN, f"# {info.kind}", "", info.description, "",
        f"`apiVersion: {API_VERSION}`, `kind: {info.kind}`; kubectl: `{info.plural}.{GROUP}`, short `{info.short}`.", "",
        "Click a property to expand it.", "",
    ]  # fmt: skip
    lines += [f"- {rule.message}" for rule in info.rules] + ([""] if info.rules else [])
    for name in ("spec", "status"):
        tree = _tree(root["properties"][name], name, {})
        lines += [f"## {name}", "", *tree, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _shape(node: Node) -> str:
    return json.dumps(
        {key: value for key, value in node.items() if key not in {"description", "nullable", "default"}}, sort_keys=True
    )


def _tree(node: Node, path: str, known: dict[str, str]) -> list[str]:
    """The properties of an object as a list; one of a shape that was shown before leads there.

    Args:
        known: shape → path of the object that has shown it.
    """
    known[_shape(node)] = path
    needed = set(node.get("required", ()))
    lines = ['<ul class="tree">'] if path in {"spec", "status"} else ["<ul>"]
    lines += [f"<li><em>{escape(rule, quote=False)}</em></li>" for rule in _rules(node)]
    for name, child in node["properties"].items():
        description = child.get("description", "")
        if description.startswith(REFUSED):
            continue
        inner, suffix = (child["items"], "[]") if "items" in child else (child, "")
        mark = " <strong>required</strong>" if name in needed else ""
        text = escape(description.replace(said_values(child) or "\n", ""), quote=False)
        head = f"<code>{name}</code> {_type(child)}{mark}<br>{text}"
        if "properties" not in inner:
            lines.append(f"<li>{head}</li>")
        elif shown := known.get(_shape(inner)):
            lines.append(f'<li>{head} Has the properties of <a href="#{shown}"><code>{shown}</code></a>.</li>')
        else:
            below = f"{path}.{name}{suffix}"
            lines.append(f'<li><details id="{below}"><summary>{head}</summary>')
            lines += [*_tree(inner, below, known), "</details></li>"]
    return [*lines, "</ul>"]


def _rules(node: Node) -> list[str]:
    rules = [rule["message"] for rule in node.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]]
    return [rule for rule in rules if not rule.startswith("a secret must not")]


def _type(node: Node) -> str:
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if "properties" in node:
        return "object"
    if values := enum_values(node) or node.get("enum"):
        return ", ".join(f"<code>{value}</code>" for value in values)
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if isinstance(node.get("additionalProperties"), Mapping):
        return f"map of {_type(node['additionalProperties'])}"
    return str(node["type"]) + _range(node)


def _range(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" {low} to {high}"
    if low is not None:
        return f" over {low}" if node.get("exclusiveMinimum") else f" from {low}"
    return f" up to {node['maxLength']} characters" if "maxLength" in node else ""


def _schema_of(info: KindInfo) -> Node:
    schema: Node = crd(info)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

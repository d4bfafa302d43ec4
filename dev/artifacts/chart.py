"""The written parts of the Helm chart: CRDs as templates, the rules of its roles, its values and their schema.

The rest of helm/azure-batch-operator/templates is by hand. Rules come from manifests/, which stay the one place where rights are
granted; tests/e2e/test_helm.py shows that chart and kustomize make the same objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from artifacts.values import ChartValues
from azure_batch_operator import crds
from azure_batch_operator.settings import Settings

_NOTE = "Written by `make crds`; do not edit."
_WIDTH = 110
SET_BY_CHART = {
    "namespaces": "`watchNamespaces`",
    "identity_namespaces": "`workloadIdentity.namespaces`",
    "http_host": "not changed",
    "http_port": "not changed",
    "leader_election": "`leaderElection.enabled`; always with several replicas",
}
"""Settings that are not in `config`, and what docs/configuration.md says of them."""


def crd_templates() -> dict[str, str]:
    """File name → CRD as a template with a switch and a keep policy."""
    return {name: _crd_template(text) for name, text in crds.render().items() if name != "kustomization.yaml"}


def _crd_template(text: str) -> str:
    body = text.removeprefix(f"# {_NOTE}\n").replace("{{", '{{ "{{" }}')
    head, found, tail = body.partition("metadata:\n")
    if not found:
        raise ValueError("a CRD without metadata")
    name, _, tail = tail.partition("\n")
    return (
        f"{{{{- /* {_NOTE} */ -}}}}\n{{{{- if .Values.crds.install }}}}\n{head}metadata:\n{name}\n"
        '  labels: {{- include "azure-batch-operator.labels" . | nindent 4 }}\n'
        "  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n"
        f"{tail}{{{{- end }}}}\n"
    )


def rules(manifests: Path) -> str:
    """The rules of every role that is written by hand in manifests/, by the role's name."""
    found = {}
    for path in sorted(
        [
            *manifests.glob("base/rbac.yaml"),
            *manifests.glob("base/lease.yaml"),
            *manifests.glob("base/user-roles.yaml"),
            *(path for path in manifests.glob("components/*/rbac.yaml") if path.parent.name != "namespace-identities"),
        ]
    ):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] in {"Role", "ClusterRole"}:
                found[document["metadata"]["name"]] = document["rules"]
    return f"# {_NOTE}\n" + yaml.safe_dump(found, sort_keys=True)


def admission_policy(manifests: Path) -> str:
    """The specs of the ValidatingAdmissionPolicy and of its binding, by kind; the chart puts in names and the ServiceAccount."""
    return _policy(manifests / "base" / "admission-policy.yaml")


def finalizer_policy(manifests: Path) -> str:
    """The same of the MutatingAdmissionPolicy; the chart also puts in the namespaces."""
    return _policy(manifests / "components" / "finalizer-at-creation" / "finalizer-policy.yaml")


def _policy(manifest: Path) -> str:
    documents = yaml.safe_load_all(manifest.read_text())
    found = {each["kind"]: each["spec"] for each in documents}
    return f"# {_NOTE}\n" + yaml.safe_dump(found, sort_keys=True, width=1000)


def watched_namespace(manifests: Path) -> str:
    """Roles and RoleBindings with the operator's rights in one namespace, for kustomize."""
    names = ("azure-batch-operator", "azure-batch-operator-files", "azure-batch-operator-secrets")
    return _in_one_namespace(manifests / "base" / "rbac.yaml", names)


def namespace_identities(manifests: Path) -> str:
    """The same of the right to request tokens."""
    return _in_one_namespace(
        manifests / "components" / "workload-identity" / "rbac.yaml", ("azure-batch-operator-tokens",)
    )


def _in_one_namespace(path: Path, names: Iterable[str]) -> str:
    """Roles and RoleBindings that allow in one namespace what these ClusterRoles allow in all."""
    by_kind = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(path.read_text()) if each}
    found = []
    for name in names:
        binding = by_kind["ClusterRoleBinding", name] | {"kind": "RoleBinding"}
        binding["roleRef"] = binding["roleRef"] | {"kind": "Role"}
        found += [by_kind["ClusterRole", name] | {"kind": "Role"}, binding]
    return f"# {_NOTE}\n" + "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in found)


def values_yaml() -> str:
    """values.yaml: every value with its default and what it does."""
    return f"# {_NOTE} The model is dev/artifacts/values.py.\n" + "\n".join(_section(ChartValues(), ""))


def _section(model: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        if name == "global_":
            continue
        value = getattr(model, name)
        key = field.alias or to_camel(name)
        for line in wrap(field.description or "", _WIDTH - len(indent)):
            yield f"{indent}# {line}"
        if isinstance(value, BaseModel):
            yield f"{indent}{key}:"
            yield from _section(value, indent + "  ")
        elif value and isinstance(value, dict):
            yield f"{indent}{key}:"
            for line in yaml.safe_dump(value, sort_keys=False).splitlines():
                yield f"{indent}  {line}"
        else:
            yield f"{indent}{key}: {json.dumps(value)}"
        if not indent:
            yield ""


def values_schema() -> str:
    """values.schema.json: Helm refuses what it does not allow, by name."""
    schema = ChartValues.model_json_schema(by_alias=True)
    settings = Settings.model_json_schema(by_alias=False)
    schema["$defs"] |= settings.get("$defs", {})
    config = schema["properties"]["config"]
    config["additionalProperties"] = False
    config["properties"] = {
        to_camel(name): _setting(each) for name, each in settings["properties"].items() if name not in SET_BY_CHART
    }
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **_untitled(schema)}, indent=2) + "\n"


def _setting(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A setting without its default: what is not given is left to the operator."""
    return {name: value for name, value in schema.items() if name not in {"default", "title"}}


def _untitled(schema: Any) -> Any:
    match schema:
        case dict():
            kept = {name: value for name, value in schema.items() if name != "title" or not isinstance(value, str)}
            return {name: _untitled(value) for name, value in kept.items()}
        case list():
            return [_untitled(each) for each in schema]
        case _:
            return schema


def values_page() -> str:
    """docs/helm-values.md."""
    lines = [
        "# Values of the Helm chart\n", f"<!-- {_NOTE} -->\n",
        "`helm install` rejects unknown keys and invalid values.\n",
        "| Value | Default | What it does |", "|---|---|---|",
    ]  # fmt: skip
    lines += [f"| `{path}` | `{default}` | {text} |" for path, default, text in _rows(ChartValues(), "")]
    return "\n".join(lines) + "\n"


def _rows(model: BaseModel, prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in type(model).model_fields.items():
        value, path = getattr(model, name), prefix + (field.alias or to_camel(name))
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{path}.")
        elif name != "global_":
            yield path, json.dumps(value), (field.description or "").replace("|", "\\|")

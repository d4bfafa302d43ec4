"""Specs made from the models: every member at every depth, with two different values, and as little else as the rules allow.

The models say names, types, bounds and which members are required. What they cannot say, such as which of several members excludes
the others, stands in the two tables here; the engine of the emulator refuses a sample that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from azure_batch_operator.api.base import ApiModel

Path = tuple[str, ...]
KEY = {"name": "s", "key": "k"}
"""The one Secret that all references name."""
_ENUM = re.compile(r"^\^\(\?i:(?P<words>[^)]*)\)\$$")
_ALTERNATIVES: Mapping[str, tuple[frozenset[str], Mapping[str, Any]]] = {
    "ImageReference": (
        frozenset({"publisher", "virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId"}),
        {"publisher": "p", "offer": "o", "sku": "s1"},
    ),
    "ResourceFile": (
        frozenset({"autoStorageContainerName", "storageContainerUrl", "httpUrl"}),
        {"httpUrl": "https://x.example/f", "filePath": "f"},
    ),
    "MountConfiguration": (
        frozenset(
            {
                "azureBlobFileSystemConfiguration", "nfsMountConfiguration", "cifsMountConfiguration",
                "azureFileShareConfiguration",
            }
        ),
        {"nfsMountConfiguration": {"source": "10.0.0.1:/a", "relativeMountPath": "a"}},
    ),
    "AzureBlobFileSystemConfiguration": (
        frozenset({"accountKeySecretRef", "sasKeySecretRef", "identityReference"}),
        {"accountKeySecretRef": KEY},
    ),
    "UserIdentity": (frozenset({"username", "autoUser"}), {"username": "u"}),
    "EnvironmentSetting": (frozenset({"value", "valueFrom"}), {"value": "v"}),
    "ValueSource": (frozenset({"secretKeyRef", "configMapKeyRef"}), {"secretKeyRef": KEY}),
    "JobTemplate": (frozenset({"poolRef", "poolInfo"}), {"poolRef": {"name": "cpu"}}),
    "PoolInfo": (frozenset({"poolId", "autoPoolSpecification"}), {"poolId": "cpu"}),
    "ContainerRegistry": (frozenset({"username", "identityReference"}), {"username": "u", "passwordSecretRef": KEY}),
}  # fmt: skip
"""Members of which a model has exactly one, or at most one, and what a minimal value takes."""
_MORE: Mapping[str, Mapping[str, Any]] = {
    "UserAccount": {"passwordSecretRef": KEY},
    "CifsMountConfiguration": {"passwordSecretRef": KEY},
    "AzureFileShareConfiguration": {"accountKeySecretRef": KEY},
    "LinuxUserConfiguration": {"uid": 1000, "gid": 1000},
    "VirtualMachineConfiguration": {"nodeAgentSKUId": "agent 1"},
    "ContainerConfiguration": {"type": "dockerCompatible"},
    "OutputFileDestination": {"container": {"containerUrl": "https://x.example/c"}},
    "SecretKeyRef": KEY,
    "ConfigMapKeyRef": KEY,
}
"""What a minimal value takes beyond what its model requires."""
_BESIDE: Mapping[str, Mapping[str, Any]] = {"jobReleaseTask": {"jobPreparationTask": {"commandLine": "prepare"}}}
"""What stands beside a member."""
_NUMBERS: Mapping[str, int] = {"activeDeadlineSeconds": 3600, "frontendPortRangeEnd": 2000, "priority": 200}
_SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n{}"
_TEXTS: Mapping[str, str] = {
    "subnetId": _SUBNET,
    "diskEncryptionSetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/d{}",
    "vmSize": "Standard_D{}ads_v6",
    "fileMode": "077{}",
    "doNotRunUntil": "203{}-01-01T00:00:00Z",
    "doNotRunAfter": "204{}-01-01T00:00:00Z",
    "filePattern": "*.{}",
}


class Samples:
    """Samples of one model."""

    def __init__(self, model: type[ApiModel]) -> None:
        self._model = model

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        return self._model.model_json_schema(by_alias=True)

    def paths(self, *, skip: frozenset[str] = frozenset(), depth: int = 12) -> Iterator[Path]:
        """Every member, outer ones first; `skip` is names of members of the model itself."""
        for name, child in self._schema["properties"].items():
            if name not in skip:
                yield from self._below((name,), child, depth)

    def _below(self, path: Path, schema: Mapping[str, Any], depth: int) -> Iterator[Path]:
        yield path
        found = self._object(schema)
        if found is not None and len(path) < depth and found.get("title") not in {"SecretKeyRef", "ConfigMapKeyRef"}:
            for name, child in found.get("properties", {}).items():
                yield from self._below((*path, name), child, depth)

    def with_member(self, base: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
        """`base` with the member set to `value`, and with all that it stands in."""
        return self._put(self._schema, base, path, value)

    def value(self, path: Path, number: int) -> Any:
        """One of two values of a member."""
        schema: Mapping[str, Any] = self._schema
        for name in path:
            schema = self._object(schema)["properties"][name]  # type: ignore[index]
        return self._value(schema, path[-1], number)

    def empty(self, path: Path) -> Any:
        """False, zero, an empty text, list or object, as the member's type has it; None if the schema refuses that."""
        schema: Mapping[str, Any] = self._schema
        for name in path:
            schema = self._object(schema)["properties"][name]  # type: ignore[index]
        found = self._resolved(schema)
        bounded = any(
            name in found for name in ("pattern", "enum", "minLength", "minItems", "x-kubernetes-validations")
        )
        match found.get("type"):
            case "object":
                return None if found.get("properties") and self.minimal(found) else {}
            case "integer" | "number":
                return None if found.get("minimum", 0) > 0 else 0
            case "boolean":
                return False
            case "array":
                return None if bounded else []
        return None if bounded else ""

    def required(self, path: Path) -> bool:
        """Whether what the member stands in needs it, or has it in its minimal form."""
        schema: Mapping[str, Any] = self._schema
        for name in path[:-1]:
            schema = self._object(schema)["properties"][name]  # type: ignore[index]
        return path[-1] in self.minimal(schema)

    def minimal(self, schema: Mapping[str, Any], number: int = 0) -> dict[str, Any]:
        """As few members as an object can have; `number` is which of two objects."""
        found = self._object(schema)
        assert found is not None
        result = {name: self._value(found["properties"][name], name, number) for name in found.get("required", ())}
        title = str(found.get("title"))
        return result | dict(_ALTERNATIVES.get(title, (frozenset(), {}))[1]) | dict(_MORE.get(title, {}))

    def _put(self, schema: Mapping[str, Any], base: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
        name, rest = path[0], path[1:]
        child = self._object(schema)["properties"][name]  # type: ignore[index]
        title = str((self._object(schema) or {}).get("title"))
        others, minimal = _ALTERNATIVES.get(title, (frozenset(), {}))
        kept = dict(base)
        if name in others and name not in minimal:
            kept = {each: here for each, here in kept.items() if each == name or each not in {*others, *minimal}}
        kept = {**_BESIDE.get(name, {}), **kept}
        if not rest:
            return kept | {name: value}
        inner = kept.get(name)
        if isinstance(inner, list):
            inner = inner[0]
        if inner is None:
            inner = self.minimal(child)
        built = self._put(child, inner, rest, value)
        return kept | {name: [built] if self._is_list(child) else built}

    # --- reading the schema ---

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while True:
            if "$ref" in schema:
                schema = self._schema["$defs"][schema["$ref"].rpartition("/")[2]]
            elif "anyOf" in schema:
                schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
            elif "allOf" in schema:
                schema = schema["allOf"][0]
            else:
                return schema

    def _is_list(self, schema: Mapping[str, Any]) -> bool:
        return self._resolved(schema).get("type") == "array"

    def _object(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object that a member is, or is a list of."""
        found = self._resolved(schema)
        if found.get("type") == "array":
            found = self._resolved(found["items"])
        return found if "properties" in found else None

    def _value(self, schema: Mapping[str, Any], name: str, number: int) -> Any:
        found = self._resolved(schema)
        match found.get("type"):
            case "object" if "properties" in found:
                return self.minimal(found, number)
            case "object":
                return {"key": f"value {number}"}
            case "array":
                return [self._value(found["items"], name, number)]
            case "boolean":
                return number == 0
            case "integer":
                return _NUMBERS.get(name, max(int(found.get("minimum", 0)), 1)) + number
            case "number":
                return 0.5
        return self._text(found, name, number)

    @staticmethod
    def _text(schema: Mapping[str, Any], name: str, number: int) -> str:
        pattern = str(schema.get("pattern", ""))
        rules = str(schema.get("x-kubernetes-validations", ""))
        if name in _TEXTS:
            return _TEXTS[name].format(4 + number)
        if enum := _ENUM.match(pattern):
            words = enum["words"].split("|")
            return words[number % len(words)]
        if "enum" in schema:
            return str(schema["enum"][number % len(schema["enum"])])
        if "ISO 8601" in rules or "ISO 8601" in str(schema):
            return ("PT10M", "PT12M")[number]
        return f"{name[:10]}{number}"

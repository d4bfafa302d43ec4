"""Application packages that pools and tasks refer to: whether they exist, and where they are on a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from azure_batch_emulator.engine import environment
from azure_batch_emulator.engine.entities import Node
from azure_batch_emulator.engine.environment import Package
from azure_batch_emulator.wire.errors import BatchError

Applications = Mapping[str, Mapping[str, Any]]
"""The applications of an account by name in lower case."""


def check(applications: Applications, references: Iterable[Mapping[str, Any]]) -> None:
    """Raises BatchError 409 InvalidApplicationPackageReferences for an unknown application or version."""
    for reference in references:
        application = applications.get(reference["applicationId"].lower())
        versions: Any = application["versions"] if application else ()
        if application is None or ("version" in reference and reference["version"] not in versions):
            values = {
                reference["applicationId"]: "The specified application package does not exist.",
            }
            raise BatchError("InvalidApplicationPackageReferences", values)


def variables(
    applications: Applications, node: Node, root: str, task: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Where the packages of a node are, and those of a task if it has some."""
    packages = []
    for references in (node.packages, (task or {}).get("applicationPackageReferences", ())):
        for reference in references:
            name, given = reference["applicationId"], reference.get("version", "")
            application = applications.get(name.lower(), {"id": name, "versions": []})
            version = given or (application["versions"] or [""])[-1]
            packages.append(Package(application["id"], given, version))
    return environment.package_variables(root, packages, windows=node.windows)

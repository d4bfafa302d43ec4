"""The list of secret properties, derived from the models: users must reference them, and no output may contain them."""

from __future__ import annotations

from azure_batch_operator.api.base import ApiModel


def secret_properties(*models: type[ApiModel]) -> dict[str, str]:
    """Path of each secret REST property below these models, lists as their items → name of the reference that stands for it."""
    found: dict[str, str] = {}
    for model in models:
        _collect(model, "", found)
    return found


def _collect(model: type[ApiModel], path: str, found: dict[str, str]) -> None:
    for name, member in model.members().items():
        mark = member.stands_for
        if mark is not None:
            if mark.secret:
                found[f"{path}.{mark.name}".lstrip(".")] = name
        elif member.model is not None:
            _collect(member.model, f"{path}.{name}", found)

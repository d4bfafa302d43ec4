"""Application packages of an account, by name and version: there is no way to upload one, so orders and seed files tell of them."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine.state import AccountState


def set_application(state: AccountState, application_id: str, order: dict[str, Any]) -> dict[str, Any]:
    """Make an application known, in place of what was known under its name; names and order have been checked."""
    entry = {
        "id": application_id,
        "displayName": order.get("displayName", application_id),
        "versions": order["versions"],
    }
    state.applications[application_id.lower()] = dict(entry)
    return entry

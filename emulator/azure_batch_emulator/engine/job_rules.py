"""Decisions about jobs: which call is allowed in which state, and when a job's tasks are all complete. Pure."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.wire.errors import BatchError, invalid_property, resource_error

_GONE = {"deleting": "JobBeingDeleted"}
_ENDING = {"terminating": "JobBeingTerminated", "completed": "JobCompleted"} | _GONE
_REFUSALS: dict[str, dict[str, str]] = {
    # By the API document only a job that is active, disabling or disabled can be disabled.
    "disable": {"enabling": "JobNotActive"} | _ENDING,
    # Recorded: a job that is still being disabled can be enabled again.
    "enable": _ENDING,
    "terminate": _ENDING,
    "update": _ENDING,
    "add_task": _ENDING,
    "reactivate_task": _ENDING,
    "delete": _GONE,
}
_EXISTING = {"deleting": "JobBeingDeleted", "completed": "JobCompleted"}


def check_allowed(operation: str, state: str) -> None:
    """Let an operation on a job pass, or refuse it.

    Raises:
        BatchError: 409 with the code for that state (docs/azure-batch.md#error-codes).
    """
    code = _REFUSALS[operation].get(state)
    if code is not None:
        raise BatchError(code)


def new_pool_info(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The ``poolInfo`` of a job that is given another one; of an auto pool, only keepAlive can be changed.

    Raises:
        BatchError: 400 for a change that the API document rules out.
    """
    if "autoPoolSpecification" not in new:
        return new
    given, present = new["autoPoolSpecification"], old.get("autoPoolSpecification")
    reason = "Of an autoPoolSpecification only keepAlive can be updated."
    if present is None:
        raise invalid_property("autoPoolSpecification", given["poolLifetimeOption"], reason)
    for name in given:
        if name != "keepAlive" and given[name] != present.get(name):
            raise invalid_property(name, given[name], reason)
    if present["poolLifetimeOption"] != "job":
        reason = "keepAlive can be updated only if the poolLifetimeOption is job."
        raise invalid_property("keepAlive", given["keepAlive"], reason)
    return {"autoPoolSpecification": present | {"keepAlive": given["keepAlive"]}}


def exists_error(state: str) -> BatchError:
    """Why a job cannot be created when one with its id is in that state."""
    return BatchError(_EXISTING.get(state, "JobExists"))


def auto_pool_error(code: str, message: str) -> dict[str, Any]:
    """A job's ``schedulingError`` (docs/azure-batch.md#errors-in-resources)."""
    return resource_error(code, message, [("Message", message)], key="details", category="UserError")


def counts_for_quota(state: str) -> bool:
    """Whether a job or schedule takes part of the quota of active ones."""
    return state not in ("completed", "deleting", "disabled")

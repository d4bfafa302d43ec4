"""Sends the calls of plans: the method of the client for each, and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from azure_batch_operator.batch import BatchClient, Priority
from azure_batch_operator.reconcile.plan import Call


@dataclass(frozen=True)
class Method:
    """A method of one of the client's groups.

    Attributes:
        names: whether it takes the id beside a body.
        conditional: whether the service takes `If-Match`.
    """

    group: str
    name: str
    priority: Priority = Priority.USER
    names: bool = True
    conditional: bool = True


METHODS: Mapping[str, Method] = {
    "create_pool": Method("pools", "create", names=False),
    "update_pool": Method("pools", "update"),
    "replace_pool_properties": Method("pools", "replace_properties", conditional=False),
    "enable_pool_auto_scale": Method("pools", "enable_autoscale"),
    "disable_pool_auto_scale": Method("pools", "disable_autoscale", conditional=False),
    "evaluate_pool_auto_scale": Method("pools", "evaluate_autoscale", conditional=False),
    "resize_pool": Method("pools", "resize"),
    "stop_pool_resize": Method("pools", "stop_resize"),
    "remove_nodes": Method("pools", "remove_nodes"),
    "reboot_node": Method("nodes", "reboot", conditional=False),
    "reimage_node": Method("nodes", "reimage", conditional=False),
    "delete_pool": Method("pools", "delete", Priority.DELETE),
    "create_job": Method("jobs", "create", names=False),
    "update_job": Method("jobs", "update"),
    "terminate_job": Method("jobs", "terminate"),
    "disable_job": Method("jobs", "disable"),
    "enable_job": Method("jobs", "enable"),
    "delete_job": Method("jobs", "delete", Priority.DELETE),
    "update_task": Method("tasks", "replace"),
    "terminate_task": Method("tasks", "terminate"),
    "reactivate_task": Method("tasks", "reactivate"),
    "create_schedule": Method("job_schedules", "create", names=False),
    "update_schedule": Method("job_schedules", "update"),
    "enable_schedule": Method("job_schedules", "enable"),
    "disable_schedule": Method("job_schedules", "disable"),
    "terminate_schedule": Method("job_schedules", "terminate"),
    "delete_schedule": Method("job_schedules", "delete", Priority.DELETE),
    "delete_task": Method("tasks", "delete", Priority.DELETE),
}


async def send(client: BatchClient, call: Call, on_unanswered: Callable[[], None] | None = None) -> Any:
    """Make a call.

    Args:
        on_unanswered: called for each attempt without a response, which may take effect later.

    Returns:
        What the client does: a receipt, or the body of the answer.

    Raises:
        BatchError: as the client says.
    """
    method = METHODS[call.verb]
    path = [*([call.parent] if call.parent else []), call.id] if method.names else []
    body = [] if call.body is None else [dict(call.body)]
    conditions = {"if_match": call.if_match} if call.if_match and method.conditional else {}
    told = {} if on_unanswered is None else {"on_unanswered": on_unanswered}
    take = getattr(getattr(client, method.group), method.name)
    return await take(*path, *body, priority=method.priority, **conditions, **told)

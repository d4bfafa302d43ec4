"""Stops a resource although the spec of its object is unusable: based on the verb, the marker and the state in Azure Batch.

Nothing is decided from a spec that the CRD does not allow (`fitness`), with one exception: what the user wants to be stopped is
stopped. Nothing of the spec is sent with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from azure_batch_operator.api.base import TERMINATE
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.batch.job_wire import Job
from azure_batch_operator.batch.wire import Body, build
from azure_batch_operator.reconcile.annotations import handled, pending_request
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import end as job_end
from azure_batch_operator.reconcile.job import suspension as job_hold
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.observed import ObservedTask
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.reconcile.plan import Call, Evidence, Plan, Table, without_etag

_OVER = frozenset({"terminating", "completed", "deleting"})


def stopping(resource: Resource, stalled: Plan, remote: Body | ObservedTask, parent: str | None = None) -> Plan:
    """The plan that says what is wrong with the spec, with the calls that stop what there is, if any are needed.

    Args:
        stalled: says what is wrong.
        remote: what is in Azure Batch, known to be the object's.
        parent: id of the job of a task.
    """
    ends = pending_request(resource, TERMINATE) is not None
    found = MarkedBody.of(remote) if isinstance(remote, Mapping) else remote
    if found.state in _OVER:
        return stalled
    calls: tuple[Call, ...] = ()
    if isinstance(remote, ObservedTask):
        calls = (_terminate_task(resource, remote, parent),) if ends else ()
    else:
        calls = _stop(resource, remote, ends=ends)
    if not calls or not ends or resource.key.kind is Kind.SCHEDULE:
        return replace(stalled, calls=calls)
    # The annotation of a schedule holds for good; that of a job or task is carried out once.
    return replace(stalled, calls=calls, status={**(stalled.status or {}), "handled": handled(resource, TERMINATE)})


def _stop(resource: Resource, remote: Body, *, ends: bool) -> tuple[Call, ...]:
    """The calls that stop a job or schedule."""
    match resource.key.kind:
        case Kind.JOB:
            return _terminate_job(resource, remote) if ends else _suspend_job(resource, remote)
        case Kind.SCHEDULE if ends:
            return (Call("terminate_schedule", Table.SCHEDULES, resource.remote_id, evidence=Evidence.of(remote)),)
        case Kind.SCHEDULE if resource.suspends and MarkedBody.of(remote).state == "active":
            return (Call("disable_schedule", Table.SCHEDULES, resource.remote_id, evidence=Evidence.of(remote)),)
    return ()


def _terminate_task(resource: Resource, remote: ObservedTask, parent: str | None) -> Call:
    evidence, etag = without_etag(remote), remote.etag
    return Call("terminate_task", Table.TASKS, resource.remote_id, parent=parent, if_match=etag, evidence=evidence)


def _terminate_job(resource: Resource, remote: Body) -> tuple[Call, ...]:
    body = {"terminateReason": job_end.ASKED.terminate_reason}
    return (Call("terminate_job", Table.JOBS, resource.remote_id, body=body, evidence=Evidence.of(remote)),)


def _suspend_job(resource: Resource, remote: Body) -> tuple[Call, ...]:
    """With the note that the operator has stopped it, since otherwise it would not let the job continue later."""
    job, terms = build(Job, remote), JobTerms.of(resource.spec)
    switch = job_hold.switch(resource.remote_id, terms, job, "suspend")
    if switch is None:
        return ()
    change = job_changes.with_notes(job, remote, job_hold.notes(terms, job, "suspend"))
    if not change:
        return (switch,)
    evidence, etag = without_etag(job), job.etag
    note = Call("update_job", Table.JOBS, resource.remote_id, body=change, if_match=etag, evidence=evidence)
    return note, switch

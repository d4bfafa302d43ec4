"""The differences between a BatchJobSchedule and its schedule in Azure Batch, and the Secret values of its jobs.

The service takes `schedule`, `jobSpecification` and `metadata` each as a whole, and only jobs that it makes later are affected.
What the schedule was last given is noted in its metadata: of the spec (`applied`) and of Secrets and ConfigMaps (`pool_values`).
"""

from __future__ import annotations

from typing import Any

from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.batch.wire import Body
from azure_batch_operator.reconcile import applied, ownership
from azure_batch_operator.reconcile import normalization as normal
from azure_batch_operator.reconcile import secret_versions as pool_values
from azure_batch_operator.reconcile.applied import STAYS, differences
from azure_batch_operator.reconcile.ownership import MarkedBody
from azure_batch_operator.reconcile.secret_versions import NO_VALUES, ValueVersions, to_note
from azure_batch_operator.reconcile.value_references import ResolutionError

CHANGEABLE: Body = {"schedule": STAYS, "jobSpecification": STAYS}
"""Changed by PATCH, beside the metadata; the spec never leaves them out."""


def body_of(spec: Body, pool_id: str | None) -> dict[str, Any]:
    """What the REST API takes, with the pool's id in the place of `poolRef`."""
    body = JobScheduleSpec.rest_body(spec)
    if pool_id is not None:
        body["jobSpecification"] = body["jobSpecification"] | {"poolInfo": {"poolId": pool_id}}
    return body


def with_note(body: Body, spec: Body, pool_id: str | None, values: ValueVersions = NO_VALUES) -> dict[str, Any]:
    """The body of a new schedule with the notes of what it is made from."""
    noted = applied.with_note(body, _said(body_of(spec, pool_id)))
    return noted | {"metadata": [*noted["metadata"], *to_note(JobScheduleSpec, spec, values, values.taken.keys(), {})]}


def _said(body: Body) -> dict[str, Any]:
    return {name: body[name] for name in (*CHANGEABLE, "metadata") if name in body}


def unread(spec: Body, pool_id: str | None, remote: Body, values: ValueVersions) -> dict[str, ResolutionError]:
    """Members of a changed spec that cannot be given their values, and why."""
    return pool_values.unread(values, applied.marks(_said(body_of(spec, pool_id))), applied.noted(remote))


def changes(spec: Body, pool_id: str | None, remote: Body, values: ValueVersions = NO_VALUES) -> dict[str, Any]:
    """Members for a PATCH."""
    body = body_of(spec, pool_id)
    before, marks = applied.noted(remote), applied.marks(_said(body))
    marks = applied.after(before, marks, not_yet=pool_values.unread(values, marks, before))
    change: dict[str, Any] = {}
    times: Body = body.get("schedule") or {}
    there: Body = remote.get("schedule") or {}
    if not normal.same_schedule(
        times, there, lenient=before.keeps and before.lenient("schedule", marks.get("schedule"))
    ):
        change["schedule"] = times
    only = {"jobSpecification": CHANGEABLE["jobSpecification"]}
    change |= differences(only, body, remote, before, marks).members
    if "jobSpecification" in values.changed:
        change["jobSpecification"] = body["jobSpecification"]
    own = applied.own_items(body, remote, before)
    given = to_note(JobScheduleSpec, spec, values, change.keys(), remote)
    same_items = normal.metadata(own) == MarkedBody.of(remote).user_metadata
    # A schedule of our own is compared to the letter without its note, so that the note can wait for the next change.
    must_note = before.keeps and (not before.known or marks != before.marks)
    touched = pool_values.noted({"metadata": given}) != pool_values.noted(remote)
    if not same_items or must_note or touched or (change and marks != before.marks):
        marked = ownership.with_same_marker({"metadata": own}, remote)["metadata"]
        change["metadata"] = [*marked, applied.note(marks), *given]
    return change

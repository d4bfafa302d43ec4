"""Invalid specs that the CRD should have rejected: the CRD was loosened, or an older one accepted them.

Nothing is decided from such a spec, since what is wrong in it was left out when it was read (`Resource.unreadable`), and a task
without its dependencies is another task. The object says which members to correct; it can still be deleted.
"""

from __future__ import annotations

from pydantic import ValidationError

from azure_batch_operator.api.kinds import KINDS
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.reconcile.plan import Plan
from azure_batch_operator.reconcile.standard_plans import with_event
from azure_batch_operator.reconcile.status import Verdict, carry_over

_NAMED = 5


def problems(resource: Resource) -> list[str]:
    """What the CRD does not allow in a spec, at most five of them, each with its path; empty if it is fit."""
    found = [f"spec.{path}".rstrip(".") + " is missing, or of another type" for path in resource.unreadable]
    if not found:
        try:
            KINDS[resource.key.kind].spec.model_validate(resource.spec)
        except ValidationError as error:
            found = [
                f"spec.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
                for each in error.errors(include_url=False, include_context=False, include_input=False)
            ]
    return found[:_NAMED]


def stalled(resource: Resource, found: list[str], now: float) -> Plan:
    """Say what is wrong, and do nothing."""
    message = (
        f"the spec violates the schema of the CRD: {'; '.join(found)}: correct it, and install the CRD of this version"
    )
    verdict = Verdict("Stalled", "InvalidSpec", message, ready=False, trend="Stalled")
    return with_event(resource, Plan(status=carry_over(resource, verdict, now)), verdict)

"""Ends what would make work forever, so that a history can come to rest."""

from __future__ import annotations

import re
from collections.abc import Iterable

from histories.history import Step
from histories.record import Body, owner_in

POLICY = "azurebatch.io/reconcile-policy"


_SLEEP = re.compile(r"\bsleep (\d+)")


def seconds_of(commands: Iterable[str]) -> float:
    """Virtual seconds that tasks need if they run one after the other, which is what they do on a pool with one slot."""
    return float(sum(int(seconds) for command in commands for seconds in _SLEEP.findall(command)))


def stop_schedules(
    now: float, objects: Iterable[Body], schedules: Iterable[Body], namespaces: Iterable[Body]
) -> list[Step]:
    """What users do at the end: suspend each BatchJobSchedule, and disable each schedule that no object rules.

    An object that is not reconciled, or was deleted while it was not, leaves a schedule that starts jobs forever; so does one
    that was detached, even if another object names its ID (docs/ownership.md).

    Args:
        objects: BatchJobSchedules.
        schedules: as Azure Batch has them.
        namespaces: all of them; the policy of one counts for objects without a policy of their own.
    """
    steps, ruled = [], set[str]()
    given = {each["metadata"]["name"] for each in namespaces if POLICY in each["metadata"].get("annotations", {})}
    for body in objects:
        metadata = body["metadata"]
        where = {"kind": "bjs", "name": metadata["name"], "namespace": metadata["namespace"]}
        steps.append(Step(now, "patch", {**where, "patch": {"spec": {"suspend": True}}}))
        policy = POLICY in metadata.get("annotations", {}) or metadata["namespace"] in given
        if "schedule" in body["spec"] and not policy:
            ruled.add(metadata["uid"])
    owners = {each["id"]: owner_in(each.get("metadata")) for each in schedules if each["state"] == "active"}
    left = [id for id, owner in owners.items() if owner is None or owner.uid not in ruled]
    return steps + [Step(now, "azure", {"method": "POST", "path": f"/jobschedules/{id}/disable"}) for id in left]

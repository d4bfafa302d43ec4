"""Pools that the service makes for a job or a schedule, and takes away with it (docs/azure-batch.md#jobs)."""

from __future__ import annotations

import uuid
from typing import Any

from azure_batch_emulator.engine import ports
from azure_batch_emulator.engine.entities import Job
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.job_rules import auto_pool_error
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.errors import BatchError

_ERROR_CODES = {
    "PoolQuotaReached": "AutoPoolCreationFailedWithQuotaReached",
    "InvalidApplicationPackageReferences": "InvalidApplicationPackageReferencesInAutoPool",
    "AutoScalingFormulaSyntaxError": "InvalidAutoScaleFormulaInAutoPool",
}
_CREATION_DELAY = 1.0
# A job that is disabled meanwhile wants its pool all the same: it may be enabled again.
_LIVING = frozenset({"active", "disabling", "disabled", "enabling"})


class AutoPools:
    """Makes and removes auto pools."""

    def __init__(self, state: AccountState, events: Events, pools: ports.Pools) -> None:
        self._state = state
        self._events = events
        self._pools = pools

    def attach(self, job: Job) -> None:
        """Give a job its pool id at once; the pool itself follows."""
        specification: dict[str, Any] = job.spec["poolInfo"]["autoPoolSpecification"]
        schedule = self._state.schedule_table.get((job.schedule_id or "").lower())
        shared = schedule is not None and specification["poolLifetimeOption"] == "jobschedule"
        job.auto_pool = True
        usual = schedule.auto_pool_id if shared and schedule is not None else None
        pool = self._state.pool_table.get((usual or "").lower())
        if usual is not None and (pool is None or pool.state == "active"):
            job.pool_id = usual
            if pool is not None:
                return
            # The job that was to have it made has ended before that.
        else:
            # One that is being deleted takes no tasks any more.
            guid = str(uuid.UUID(int=self._state.random.getrandbits(128), version=4)).upper()
            prefix = specification.get("autoPoolIdPrefix")
            job.pool_id = f"{prefix}_{guid}" if prefix else guid
        if shared and schedule is not None:
            schedule.auto_pool_id, schedule.auto_pool_kept = job.pool_id, specification["keepAlive"]
        self._state.clock.call_later(_CREATION_DELAY, self._create, job, job.pool_id, specification)

    def leave(self, job: Job) -> None:
        """The job moves to another pool: its own one lives on, as documented for the lifetime of the job."""
        specification = job.spec["poolInfo"].get("autoPoolSpecification")
        if specification is not None and self._goes_with(job, specification):
            job.left_pool = job.pool_id
        job.auto_pool = False

    def resume(self, job: Job) -> None:
        """Make the pool of a job that comes from a state file, if it was still to be made."""
        specification = job.spec["poolInfo"].get("autoPoolSpecification")
        if specification is not None and job.pool_id.lower() not in self._state.pool_table:
            self._state.clock.call_later(_CREATION_DELAY, self._create, job, job.pool_id, specification)

    def _create(self, job: Job, pool_id: str, specification: dict[str, Any]) -> None:
        if job.state not in _LIVING or job.pool_id != pool_id or pool_id.lower() in self._state.pool_table:
            return
        if "pool" not in specification:
            error = auto_pool_error("InvalidAutoPoolSettings", "The auto pool has no pool specification.")
            self._events.auto_pool_refused(job, error)
            return
        try:
            self._pools.create(pool_id, specification["pool"])
        except BatchError as refused:
            code = _ERROR_CODES.get(refused.code, "InvalidAutoPoolSettings")
            self._events.auto_pool_refused(job, auto_pool_error(code, refused.message))
        else:
            self._events.work_added(pool_id)

    def job_ended(self, job: Job) -> None:
        """A job is completed or gone: its pool goes with it, unless it is kept or the schedule's."""
        specification = job.spec["poolInfo"].get("autoPoolSpecification")
        if specification is not None and self._goes_with(job, specification):
            self.remove(job.pool_id)
        if job.left_pool is not None:
            self.remove(job.left_pool)

    @staticmethod
    def _goes_with(job: Job, specification: dict[str, Any]) -> bool:
        """Whether an auto pool lives as long as the job, not as its schedule and not forever."""
        of_schedule = job.schedule_id is not None and specification["poolLifetimeOption"] == "jobschedule"
        return not specification["keepAlive"] and not of_schedule

    def remove(self, pool_id: str) -> None:
        """Delete an auto pool if it is still there."""
        pool = self._state.pool_table.get(pool_id.lower())
        if pool is not None and pool.state == "active":
            self._pools.delete(pool)

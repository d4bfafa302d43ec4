"""Plans of jobs, job schedules and tasks driven against the engine of the emulator, in one process; for pools see `pool_engine`.

Each bench is one object and its resource. Nothing is remembered between two steps but what the service has and what the object's
status says, as after a restart of the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema import jobs as job_schema
from azure_batch_emulator.schema import tasks as task_schema
from azure_batch_emulator.web import render
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from azure_batch_operator.api.base import ApiModel
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.resource import Resource
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.batch.wire import NO_COUNTS
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.job import lifecycle as job
from azure_batch_operator.reconcile.job.scope import JobScope, TasksView
from azure_batch_operator.reconcile.ownership import marker_of
from azure_batch_operator.reconcile.plan import Absent, AccountView, Call, Plan, Remote
from azure_batch_operator.reconcile.schedule import lifecycle as schedule
from azure_batch_operator.reconcile.schedule.lifecycle import JobsView, ScheduleScope
from azure_batch_operator.reconcile.secret_versions import compared
from azure_batch_operator.reconcile.target_pool import TargetPoolView
from azure_batch_operator.reconcile.task import lifecycle as task
from azure_batch_operator.reconcile.task.scope import JobView, TaskScope, TaskView
from azure_batch_operator.reconcile.value_references import filled
from support.pool_engine import ACCOUNT, CLUSTER, SECRETS, taken
from support.typed import observed

_BASE = "https://a.example"


class Bench:
    """One object whose plan is carried out."""

    model: type[ApiModel]

    def __init__(self, resource: Resource) -> None:
        self.clock = ManualClock()
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), seed=1)
        self.service.applications["applicatio0"] = self.service.applications["applicatio1"] = {
            "id": "applicatio0", "versions": ["version0", "version1"],
        }  # fmt: skip
        self.resource = resource
        self.calls: list[Call] = []

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return (self.clock.now() - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND

    def become(self, spec: Mapping[str, Any]) -> None:
        """The user changes the spec."""
        self.resource = replace(self.resource, spec=dict(spec), generation=self.resource.generation + 1)

    def settle(self, passes: int = 8) -> Plan:
        """Plan and act until a plan makes no call; that plan."""
        for _ in range(passes):
            decided = self._plan(ACCOUNT, self.remote(), self.now)
            for call in decided.calls:
                self.calls.append(call)
                self._send(call, filled(self.model, call.body or {}, SECRETS))
            if decided.submit is not None:
                self._submit(filled(self.model, decided.submit, SECRETS))
            if decided.status is not None:
                self.resource = replace(self.resource, status=dict(decided.status))
            self.clock.advance(20.0)
            if not decided.calls and decided.submit is None:
                return decided
        raise AssertionError(f"no fixed point: {[(call.verb, call.body) for call in self.calls[-2:]]}")

    def remote(self) -> Remote:
        """The resource as a list shows it."""
        raise NotImplementedError

    def _plan(self, account: AccountView, remote: Remote, now: float) -> Plan:
        raise NotImplementedError

    def _send(self, call: Call, body: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _submit(self, body: Mapping[str, Any]) -> None:
        raise AssertionError(f"unexpected submission of {body}")


class JobBench(Bench):
    """A BatchJob without tasks of its own."""

    model = JobSpec

    def remote(self) -> Remote:
        try:
            return render.job(_BASE, self.service.job("one"))
        except BatchError:
            return Absent.NOT_FOUND

    def _plan(self, account: AccountView, remote: Remote, now: float) -> Plan:
        spec = self.resource.spec
        pool = TargetPoolView("cpu" if "poolRef" in spec else (spec.get("poolInfo") or {}).get("poolId"))
        tasks = TasksView(counts=NO_COUNTS, fingerprint=job_changes.fingerprint(spec))
        return job.plan(JobScope(self.resource, account, pool, remote, tasks, CLUSTER, now))

    def _send(self, call: Call, body: Mapping[str, Any]) -> None:
        jobs = self.service.jobs
        match call.verb:
            case "create_job":
                jobs.create(call.id, job_schema.JOB.accept("", dict(body)))
            case "update_job":
                jobs.update(self.service.job(call.id), job_schema.JOB_UPDATE.accept("", dict(body), partial=True))
            case "disable_job":
                jobs.disable(self.service.job(call.id), body["disableTasks"])
            case "enable_job":
                jobs.enable(self.service.job(call.id))
            case _:
                raise AssertionError(f"unexpected call {call.verb}")


class ScheduleBench(Bench):
    """A BatchJobSchedule of the service."""

    model = JobScheduleSpec

    def remote(self) -> Remote:
        try:
            return render.schedule(_BASE, self.service.schedule("one"))
        except BatchError:
            return Absent.NOT_FOUND

    def _plan(self, account: AccountView, remote: Remote, now: float) -> Plan:
        specification = self.resource.spec["jobSpecification"]
        pool = TargetPoolView(
            "cpu" if "poolRef" in specification else (specification.get("poolInfo") or {}).get("poolId")
        )
        values = compared(taken(JobScheduleSpec, self.resource.spec), {}, remote)
        return schedule.plan(
            ScheduleScope(self.resource, account, pool, remote, JobsView(), CLUSTER, now, values=values)
        )

    def _send(self, call: Call, body: Mapping[str, Any]) -> None:
        schedules = self.service.schedules
        match call.verb:
            case "create_schedule":
                schedules.create(call.id, job_schema.JOB_SCHEDULE.accept("", dict(body)))
            case "update_schedule":
                accepted = job_schema.JOB_SCHEDULE_UPDATE.accept("", dict(body), partial=True)
                schedules.update(self.service.schedule(call.id), accepted, replace=False)
            case "disable_schedule":
                schedules.disable(self.service.schedule(call.id))
            case "enable_schedule":
                schedules.enable(self.service.schedule(call.id))
            case _:
                raise AssertionError(f"unexpected call {call.verb}")


class TaskBench(Bench):
    """A BatchTask of a job that has retries of its own."""

    model = TaskSpec

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        body = {"id": "steps", "poolInfo": {"poolId": "cpu"}, "constraints": {"maxTaskRetryCount": 7}}
        self.service.jobs.create("steps", job_schema.JOB.accept("", body))

    def remote(self) -> Remote:
        try:
            return render.task(_BASE, self.service.task("steps", "one"))
        except BatchError:
            return Absent.NOT_FOUND

    def _plan(self, account: AccountView, remote: Remote, now: float) -> Plan:
        parent = render.job(_BASE, self.service.job("steps"))
        job_view = JobView(True, "steps", parent, ours=True)
        return task.plan(
            TaskScope(
                self.resource,
                account,
                job_view,
                TaskView(remote if isinstance(remote, Absent) else observed({**remote, "owner": marker_of(remote)})),
                CLUSTER,
                now,
            )
        )

    def _send(self, call: Call, body: Mapping[str, Any]) -> None:
        if call.verb != "update_task":
            raise AssertionError(f"unexpected call {call.verb}")
        accepted = task_schema.TASK_UPDATE.accept("", dict(body))
        self.service.tasks.replace(self.service.task("steps", call.id), accepted["constraints"])

    def _submit(self, body: Mapping[str, Any]) -> None:
        self.service.tasks.add(self.service.job("steps"), task_schema.TASK.accept("", dict(body)))

"""Jobs: created, changed, disabled, enabled, ended and deleted (docs/azure-batch.md#jobs)."""

from __future__ import annotations

from typing import Any, NamedTuple

from azure_batch_emulator.engine import job_rules, machine_rules, packages, ports, task_rules, timings
from azure_batch_emulator.engine.entities import Counts, Job, Task
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.lag import Lagging
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.isolation import for_each
from azure_batch_emulator.wire.errors import BatchError, invalid_property

_MANAGER_PROPERTIES = frozenset({"killJobOnCompletion", "runExclusive", "allowLowPriorityNode"})


class UsedByJobs(NamedTuple):
    """The managers that jobs need."""

    limits: ports.Limits
    tasks: ports.Tasks
    job_tasks: ports.JobTasks
    scheduler: ports.Scheduler
    task_ages: ports.TaskAges
    auto_pools: ports.AutoPools


class Jobs:
    """Acts on the jobs of an account."""

    def __init__(self, state: AccountState, events: Events, managers: UsedByJobs) -> None:
        self._state = state
        self._events = events
        self._limits = managers.limits
        self._tasks = managers.tasks
        self._job_tasks = managers.job_tasks
        self._scheduler = managers.scheduler
        self._task_ages = managers.task_ages
        self._auto_pools = managers.auto_pools

    # -- creating --

    def create(self, job_id: str, spec: dict[str, Any], *, schedule_id: str | None = None) -> Job:
        """Create a job from an accepted body; a pool that does not exist is no error.

        Args:
            schedule_id: of the schedule that makes it. That has checked the body before, and nobody would hear of a refusal now.

        Raises:
            BatchError: 409 for an id in use or a full quota.
        """
        if schedule_id is None:
            self.check(spec)
        existing = self._state.job_table.get(job_id.lower())
        if existing is not None:
            raise job_rules.exists_error(existing.state)
        if job_id.lower() in self._state.schedule_table:
            raise BatchError("JobScheduleWithSameIdExists")
        if schedule_id is None:
            self._state.check_active_quota()
        created = self._state.clock.now()
        now = self._state.clock.now()
        job = Job(
            id=job_id,
            spec={name: value for name, value in spec.items() if name != "id"},
            created=created,
            last_modified=now,
            state_time=now,
            start_time=now,
            pool_id=spec["poolInfo"].get("poolId", ""),
            schedule_id=schedule_id,
            past=Lagging(self._state.lag),
            limit_since=self._limits.reading(),
        )
        self._state.job_table[job_id.lower()] = job
        if "autoPoolSpecification" in spec["poolInfo"]:
            self._auto_pools.attach(job)
        self._scheduler.enter(job)
        self._limit(job)
        manager = spec.get("jobManagerTask")
        if manager is not None:
            body = {name: value for name, value in manager.items() if name not in _MANAGER_PROPERTIES}
            self._tasks.add(job, body, is_job_manager=True)
        self._plan_check(job)
        return job

    def check(self, spec: dict[str, Any]) -> None:
        """Let the body of a job pass that the account allows: what is refused leaves no half of a job behind.

        Raises:
            BatchError: 400 for a subnet or for what a job manager task must not have, 409 for its packages.
        """
        machine_rules.check_subnet(spec.get("networkConfiguration"), self._state.subscription)
        manager = spec.get("jobManagerTask")
        if manager is not None:
            task_rules.check_body(spec, manager)
            packages.check(self._state.applications, manager.get("applicationPackageReferences", ()))

    def _limit(self, job: Job) -> None:
        """Watch over maxWallClockTime, which counts from the creation of the job whatever happens to it since."""
        if job.wall_clock_timer is not None:
            job.wall_clock_timer.cancel()
        job.wall_clock_timer = self._limits.watch(
            job.spec["constraints"]["maxWallClockTime"], job.limit_since, self._wall_clock_over, job
        )

    def _wall_clock_over(self, job: Job) -> None:
        if job.state in ("active", "disabling", "disabled", "enabling"):
            self._end(job, "MaxWallClockTimeExpiry")

    def resume(self, job: Job) -> None:
        """Go on with a job that comes from a state file: what it was about to become, it is now."""
        now = self._state.clock.now()
        if job.state == "deleting":
            self._stop_timers(job)
            self._gone(job)
            return
        if job.state in ("disabling", "enabling"):
            job.state, job.state_time = ("disabled" if job.state == "disabling" else "active"), now
        if job.state == "terminating":
            job.state, job.state_time, job.end_time = "completed", now, now
            self._auto_pools.job_ended(job)
        if job.state == "completed":
            self._stop_timers(job)
            return
        self._auto_pools.resume(job)
        self._limit(job)
        self._scheduler.enter(job)
        manager = job.spec.get("jobManagerTask")
        task = job.tasks.get(manager["id"].lower()) if manager is not None else None
        if manager is not None and task is not None and task.state == "completed" and manager["killJobOnCompletion"]:
            self._state.clock.call_later(timings.COMPLETION_CHECK, self.end_by_service, job, "JMComplete")
        if job.reaction is not None:
            self._react(job, job.reaction)
        self._plan_check(job)

    # -- changing --

    def update(self, job: Job, changes: dict[str, Any]) -> None:
        """PATCH or PUT: members that are present are replaced whole, those that are None go.

        Raises:
            BatchError: 409 for a job that ended or a pool change of one that is not disabled, 400 for
                onAllTasksComplete going back to noaction.
        """
        job_rules.check_allowed("update", job.state)
        if job.spec["onAllTasksComplete"] == "terminatejob" and changes.get("onAllTasksComplete") == "noaction":
            reason = "onAllTasksComplete cannot be changed back once it is terminateJob."
            raise invalid_property("onAllTasksComplete", "noaction", reason)
        machine_rules.check_subnet(changes.get("networkConfiguration"), self._state.subscription)
        present = job.spec["poolInfo"]
        asked = changes.get("poolInfo", present)
        if asked != present:
            if job.state != "disabled":
                reason = "poolInfo can be changed only on a disabled job."
                raise BatchError("OperationInvalidForCurrentState", {"Reason": reason})
            changes = changes | {"poolInfo": job_rules.new_pool_info(present, asked)}
        moved = asked != present and "poolId" in asked
        if moved:
            self._scheduler.leave(job)
            self._auto_pools.leave(job)
        job.spec = {name: value for name, value in (job.spec | changes).items() if value is not None and value != []}
        job.last_modified = self._state.clock.now()
        self._limit(job)
        if moved:
            job.pool_id = job.spec["poolInfo"]["poolId"]
            self._scheduler.enter(job)
        self._events.work_added(job.pool_id)
        self._plan_check(job)

    def disable(self, job: Job, option: str) -> None:
        """Stop running tasks of a job.

        Args:
            option: ``requeue``, ``terminate`` or ``wait``.

        Raises:
            BatchError: 409 in any other state than active, disabling or disabled.
        """
        job_rules.check_allowed("disable", job.state)
        now = self._state.clock.now()
        job.last_modified = now
        job.disable_option = option
        if job.state == "active":
            job.enter("disabling", now)
        if option == "requeue":
            runs = [task.run for task in self._running(job) if task.run is not None]
            for_each(self._state.clock, runs, self._tasks.requeue)
        elif option == "terminate":
            self._end_tasks(job, task_rules.ENDED_BY_USER)
        self.task_stopped(job)

    def enable(self, job: Job) -> None:
        """Let a disabled job run tasks again.

        Raises:
            BatchError: 409 for the state, or for a full quota.
        """
        job_rules.check_allowed("enable", job.state)
        if job.state in ("active", "enabling"):
            return
        if not job_rules.counts_for_quota(job.state):
            self._state.check_active_quota()
        now = self._state.clock.now()
        at_rest = job.state == "disabled"
        job.enter("enabling", now)
        job.last_modified = now
        if at_rest:
            # Recorded: a job that is disabled is active when the call has been answered.
            self._enabled(job)
        else:
            self._step(job, timings.JOB_SWITCH, self._enabled)

    def _enabled(self, job: Job) -> None:
        if job.state == "enabling":
            at_rest = job.previous_state == "disabled"
            job.enter("active", job.last_modified if at_rest else self._state.clock.now())
            self._events.work_added(job.pool_id)
            self._plan_check(job)

    def task_stopped(self, job: Job) -> None:
        """A task of the job has stopped running."""
        if job.state == "disabling" and not job.counts.running:
            self._step(job, timings.JOB_SWITCH, self._disabled)

    def _disabled(self, job: Job) -> None:
        if job.state == "disabling" and not job.counts.running:
            job.enter("disabled", self._state.clock.now())

    def _step(self, job: Job, seconds: float, step: Any) -> None:
        if job.step_timer is not None:
            job.step_timer.cancel()
        job.step_timer = self._state.clock.call_later(seconds, step, job)

    @staticmethod
    def shown_counts(job: Job) -> tuple[Counts, Counts]:
        """Counts of tasks and of slots as the service tells them: a little behind."""
        return job.counts_of_tasks() if job.past is None else job.past.shown(job.counts_of_tasks)

    # -- ending --

    def terminate(self, job: Job, reason: str) -> None:
        """End a job at a user's wish.

        Raises:
            BatchError: 409 when it has ended or is about to.
        """
        job_rules.check_allowed("terminate", job.state)
        self._end(job, reason)

    def _end(self, job: Job, reason: str) -> None:
        now = self._state.clock.now()
        job.enter("terminating", now)
        job.terminate_reason = reason
        job.last_modified = now
        self._stop_timers(job)
        self._end_tasks(job, task_rules.JOB_ENDED)
        job.after_release = "complete"
        job.releasing = self._job_tasks.release(job)
        if not job.releasing:
            self._after_release(job)

    def end_by_service(self, job: Job, reason: str) -> None:
        """End a job because the service says so; nothing happens to one that has ended."""
        if job.state in ("active", "disabling", "disabled", "enabling"):
            self._end(job, reason)

    def release_ended(self, job: Job) -> None:
        """One release task is over."""
        job.releasing -= 1
        if job.releasing <= 0 and job.after_release is not None:
            self._after_release(job)

    def _after_release(self, job: Job) -> None:
        what, job.after_release = job.after_release, None
        if what == "complete":
            delay = timings.AUTO_POOL_JOB_TERMINATE if job.auto_pool else timings.JOB_TERMINATE
            self._step(job, delay, self._completed)
        else:
            delay = timings.AUTO_POOL_JOB_DELETE if job.auto_pool else timings.JOB_DELETE
            self._step(job, delay, self._gone)

    def _completed(self, job: Job) -> None:
        if job.state != "terminating":
            return
        now = self._state.clock.now()
        job.enter("completed", now)
        job.end_time = now
        self._scheduler.leave(job)
        self._events.job_completed(job)

    def auto_pool_refused(self, job: Job, error: dict[str, Any]) -> None:
        """The auto pool of a job cannot be made: the job is completed at once."""
        if job.state != "active":
            return
        now = self._state.clock.now()
        self._stop_timers(job)
        job.scheduling_error = error
        job.enter("completed", now)
        job.end_time = now
        self._scheduler.leave(job)
        self._events.job_completed(job)

    def delete(self, job: Job) -> None:
        """Begin to delete a job with all its tasks; the ETag stays (recorded).

        Raises:
            BatchError: 409 JobBeingDeleted the second time.
        """
        job_rules.check_allowed("delete", job.state)
        self._stop_timers(job)
        job.enter("deleting", self._state.clock.now())
        self._end_tasks(job, task_rules.JOB_ENDED)
        self._scheduler.leave(job)
        job.after_release = "delete"
        job.releasing += self._job_tasks.release(job)
        if job.releasing <= 0:
            self._after_release(job)

    def _gone(self, job: Job) -> None:
        if self._state.job_table.get(job.id.lower()) is job:
            del self._state.job_table[job.id.lower()]
        self._events.job_gone(job)

    def _stop_timers(self, job: Job) -> None:
        for timer in (job.wall_clock_timer, job.step_timer, job.completion_timer):
            if timer is not None:
                timer.cancel()
        job.wall_clock_timer = job.step_timer = job.completion_timer = None
        self._task_ages.forget(job)

    def _end_tasks(self, job: Job, failure: dict[str, Any]) -> None:
        for_each(self._state.clock, self._running(job), lambda task: self._tasks.end(task, failure))

    @staticmethod
    def _running(job: Job) -> list[Task]:
        if not job.counts.running:
            return []
        return [task for task in job.tasks.values() if task.state in ("preparing", "running")]

    # -- what tasks tell --

    def task_completed(self, task: Task, job_action: str) -> None:
        """A task has completed; the job may end for one of several reasons."""
        job = task.job
        self.task_stopped(job)
        if job.state not in ("active", "disabling", "disabled", "enabling"):
            return
        if task.is_job_manager and job.spec["jobManagerTask"]["killJobOnCompletion"]:
            self._state.clock.call_later(timings.COMPLETION_CHECK, self.end_by_service, job, "JMComplete")
            return
        ordered = job_action == "terminate" or (job_action == "disable" and job.state == "active")
        if ordered and task.result == "failure" and job.spec["onTaskFailure"] == "performexitoptionsjobaction":
            self._react(job, job_action)
        self._plan_check(job)

    def _react(self, job: Job, action: str) -> None:
        """Do in a while what a failed task has ordered for its job."""
        # The end of a job outweighs all else.
        if job.reaction != "terminate":
            job.reaction = action
        self._state.clock.call_later(timings.TASK_FAILURE_REACTION, self._reacted, job, action)

    def _reacted(self, job: Job, action: str) -> None:
        if job.reaction == action:
            job.reaction = None
        if action == "terminate":
            self.end_by_service(job, "TaskFailed")
        elif job.state == "active":
            self.disable(job, "requeue")

    def task_deleted(self, job: Job) -> None:
        """A task was deleted."""
        self.task_stopped(job)
        if job.tasks:
            self._plan_check(job)

    def _plan_check(self, job: Job) -> None:
        """Look in a while whether all tasks are complete, if that matters: the service never acts at once (recorded)."""
        seconds = timings.COMPLETION_CHECK if job.tasks else timings.EMPTY_JOB_CHECK
        if job.spec["onAllTasksComplete"] != "terminatejob" or job.counts.active or job.counts.running:
            return
        if job.completion_timer is not None:
            job.completion_timer.cancel()
        job.completion_timer = self._state.clock.call_later(seconds, self._check_complete, job)

    def _check_complete(self, job: Job) -> None:
        job.completion_timer = None
        if job.state == "active" and not job.counts.active and not job.counts.running:
            self._end(job, "AllTasksCompleted")

"""Job schedules: they make jobs, one at a time, when these fall due (docs/azure-batch.md#job-schedules)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine import ports, timings
from azure_batch_emulator.engine.entities import Job, JobSchedule
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.durations import duration_seconds
from azure_batch_emulator.wire.errors import BatchError
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, parse_timestamp

_STATE_ERRORS = {
    "deleting": "JobScheduleBeingDeleted",
    "terminating": "JobScheduleBeingTerminated",
    "completed": "JobScheduleCompleted",
}
# Why a schedule cannot be created when one with its id is in that state; for a completed one it is reported.
_EXISTING = {"deleting": "JobScheduleBeingDeleted", "completed": "JobScheduleCompleted"}


class Schedules:
    """Acts on the job schedules of an account."""

    def __init__(self, state: AccountState, jobs: ports.Jobs, auto_pools: ports.AutoPools) -> None:
        self._state = state
        self._jobs = jobs
        self._auto_pools = auto_pools

    def create(self, schedule_id: str, spec: dict[str, Any]) -> JobSchedule:
        """Create a schedule; without doNotRunUntil its first job exists at once.

        Raises:
            BatchError: 409 for an id in use or a full quota.
        """
        existing = self._state.schedule_table.get(schedule_id.lower())
        if existing is not None:
            raise BatchError(_EXISTING.get(existing.state, "JobScheduleExists"))
        if schedule_id.lower() in self._state.job_table:
            raise BatchError("JobWithSameIdExists")
        self._state.check_active_quota()
        self._jobs.check(spec["jobSpecification"])
        now = self._state.clock.now()
        spec = {name: value for name, value in spec.items() if name != "id"}
        schedule = JobSchedule(schedule_id, spec, now, now, now)
        self._state.schedule_table[schedule_id.lower()] = schedule
        self._plan(schedule, first=True)
        return schedule

    def update(self, schedule: JobSchedule, changes: dict[str, Any], *, replace: bool) -> None:
        """PATCH or PUT; only jobs made later are affected.

        Raises:
            BatchError: 409 when it has ended; what the account does not allow a job, for no caller hears of it later.
        """
        self._check(schedule)
        if "jobSpecification" in changes:
            self._jobs.check(changes["jobSpecification"])
        kept = {name: value for name, value in schedule.spec.items() if not replace or name == "displayName"}
        schedule.spec = kept | ({"schedule": {}} if replace else {}) | changes
        if schedule.auto_pool_kept and "autoPoolSpecification" not in schedule.spec["jobSpecification"]["poolInfo"]:
            schedule.auto_pool_id = None
        schedule.last_modified = self._state.clock.now()
        if "schedule" in changes or replace:
            self._plan(schedule, first=not schedule.job_serial)

    def disable(self, schedule: JobSchedule) -> None:
        """Raises BatchError 409 for a schedule that is disabled or has ended."""
        self._check(schedule)
        if schedule.state == "disabled":
            raise BatchError("JobScheduleDisabled")
        now = self._state.clock.now()
        schedule.enter("disabled", now)
        schedule.last_modified = now
        self._stop_timer(schedule)

    def enable(self, schedule: JobSchedule) -> None:
        """Raises BatchError 409 for a schedule that has ended, or a full quota."""
        self._check(schedule)
        if schedule.state == "active":
            return
        self._state.check_active_quota()
        now = self._state.clock.now()
        schedule.enter("active", now)
        schedule.last_modified = now
        self._plan(schedule, first=not schedule.job_serial)

    def terminate(self, schedule: JobSchedule) -> None:
        """End a schedule with its running job.

        Raises:
            BatchError: 409 when it has ended or is about to.
        """
        self._check(schedule)
        now = self._state.clock.now()
        schedule.enter("terminating", now)
        schedule.last_modified = now
        schedule.next_run = None
        self._stop_timer(schedule)
        for job in self._state.jobs_of(schedule):
            # The wire's word for it, whatever the documentation says (recorded).
            self._jobs.end_by_service(job, "TerminateWorkitem")
        self._state.clock.call_later(timings.SCHEDULE_TERMINATE, self._completed, schedule)

    def delete(self, schedule: JobSchedule) -> None:
        """Delete a schedule and its jobs; the ETag stays (recorded).

        Raises:
            BatchError: 409 the second time.
        """
        if schedule.state == "deleting":
            raise BatchError("JobScheduleBeingDeleted")
        self._stop_timer(schedule)
        schedule.enter("deleting", self._state.clock.now())
        # Recorded: what terminating had taken away is back while the schedule is being deleted.
        schedule.end_time = None
        step = self._step(schedule)
        if schedule.next_run is None and step is not None:
            schedule.next_run = schedule.created + step
        for job in self._state.jobs_of(schedule):
            if job.state != "deleting":
                self._jobs.delete(job)
        self._state.clock.call_later(timings.SCHEDULE_DELETE, self._gone, schedule)

    def job_ended(self, job: Job) -> None:
        """A job is completed or gone: start the next if it is due, or end the schedule."""
        if job.schedule_id is None:
            return
        schedule = self._state.schedule_table.get(job.schedule_id.lower())
        if schedule is None:
            return
        if schedule.state == "active":
            self._look_soon(schedule)

    def _look_soon(self, schedule: JobSchedule) -> None:
        """The service never acts at once: a due job starts, and a schedule ends, a moment after the last job."""
        self._state.clock.call_later(timings.COMPLETION_CHECK, self._look, schedule)

    def _look(self, schedule: JobSchedule) -> None:
        if schedule.state != "active" or self._running(schedule):
            return
        if self._state.schedule_table.get(schedule.id.lower()) is not schedule:
            return
        if schedule.due:
            self._start_job(schedule)
        elif schedule.next_run is None and self._runs_out(schedule):
            self._complete_naturally(schedule)

    def resume(self, schedule: JobSchedule) -> None:
        """Go on with a schedule that comes from a state file."""
        now = self._state.clock.now()
        if schedule.state == "deleting":
            self._gone(schedule)
        elif schedule.state == "terminating":
            schedule.state, schedule.end_time = "completed", now
            self._drop_pool(schedule)
        elif schedule.state == "active":
            self._set_timer(schedule, now)
            self._watch_end(schedule, now)
            if schedule.due and schedule.due_at is not None:
                self._open_window(schedule, now - schedule.due_at)
            self._look_soon(schedule)

    # -- time --

    def _check(self, schedule: JobSchedule) -> None:
        code = _STATE_ERRORS.get(schedule.state)
        if code is not None:
            raise BatchError(code)

    def _stop_timer(self, schedule: JobSchedule) -> None:
        for timer in (schedule.timer, schedule.end_timer):
            if timer is not None:
                timer.cancel()
        schedule.timer = schedule.end_timer = None

    def _runs_out(self, schedule: JobSchedule) -> bool:
        """Whether a schedule that makes no job any more is over: with doNotRunAfter not before that, if it recurs."""
        end = self._end(schedule)
        return (
            "recurrenceInterval" not in schedule.spec.get("schedule", {})
            or end is None
            or end <= self._state.clock.now()
        )

    @staticmethod
    def _begin(schedule: JobSchedule) -> int | None:
        until = schedule.spec.get("schedule", {}).get("doNotRunUntil")
        return parse_timestamp(until) if until else None

    @staticmethod
    def _end(schedule: JobSchedule) -> int | None:
        after = schedule.spec.get("schedule", {}).get("doNotRunAfter")
        return parse_timestamp(after) if after else None

    def _watch_end(self, schedule: JobSchedule, now: int) -> None:
        """Look at a schedule when its doNotRunAfter is past; a running job is waited for."""
        end = self._end(schedule)
        if end is not None and schedule.state == "active":
            seconds = max(0.0, (end - now) / TICKS_PER_SECOND)
            schedule.end_timer = self._state.clock.call_after_real(seconds, self._at_end, schedule)

    def _at_end(self, schedule: JobSchedule) -> None:
        schedule.end_timer = None
        now, end = self._state.clock.now(), self._end(schedule)
        if end is None:
            return
        if end > now:
            # As in `_due`.
            self._watch_end(schedule, now)
            return
        schedule.next_run = None
        if schedule.timer is not None:
            schedule.timer.cancel()
            schedule.timer = None
        schedule.due = False
        self._look(schedule)

    def _plan(self, schedule: JobSchedule, *, first: bool) -> None:
        """Find out when the next job is due; a disabled schedule shows it, and makes none."""
        self._stop_timer(schedule)
        times = schedule.spec.get("schedule", {})
        now = self._state.clock.now()
        self._watch_end(schedule, now)
        begin = self._begin(schedule)
        if begin is not None and begin > now:
            schedule.next_run = begin
            self._set_timer(schedule, now)
            return
        if first and schedule.state == "active":
            self._advance(schedule, now, now)
            self._start_job(schedule)
            return
        if "recurrenceInterval" not in times:
            schedule.next_run = None
            if not self._running(schedule):
                self._complete_naturally(schedule)
            return
        self._advance(schedule, schedule.created, now)

    def _step(self, schedule: JobSchedule) -> int | None:
        """Ticks from one due time to the next; None if the schedule does not recur."""
        interval = schedule.spec.get("schedule", {}).get("recurrenceInterval")
        if interval is None:
            return None
        return max(1, int(duration_seconds(interval) / self._state.clock.scale * TICKS_PER_SECOND))

    def _advance(self, schedule: JobSchedule, base: int, now: int) -> None:
        """Set the first due time after now, if the schedule recurs and has not run out.

        Due times that passed unnoticed, while the emulator was down or its process was stopped, are skipped: one job at
        most makes up for them (test_due_times_that_have_passed_are_skipped).

        Args:
            base: a due time, or the moment from which intervals count.
        """
        schedule.next_run = None
        step = self._step(schedule)
        if step is None:
            return
        following = base + step * (1 + max(0, now - base) // step)
        end = self._end(schedule)
        if end is not None and following > end:
            return
        schedule.next_run = following
        self._set_timer(schedule, now)

    def _set_timer(self, schedule: JobSchedule, now: int) -> None:
        """Wait for the next due time: a user's point in time is one of the wall clock, intervals are service time."""
        if schedule.next_run is None or schedule.state != "active":
            return
        clock = self._state.clock
        seconds = (schedule.next_run - now) / TICKS_PER_SECOND
        if schedule.next_run == self._begin(schedule):
            schedule.timer = clock.call_after_real(seconds, self._due, schedule)
        else:
            schedule.timer = clock.call_later(max(0.0, seconds) * clock.scale, self._due, schedule)

    def _due(self, schedule: JobSchedule) -> None:
        schedule.timer = None
        if schedule.state != "active":
            return
        now = self._state.clock.now()
        if schedule.next_run is not None and schedule.next_run - now > TICKS_PER_SECOND:
            # The wall clock may have been set back since the timer was planned.
            self._set_timer(schedule, now)
            return
        due_at = self._latest_due(schedule, schedule.next_run or now, now)
        self._advance(schedule, due_at, now)
        late = now - due_at
        # A timer may be late on a busy machine; only a run that was missed can be too late.
        if late > TICKS_PER_SECOND and self._window_left(schedule, late) == 0.0:
            self._look(schedule)
            return
        if self._running(schedule):
            # At most one job at a time: this one waits, and is given up when its window closes.
            schedule.due, schedule.due_at = True, due_at
            self._open_window(schedule, late)
            return
        self._start_job(schedule)

    def _latest_due(self, schedule: JobSchedule, due: int, now: int) -> int:
        """The last due time that has come, if others before it passed unnoticed."""
        step = self._step(schedule)
        return due if step is None else due + step * (max(0, now - due) // step)

    def _window_left(self, schedule: JobSchedule, late: int) -> float | None:
        """Service seconds in which a job can still start; None without a startWindow.

        Args:
            late: ticks since it was due.
        """
        window = schedule.spec.get("schedule", {}).get("startWindow")
        if window is None:
            return None
        return max(0.0, duration_seconds(window) - late / TICKS_PER_SECOND * self._state.clock.scale)

    def _open_window(self, schedule: JobSchedule, late: int) -> None:
        """Give a job that is due the time that is left of its window."""
        left = self._window_left(schedule, late)
        if left is not None:
            self._state.clock.call_later(left, self._window_closed, schedule, schedule.due_at)

    @staticmethod
    def _window_closed(schedule: JobSchedule, due_at: int) -> None:
        # The window of an earlier job may end while a later one is due.
        if schedule.due_at == due_at:
            schedule.due = False

    def _running(self, schedule: JobSchedule) -> bool:
        return any(job.state not in ("completed", "deleting") for job in self._state.jobs_of(schedule))

    def _start_job(self, schedule: JobSchedule) -> None:
        schedule.due = False
        end = self._end(schedule)
        if end is not None and end <= self._state.clock.now():
            schedule.next_run = None
            if not self._running(schedule):
                self._complete_naturally(schedule)
            return
        schedule.job_serial += 1
        job_id = f"{schedule.id}:job-{schedule.job_serial}"
        schedule.recent_job_id = job_id
        self._jobs.create(job_id, schedule.spec["jobSpecification"], schedule_id=schedule.id)

    def _complete_naturally(self, schedule: JobSchedule) -> None:
        if schedule.state != "active":
            return
        now = self._state.clock.now()
        self._stop_timer(schedule)
        schedule.enter("completed", now)
        schedule.end_time = now
        schedule.next_run = None
        self._drop_pool(schedule)

    def _completed(self, schedule: JobSchedule) -> None:
        if schedule.state != "terminating":
            return
        now = self._state.clock.now()
        schedule.enter("completed", now)
        schedule.end_time = now
        self._drop_pool(schedule)

    def _drop_pool(self, schedule: JobSchedule) -> None:
        """The schedule is over: its pool goes unless the specification that made it says otherwise, whatever came later."""
        if schedule.auto_pool_id is not None and not schedule.auto_pool_kept:
            self._auto_pools.remove(schedule.auto_pool_id)

    def _gone(self, schedule: JobSchedule) -> None:
        if self._state.jobs_of(schedule):
            self._state.clock.call_later(timings.SCHEDULE_DELETE, self._gone, schedule)
            return
        self._drop_pool(schedule)
        if self._state.schedule_table.get(schedule.id.lower()) is schedule:
            del self._state.schedule_table[schedule.id.lower()]

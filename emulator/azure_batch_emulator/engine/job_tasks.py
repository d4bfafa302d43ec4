"""Job preparation and release tasks: once per node and job, before the first task and after the last (docs/azure-batch.md#jobs)."""

from __future__ import annotations

from typing import Any, NamedTuple

from azure_batch_emulator.engine import environment, machine_rules, packages, ports, task_rules
from azure_batch_emulator.engine.entities import Job, JobTaskRecord, Node, Run, Task
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.base import RunRequest, RunResult
from azure_batch_emulator.isolation import for_each

# Nobody waits longer for a release task: its limit is no longer than that.
_PATIENCE = 900.0


class JobTasks:
    """Runs the preparation and release tasks of all jobs of an account."""

    def __init__(self, state: AccountState, events: Events, runs: ports.Runs) -> None:
        self._state = state
        self._events = events
        self._runs = runs
        self._active: dict[int, _JobTask] = {}
        # Release tasks by the node whose reboot they wait for.
        self._waiting: dict[Node, list[_JobTask]] = {}

    def prepare(self, task: Task, node: Node) -> bool:
        """Whether a task may start on its node at once; if not, it starts after the preparation task."""
        job = task.job
        spec = job.spec.get("jobPreparationTask")
        if spec is None:
            return True
        key = job.id.lower()
        record = node.job_tasks.get(key)
        if record is None:
            record = JobTaskRecord(job.id, node.pool.id, node.id)
            node.job_tasks[key] = record
            # What the node did before it was reimaged is told no more once it does it again.
            job.job_task_records = [earlier for earlier in job.job_task_records if earlier.node_id != node.id]
            job.job_task_records.append(record)
        if record.prepared:
            return True
        if spec["waitForSuccess"]:
            record.waiting_tasks.append(task)
        if record.run is None:
            work = _Work(job, node, record, spec, "preparation")
            _JobTask(self._state, self._events, self._runs, self._active, work, record.tries).launch()
            record.tries = 0
        return not spec["waitForSuccess"]

    def withdraw(self, task: Task, node: Node) -> None:
        """A task no longer waits on that node."""
        record = node.job_tasks.get(task.job.id.lower())
        if record is not None and task in record.waiting_tasks:
            record.waiting_tasks.remove(task)

    def node_rebooted(self, node: Node) -> None:
        """A node has booted again, and all that it did for jobs was before that."""
        for record in node.job_tasks.values():
            self.rebooted(record)

    def rebooted(self, record: JobTaskRecord) -> None:
        """A node has booted again: the preparation task may have to run again."""
        job = self._state.job_table.get(record.job_id.lower())
        spec = job.spec.get("jobPreparationTask") if job else None
        if spec is not None and spec["rerunOnNodeRebootAfterSuccess"]:
            record.prepared = False

    def resume(self, record: JobTaskRecord) -> None:
        """Go on with what comes from a state file: a preparation task begins again with the next task, a release task is over."""
        if (record.preparation or {}).get("state") == "running":
            record.preparation = None
        if record.release is not None and record.release["state"] == "running":
            end = {"state": "completed", "endTime": self._state.clock.now() // 10 * 10, "result": "failure"}
            record.release = record.release | end | {"failureInfo": task_rules.NODE_LOST}

    def came_up(self, node: Node) -> None:
        """A node is back from its reboot: release tasks that waited for that run, again if it had interrupted them."""
        for_each(self._state.clock, self._waiting.pop(node, ()), _JobTask.launch)

    def release(self, job: Job) -> int:
        """End the preparation tasks of a job, and start the release task on every node where tasks of the job have run.

        Returns:
            How many were started; `Events.release_ended` tells of each that is over.
        """
        for active in list(self._active.values()):
            active.job_ended(job)
        spec = job.spec.get("jobReleaseTask")
        if spec is None:
            return 0
        started = 0
        for record in job.job_task_records:
            pool = self._state.pool_table.get(record.pool_id.lower())
            node = pool.nodes.get(record.node_id) if pool else None
            if node is None or record.release is not None or not _has_worked(job, node, record):
                continue
            work = _Work(job, node, record, spec, "release")
            job_task = _JobTask(self._state, self._events, self._runs, self._active, work)
            if node.state in ("idle", "running", "offline"):
                job_task.launch()
            elif node.state in ("rebooting", "starting", "waitingforstarttask"):
                self._wait(node, job_task)
            else:
                continue
            started += 1
        return started

    def lost(self, node: Node) -> None:
        """A node is as new, or gone: there is nothing to release on it any more."""
        for_each(self._state.clock, self._waiting.pop(node, ()), _JobTask.abandoned)

    def abandon(self, run: Run) -> None:
        """The node goes away under a preparation or release task."""
        active = self._active.pop(run.serial, None)
        if active is None:
            return
        if active.is_release and run.node.after_drain == "reboot":
            self._wait(run.node, active)
        else:
            active.abandoned()

    def _wait(self, node: Node, job_task: _JobTask) -> None:
        self._waiting.setdefault(node, []).append(job_task)
        self._state.clock.call_later(_PATIENCE, self._give_up, node, job_task)

    def _give_up(self, node: Node, job_task: _JobTask) -> None:
        """The node has not come back: the job waits no longer."""
        waiting = self._waiting.pop(node, [])
        if job_task in waiting:
            waiting.remove(job_task)
            job_task.abandoned()
        if waiting:
            self._waiting[node] = waiting

    def forget(self, job: Job) -> None:
        """The job is gone."""
        for record in job.job_task_records:
            pool = self._state.pool_table.get(record.pool_id.lower())
            node = pool.nodes.get(record.node_id) if pool else None
            if node is not None:
                node.job_tasks.pop(job.id.lower(), None)


def _has_worked(job: Job, node: Node, record: JobTaskRecord) -> bool:
    """Whether tasks of the job have run on a node since it was last made, after a preparation task that has completed."""
    preparation = record.preparation or {}
    tasks_ran = preparation.get("result") == "success" or not job.spec["jobPreparationTask"]["waitForSuccess"]
    return preparation.get("state") == "completed" and tasks_ran and node.job_tasks.get(job.id.lower()) is record


class _Work(NamedTuple):
    """What is to be done where, and for which job; `spec` is that of the preparation or release task."""

    job: Job
    node: Node
    record: JobTaskRecord
    spec: dict[str, Any]
    kind: str


class _JobTask:
    """One preparation or release task on one node."""

    def __init__(
        self,
        state: AccountState,
        events: Events,
        runs: ports.Runs,
        active: dict[int, _JobTask],
        work: _Work,
        attempt: int = 0,
    ) -> None:
        self._state = state
        self._events = events
        self._runs = runs
        self._active = active
        self._job, self._node, self._record, self._spec, self._kind = work
        self._attempt = attempt
        self._info: dict[str, Any] = {}

    def launch(self) -> None:
        node, spec, job = self._node, self._spec, self._job
        now = self._state.clock.now() // 10 * 10
        directory = f"{job.directory}/{spec['id']}"
        self._info = {
            "startTime": now,
            "state": "running",
            "taskRootDirectory": directory.replace("/", "\\") if node.windows else directory,
            "retryCount": self._attempt,
        }
        if self._kind == "release":
            del self._info["retryCount"]
        elif self._attempt:
            self._info["lastRetryTime"] = now
        self._store()
        run = self._runs.reserve(node, self._kind, 0)
        self._record.run = run
        self._active[run.serial] = self
        preparation = f"{job.directory}/{job.spec['jobPreparationTask']['id']}"

        def variables(root: str) -> dict[str, str]:
            return (
                environment.node_variables(
                    self._state.account, self._state.endpoint, node.pool.id, node.id, root, dedicated=node.dedicated
                )
                | environment.task_variables(root, job.id, spec["id"], directory, preparation)
                | packages.variables(self._state.applications, node, root)
                | environment.settings(
                    job.spec.get("commonEnvironmentSettings", ()), spec.get("environmentSettings", ())
                )
            )

        request = RunRequest(
            place=self._state.place(node),
            directory=directory,
            command_line=spec["commandLine"],
            environment=variables,
            run_id=f"{job.id}/{spec['id']}",
            windows=node.windows,
            attempt=self._attempt,
            resource_files=spec.get("resourceFiles", ()),
        )
        if (problem := machine_rules.user_problem(spec, node.pool.spec)) is not None:
            self._runs.refuse(run, request, self, *problem)
            return
        limit = spec["maxWallClockTime"] if self._kind == "release" else spec["constraints"]["maxWallClockTime"]
        self._runs.launch(run, request, self, limit)

    def _complete(self, outcome: task_rules.Outcome) -> None:
        self._info = self._info | {
            "state": "completed",
            "endTime": self._state.clock.now() // 10 * 10,
            "result": outcome.result,
        }
        if outcome.exit_code is not None:
            self._info["exitCode"] = outcome.exit_code
        if outcome.failure is not None:
            self._info["failureInfo"] = outcome.failure
        self._store()

    def _store(self) -> None:
        if self._kind == "preparation":
            self._record.preparation = self._info
        else:
            self._record.release = self._info

    def run_started(self, run: Run) -> None:
        """Nothing to do: the start is noted when the try begins."""

    def run_finished(self, run: Run, result: RunResult) -> None:
        """Retry, or let the waiting tasks go on: to their commands, or back into the queue."""
        self._active.pop(run.serial, None)
        self._record.run = None
        if result.lost:
            self.launch()
            return
        outcome = task_rules.judge(result, timed_out=run.timed_out)
        if self._kind == "preparation":
            most = self._spec["constraints"]["maxTaskRetryCount"]
            if task_rules.should_retry(outcome, self._attempt, most):
                self._attempt += 1
                if self._job.state == "active" or self._record.waiting_tasks:
                    self.launch()
                else:
                    # Nothing starts in a disabled job: it is retried with the next task.
                    self._complete(outcome)
                    self._record.tries = self._attempt
                return
        self._complete(outcome)
        if self._kind == "release":
            self._events.release_ended(self._job)
            return
        waiting, self._record.waiting_tasks = self._record.waiting_tasks, []
        if outcome.failure is None or not self._spec["waitForSuccess"]:
            # As documented: where tasks do not wait for it, they run though it has failed.
            self._record.prepared = True
            prepared = self._events.preparation_succeeded
            for_each(self._state.clock, waiting, lambda task: prepared(task, self._node))
        else:
            self._record.failed = True
            self._events.preparation_failed(self._node, waiting)

    def label(self) -> str:
        """What the log calls it."""
        return f"the {self._kind} task of the job {self._job.id}"

    @property
    def is_release(self) -> bool:
        """Whether it is a release task."""
        return self._kind == "release"

    def job_ended(self, job: Job) -> None:
        """A preparation task ends with its job."""
        run = self._record.run
        if self._job is not job or self.is_release or run is None:
            return
        self._active.pop(run.serial, None)
        self._record.run = None
        self._complete(task_rules.Outcome(None, task_rules.JOB_ENDED, None, retryable=False))
        run.detached = True
        self._runs.kill(run)

    def abandoned(self) -> None:
        """The node is gone; waiting tasks are requeued by whoever took it."""
        self._record.run = None
        self._complete(task_rules.Outcome(None, task_rules.NODE_LOST, None, retryable=False))
        if self.is_release:
            self._events.release_ended(self._job)

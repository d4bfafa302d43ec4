"""Tasks: added, run, retried, requeued, ended (docs/azure-batch.md#tasks)."""

from __future__ import annotations

from typing import Any

from azure_batch_emulator.engine import environment, job_rules, packages, ports, recent_tasks, task_rules
from azure_batch_emulator.engine.compact import ended, tight
from azure_batch_emulator.engine.entities import Job, Node, Run, Task
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.shared_bodies import SharedBodies, folded
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.base import RunRequest, RunResult
from azure_batch_emulator.isolation import for_each
from azure_batch_emulator.wire.durations import INFINITE
from azure_batch_emulator.wire.errors import BatchError, resource_error


class Tasks:
    """Acts on the tasks of all jobs of an account; owner of their runs."""

    def __init__(
        self, state: AccountState, events: Events, runs: ports.Runs, job_tasks: ports.JobTasks, files: ports.TaskFiles
    ) -> None:
        self._state = state
        self._events = events
        self._runs = runs
        self._job_tasks = job_tasks
        self._files = files
        self._of_run: dict[int, Task] = {}
        self._shared = SharedBodies()

    # -- adding and removing --

    def add(self, job: Job, spec: dict[str, Any], *, is_job_manager: bool = False) -> Task:
        """Add a task from an accepted body; that of a job manager has been let pass with its job.

        Raises:
            BatchError: 409 for an existing id or a job that takes no tasks, 400 for what the job does not allow.
        """
        job_rules.check_allowed("add_task", job.state)
        task_id: str = spec["id"]
        key = folded(task_id)
        if key in job.tasks:
            raise BatchError("TaskExists")
        if not is_job_manager:
            task_rules.check_body(job.spec, spec)
            packages.check(self._state.applications, spec.get("applicationPackageReferences", ()))
        now = tight(self._state.clock.now())
        command_line = self._shared.text(spec["commandLine"])
        task = Task(task_id, job, command_line, self.shared(job, spec), now, now, now)
        task.is_job_manager = is_job_manager
        job.tasks_change()
        job.tasks[key] = task
        job.tasks_in_order.add(task)
        job.count(task, 1)
        self._events.task_added(job, now)
        depends_on = spec.get("dependsOn")
        if depends_on is not None and not job.dependencies.add(key, depends_on):
            task.waiting = True
        else:
            self.enqueue(task)
        return task

    def shared(self, job: Job, spec: dict[str, Any]) -> dict[str, Any]:
        """A task's body without id and command line, with the job's retries where it names none; one for equal ones."""
        retries = {"maxTaskRetryCount": job.spec["constraints"]["maxTaskRetryCount"]}
        rest = {name: value for name, value in spec.items() if name not in ("id", "commandLine")}
        given = spec["constraints"]
        rest["constraints"] = self._shared.body(given | retries | given)
        return self._shared.body(rest)

    def enqueue(self, task: Task, *, front: bool = False) -> None:
        """The task may run as soon as there is room."""
        if front or task.is_job_manager:
            task.job.ready.append_first(task)
        else:
            task.job.ready.append(task)
        self._events.work_added(task.job.pool_id)

    def delete(self, task: Task) -> None:
        """Remove a task in any state; a running one is ended."""
        job = task.job
        self._drop_run(task)
        job.tasks_change()
        job.count(task, -1)
        del job.tasks[task.id.lower()]
        job.tasks_in_order.remove(task)
        job.dependencies.forget(task.id)
        task.files_gone = True
        if task.state == "active" and not task.waiting:
            task.job.ready.discard(task)
        self._files.remove(task)
        self._events.task_deleted(job)

    # -- calls of users --

    def terminate(self, task: Task) -> None:
        """End a task at once.

        Raises:
            BatchError: 409 TaskCompleted.
        """
        if task.state == "completed":
            raise BatchError("TaskCompleted")
        self.end(task, task_rules.ENDED_BY_USER)
        task.last_modified = self._state.clock.now()

    def reactivate(self, task: Task) -> None:
        """Make a failed task eligible again, retries counted again.

        Raises:
            BatchError: 409 TaskNotCompleted, TaskSucceeded, or the code of a job that has ended.
        """
        job_rules.check_allowed("reactivate_task", task.job.state)
        if task.state != "completed":
            raise BatchError("TaskNotCompleted")
        if task.result == "success":
            raise BatchError("TaskSucceeded")
        now = self._state.clock.now()
        self._files.call_off(task)
        task.enter("active", now)
        task.begin_anew()
        task.retry_count = 0
        task.last_retry = None
        task.last_modified = now
        self.enqueue(task)

    def replace(self, task: Task, constraints: dict[str, Any]) -> None:
        """PUT: constraints are the only thing that changes.

        Raises:
            BatchError: 409 TaskCompleted.
        """
        if task.state == "completed":
            raise BatchError("TaskCompleted")
        task.spec = self.shared(task.job, task.spec | {"constraints": constraints})
        task.last_modified = self._state.clock.now()

    # -- running --

    def assign(self, task: Task, node: Node) -> None:
        """Give an active task a node; it runs once the job's preparation task has succeeded there."""
        self.place(task, node)
        if self._job_tasks.prepare(task, node):
            self.launch(task)

    def place(self, task: Task, node: Node) -> Run:
        """Take room for an active task on a node."""
        now = self._state.clock.now()
        task.enter("preparing", now)
        task.node_id, task.node_pool_id, task.windows = node.id, node.pool.id, node.windows
        run = self._runs.reserve(node, "task", task.spec["requiredSlots"])
        if task.is_job_manager and task.job.spec["jobManagerTask"]["runExclusive"]:
            node.exclusive = True
        task.run = run
        # The queue is behind it, and the number of its place is an object of its own.
        task.place = 0
        self._of_run[run.serial] = task
        node.tasks_run += 1
        return run

    def prepared(self, task: Task, node: Node) -> None:
        """The job preparation task, for which a task waited, has succeeded on its node."""
        del node
        if "multiInstanceSettings" not in task.spec:
            self.launch(task)

    def preparation_failed(self, node: Node, waiting: list[Task]) -> None:
        """The preparation task failed on a node: its tasks are tried elsewhere."""
        here = [task for task in waiting if task.run is not None and task.run.node is node]
        for_each(self._state.clock, here, self.return_to_queue)

    def launch(self, task: Task, more_variables: dict[str, str] | None = None) -> None:
        """Start the command of a task that has its node."""
        run = task.run
        if run is None:
            return
        spec = task.spec
        if self._state.refuses_containers and "containerSettings" in spec:
            message = "The emulator was told not to run the tasks of containers."
            self.fail_launch(task, "ContainerPoolNotSupported", message)
            self._of_run.pop(run.serial, None)
            self._runs.release(run)
            return
        request = RunRequest(
            place=self._state.place(run.node),
            directory=task.directory,
            command_line=task.command_line,
            environment=lambda root: (
                self.variables(task, run.node, root)
                | {name: value.replace("{root}", root) for name, value in (more_variables or {}).items()}
            ),
            run_id=f"{task.job.id}/{task.id}",
            attempt=task.retry_count,
            resource_files=spec.get("resourceFiles", ()),
            output_files=spec.get("outputFiles", ()),
            windows=task.windows,
        )
        # That of a multi-instance task counts from its coordination command.
        limit = INFINITE if "multiInstanceSettings" in spec else spec["constraints"]["maxWallClockTime"]
        self._runs.launch(run, request, self, limit)

    def variables(self, task: Task, node: Node, root: str) -> dict[str, str]:
        """Environment of a task on a node whose directory is `root`."""
        job = task.job
        preparation = (
            f"{job.directory}/{job.spec['jobPreparationTask']['id']}" if "jobPreparationTask" in job.spec else None
        )
        return (
            environment.node_variables(
                self._state.account, self._state.endpoint, node.pool.id, node.id, root, dedicated=node.dedicated
            )
            | environment.task_variables(root, job.id, task.id, task.directory, preparation)
            | packages.variables(self._state.applications, node, root, task.spec)
            | environment.settings(
                job.spec.get("commonEnvironmentSettings", ()), task.spec.get("environmentSettings", ())
            )
        )

    def run_started(self, run: Run) -> None:
        """The command itself runs now."""
        task = self._of_run.get(run.serial)
        if task is None or task.state != "preparing":
            return
        now = self._microsecond()
        task.start_time = now
        task.enter("running", now)
        recent_tasks.started(task, run.node, 0 if "multiInstanceSettings" in task.spec else None, now)

    def run_finished(self, run: Run, result: RunResult) -> None:
        """A try is over: complete the task or try again."""
        task = self._of_run.pop(run.serial, None)
        if task is None or task.run is not run:
            return
        if result.lost:
            self.return_to_queue(task)
            return
        if task.state == "preparing" and result.exit_code is not None:
            self._of_run[run.serial] = task
            self.run_started(run)
            self._of_run.pop(run.serial)
        outcome = task_rules.judge(result, timed_out=run.timed_out)
        again = task_rules.should_retry(outcome, task.retry_count, task.spec["constraints"]["maxTaskRetryCount"])
        if again and self._may_go_on(task.job):
            self._retry(task)
        else:
            self._complete(task, outcome)

    @staticmethod
    def _may_go_on(job: Job) -> bool:
        return job.state in ("active", "disabling", "disabled", "enabling")

    def _retry(self, task: Task) -> None:
        now = self._microsecond()
        node = self._leave(task)
        task.enter("active", now)
        self._note_recent(task, node, now)
        task.retry_count += 1
        task.last_retry = now
        self.enqueue(task)
        self._events.task_stopped(task.job)

    def _complete(self, task: Task, outcome: task_rules.Outcome) -> None:
        now = self._microsecond()
        node = self._leave(task)
        task.ended = ended(outcome.exit_code, outcome.failure)
        task.end_time = now
        task.enter("completed", now)
        self._note_recent(task, node, now)
        if node is not None and outcome.failure is None:
            node.tasks_succeeded += 1
        options = task_rules.exit_options(task.spec.get("exitConditions"), outcome)
        if options["dependencyAction"] == "satisfy":
            self._release_dependents(task)
        self._files.keep_for_retention(task, node)
        self._events.task_completed(task, options["jobAction"])

    def _release_dependents(self, task: Task) -> None:
        job = task.job
        if not job.spec["usesTaskDependencies"]:
            return
        children = filter(None, map(job.tasks.get, job.dependencies.satisfy(task.id)))
        for_each(self._state.clock, children, self._release)

    def _release(self, child: Task) -> None:
        if child.waiting:
            child.waiting = False
            if child.state == "active":
                self.enqueue(child)

    def _note_recent(self, task: Task, node: Node | None, now: int) -> None:
        if node is not None:
            end = {"state": task.state, "endTime": now, "result": task.result, "exitCode": task.exit_code}
            recent_tasks.ended(task, node, 0 if "multiInstanceSettings" in task.spec else None, end)

    def _leave(self, task: Task) -> Node | None:
        """The try of a task is over, on all its nodes; the node of its command."""
        run, task.run = task.run, None
        if run is None:
            return None
        self._events.try_ended(run)
        return run.node

    def belongs(self, run: Run, task: Task) -> None:
        """A coordination command is one of a task's: what happens to its node happens to the task."""
        self._of_run[run.serial] = task

    def let_go(self, run: Run) -> None:
        """A coordination command is over."""
        self._of_run.pop(run.serial, None)

    # -- ends that do not come from the command --

    def _drop_run(self, task: Task) -> None:
        """Release the present try; its slots are free when the last process is gone."""
        run, task.run = task.run, None
        if run is None:
            return
        self._of_run.pop(run.serial, None)
        run.detached = True
        self._job_tasks.withdraw(task, run.node)
        self._events.try_ended(run)
        self._runs.kill(run)

    def end(self, task: Task, failure: dict[str, Any]) -> None:
        """Complete a task as failed, whatever it is doing."""
        now = self._microsecond()
        node = task.run.node if task.run else None
        # The coordination command of a subtask may have run before that of the primary.
        never_ran = task.start_time is None and all(subtask.start_time is None for subtask in task.subtasks or ())
        if task.state == "active":
            task.job.dependencies.forget(task.id)
            if not task.waiting:
                task.job.ready.discard(task)
            task.waiting = False
        self._drop_run(task)
        if never_ran:
            task.node_id = task.node_pool_id = None
        task.ended, task.end_time = ended(None, failure), now
        task.enter("completed", now)
        self._note_recent(task, node, now)
        self._files.keep_for_retention(task, node)
        options = task_rules.exit_options(
            task.spec.get("exitConditions"), task_rules.Outcome(None, failure, None, retryable=False)
        )
        if options["dependencyAction"] == "satisfy":
            self._release_dependents(task)
        self._events.task_completed(task, "none")

    def requeue(self, run: Run) -> None:
        """Put the task of a run back, because its node went away or its job was disabled."""
        task = self._of_run.get(run.serial)
        if task is None:
            run.detached = True
            self._runs.kill(run)
            return
        now = self._microsecond()
        node = task.run.node if task.run else None
        self._drop_run(task)
        if task.state == "active":
            return
        task.enter("active", now)
        self._note_recent(task, node, now)
        task.begin_anew()
        task.requeue_count += 1
        task.last_requeue = now
        self.enqueue(task, front=True)
        self._events.task_stopped(task.job)

    def return_to_queue(self, task: Task) -> None:
        """The task's node cannot run it: back into the queue, without counting as a try or as a requeue."""
        now, node = self._microsecond(), task.run.node if task.run else None
        self._drop_run(task)
        task.enter("active", now)
        self._note_recent(task, node, now)
        task.begin_anew()
        self.enqueue(task, front=True)
        self._events.task_stopped(task.job)

    def end_run(self, run: Run) -> None:
        """End the task of a run because of what is done to its node."""
        task = self._of_run.get(run.serial)
        if task is not None:
            self.end(task, task_rules.ENDED_BY_USER)

    def coordination_failed(self, task: Task, result: RunResult) -> None:
        """A coordination command of a multi-instance task failed: so has this try of the task."""
        run = task.run
        if run is None:
            return
        self._of_run.pop(run.serial, None)
        outcome = task_rules.judge(result, timed_out=run.timed_out)
        if self._may_go_on(task.job) and task_rules.should_retry(
            outcome, task.retry_count, task.spec["constraints"]["maxTaskRetryCount"]
        ):
            self._retry(task)
        else:
            self._complete(task, outcome)
        run.detached = True
        self._runs.kill(run)

    def fail_launch(self, task: Task, code: str, message: str) -> None:
        """Complete a task that could not be started at all."""
        failure = resource_error(code, message, [("Message", message)], key="details", category="UserError")
        self._complete(task, task_rules.Outcome(None, failure, "preProcessingError", retryable=False))

    def _microsecond(self) -> int:
        """The present as the times of a task's run have it: in ticks, cut to microseconds."""
        now = self._state.clock.now()
        return tight(now - now % 10)

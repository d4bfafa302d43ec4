"""Random sequences of operations on the engine: no illegal transition, no lost task, counts that always add up.

The clock is stopped until told to move, and tasks are simulated, so hours of service time take milliseconds. An illegal
transition raises by itself (`engine.transitions`).
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from azure_batch_emulator.clock import ManualClock
from azure_batch_emulator.engine import snapshot
from azure_batch_emulator.engine.service import BatchService
from azure_batch_emulator.executors.simulated import SimulatedExecutor
from azure_batch_emulator.schema.jobs import JOB
from azure_batch_emulator.schema.pools import POOL, RESIZE
from azure_batch_emulator.schema.tasks import TASK
from azure_batch_emulator.wire.errors import BatchError

MACHINE = {"imageReference": {"publisher": "p", "offer": "o", "sku": "s"}, "nodeAgentSKUId": "a"}
COMMANDS = ("true", "sleep 20", "exit 1", "sleep 5; exit 2", "sleep 100000")
OPTIONS = st.sampled_from(["requeue", "terminate", "taskcompletion", "retaineddata"])


class Engine(RuleBasedStateMachine):
    """One account under random use."""

    jobs = Bundle("jobs")
    tasks = Bundle("tasks")

    @initialize(target=jobs, slots=st.integers(1, 4), nodes=st.integers(0, 4), release=st.booleans())
    def start(self, slots: int, nodes: int, release: bool) -> Any:
        self.clock = ManualClock()
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), seed=1)
        self.serial = 0
        self.release = release
        body = {
            "id": "pool",
            "vmSize": "standard_d8s_v3",
            "virtualMachineConfiguration": MACHINE,
            "targetDedicatedNodes": nodes,
            "taskSlotsPerNode": slots,
            "startTask": {"commandLine": "true"},
        }
        self.service.pools.create("pool", POOL.accept("", body))
        return self.create_job(retries=1, ends=False, most=-1, prepares=release)

    def attempt(self, call: Any, *arguments: Any) -> Any:
        """Do something that the state may forbid."""
        try:
            return call(*arguments)
        except BatchError as refused:
            if refused.status not in (404, 409):
                raise
            return None

    @rule(
        target=jobs,
        retries=st.integers(0, 2),
        ends=st.booleans(),
        most=st.sampled_from([-1, 1, 3]),
        prepares=st.booleans(),
    )
    def create_job(self, retries: int, ends: bool, most: int, prepares: bool) -> Any:
        self.serial += 1
        body: dict[str, Any] = {
            "id": f"job{self.serial}",
            "poolInfo": {"poolId": "pool"},
            "constraints": {"maxTaskRetryCount": retries},
            "usesTaskDependencies": True,
            "onAllTasksComplete": "terminatejob" if ends else "noaction",
            "onTaskFailure": "performexitoptionsjobaction",
            "maxParallelTasks": most,
        }
        if prepares:
            body["jobPreparationTask"] = {"commandLine": "sleep 1"}
            if self.release:
                body["jobReleaseTask"] = {"commandLine": "sleep 1"}
        self.service.jobs.create(body["id"], JOB.accept("", body))
        return body["id"]

    @rule(
        target=tasks,
        job_id=jobs,
        command=st.sampled_from(COMMANDS),
        slots=st.integers(1, 4),
        distance=st.sampled_from([0, 0, 1, 3]),
        harmless=st.booleans(),
        number=st.integers(1, 6),
    )
    def add_tasks(self, job_id: str, command: str, slots: int, distance: int, harmless: bool, number: int) -> Any:
        """Several tasks at once; each may depend on the one added `distance` before it."""
        return multiple(*(self.one_task(job_id, command, slots, distance, harmless) for _ in range(number)))

    def one_task(self, job_id: str, command: str, slots: int, distance: int, harmless: bool) -> tuple[str, str]:
        self.serial += 1
        parent = max(0, self.serial - distance) if distance else 0
        body: dict[str, Any] = {"id": str(self.serial), "commandLine": command, "requiredSlots": slots}
        if parent:
            body["dependsOn"] = {"taskIds": [str(parent)]}
        if harmless:
            body["exitConditions"] = {"default": {"jobAction": "none", "dependencyAction": "satisfy"}}
        self.attempt(self.add, job_id, TASK.accept("", body))
        return job_id, body["id"]

    def add(self, job_id: str, spec: dict[str, Any]) -> Any:
        return self.service.tasks.add(self.service.job(job_id), spec)

    @rule(task=tasks)
    def terminate_task(self, task: tuple[str, str]) -> None:
        self.attempt(lambda: self.service.tasks.terminate(self.service.task(*task)))

    @rule(task=tasks)
    def reactivate_task(self, task: tuple[str, str]) -> None:
        self.attempt(lambda: self.service.tasks.reactivate(self.service.task(*task)))

    @rule(task=consumes(tasks))
    def delete_task(self, task: tuple[str, str]) -> None:
        self.attempt(lambda: self.service.tasks.delete(self.service.task(*task)))

    @rule(job_id=jobs, option=st.sampled_from(["requeue", "terminate", "wait"]))
    def disable_job(self, job_id: str, option: str) -> None:
        self.attempt(lambda: self.service.jobs.disable(self.service.job(job_id), option))

    @rule(job_id=jobs)
    def enable_job(self, job_id: str) -> None:
        self.attempt(lambda: self.service.jobs.enable(self.service.job(job_id)))

    @rule(job_id=jobs)
    def terminate_job(self, job_id: str) -> None:
        self.attempt(lambda: self.service.jobs.terminate(self.service.job(job_id), "UserTerminate"))

    @rule(job_id=consumes(jobs))
    def delete_job(self, job_id: str) -> None:
        self.attempt(lambda: self.service.jobs.delete(self.service.job(job_id)))

    @rule(nodes=st.integers(0, 5), option=OPTIONS)
    def resize(self, nodes: int, option: str) -> None:
        body = RESIZE.accept("", {"targetDedicatedNodes": nodes, "nodeDeallocationOption": option})
        self.attempt(self.service.pools.resize, self.pool, body)

    @rule(chance=st.integers(0, 2))
    def stop_resize(self, chance: int) -> None:
        if not chance:
            self.attempt(self.service.pools.stop_resize, self.pool)

    @rule(place=st.integers(0, 4), action=st.sampled_from(["reboot", "reimage", "deallocate"]), option=OPTIONS)
    def act_on_node(self, place: int, action: str, option: str) -> None:
        node = self.some_node(place)
        if node is not None:
            self.attempt(self.service.nodes.act, node, action, option)

    @rule(place=st.integers(0, 4), option=OPTIONS)
    def switch_scheduling(self, place: int, option: str) -> None:
        node = self.some_node(place)
        if node is None:
            return
        if node.scheduling_enabled:
            self.attempt(self.service.nodes.disable_scheduling, node, option)
        else:
            self.attempt(self.service.nodes.enable_scheduling, node)

    @rule(place=st.integers(0, 4))
    def start_node(self, place: int) -> None:
        node = self.some_node(place)
        if node is not None:
            self.attempt(self.service.nodes.start, node)

    @rule(place=st.integers(0, 4))
    def preempt_node(self, place: int) -> None:
        node = self.some_node(place)
        if node is not None and node.state not in ("preempted", "leavingpool"):
            self.service.nodes.preempt(node)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 40.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(chance=st.integers(0, 3))
    def restart(self, chance: int) -> None:
        """The account goes through a state file, now and then."""
        if chance:
            return
        picture = json.loads(json.dumps(snapshot.dump(self.service)))
        self.service.close(keep_files=True)
        self.service = BatchService("account", self.clock, SimulatedExecutor(self.clock, 1), seed=1)
        snapshot.load(self.service, picture)

    @property
    def pool(self) -> Any:
        return self.service.pool_table["pool"]

    def some_node(self, place: int) -> Any:
        nodes = sorted(self.pool.nodes.values(), key=lambda node: node.index)
        return nodes[place] if place < len(nodes) else None

    @invariant()
    def counts_are_those_of_the_tasks(self) -> None:
        for job in self.service.job_table.values():
            states = [task.state for task in job.tasks.values()]
            results = [task.result for task in job.tasks.values() if task.state == "completed"]
            counts = job.counts
            assert counts.active == states.count("active")
            assert counts.running == states.count("running") + states.count("preparing")
            assert counts.completed == states.count("completed") == counts.succeeded + counts.failed
            assert (counts.succeeded, counts.failed) == (results.count("success"), results.count("failure"))
            assert [task.id.lower() for task in job.tasks_in_order.after(None)] == sorted(job.tasks)

    @invariant()
    def no_task_is_lost(self) -> None:
        """An active task waits for parents or is in its job's queue, once; a running one holds slots on its node."""
        for job in self.service.job_table.values():
            queue = list(job.ready)
            assert len(set(map(id, queue))) == len(queue)
            for task in job.tasks.values():
                if task.state == "active":
                    assert task.waiting != any(item is task for item in queue)
                    assert task.run is None
                elif task.state == "completed":
                    assert task.run is None
                    assert task.end_time is not None
                else:
                    assert task.run is not None
                    assert task.run.serial in task.run.node.runs
            assert all(task.state == "active" and job.tasks.get(task.id) is task for task in queue)

    @invariant()
    def nodes_hold_no_more_than_they_can(self) -> None:
        for node in self.pool.nodes.values():
            assert node.slots_used == sum(run.slots for run in node.runs.values())
            assert 0 <= node.slots_used <= self.pool.slots_per_node
            working = any(run.kind == "task" for run in node.runs.values())
            if node.state in ("idle", "running", "offline"):
                assert working == (node.state == "running")

    @invariant()
    def jobs_that_ended_run_nothing(self) -> None:
        for job in self.service.job_table.values():
            if job.state in ("terminating", "completed", "deleting", "disabled"):
                assert job.counts.running == 0

    def teardown(self) -> None:
        """Left alone, everything comes to rest: free nodes have no task to wait for them."""
        self.clock.advance(3600.0)
        free = [node for node in self.pool.nodes.values() if node.free_slots > 0]
        for job in self.service.job_table.values():
            assert job.state in ("active", "disabled", "completed")
            most = job.spec["maxParallelTasks"]
            room = most < 0 or job.counts.running < most
            if job.state == "active" and room:
                assert not any(node.free_slots >= task.spec["requiredSlots"] for node in free for task in job.ready), (
                    "a task waits although there is room"
                )
        self.counts_are_those_of_the_tasks()
        self.no_task_is_lost()


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)

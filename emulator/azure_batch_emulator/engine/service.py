"""One Batch account: its resources, the managers that act on them, and what leads to what.

Everything here runs on one thread. A manager gets the state of the account, the managers that it asks for something, and the
events through which it tells the others what has happened.
"""

from __future__ import annotations

from typing import Unpack

from azure_batch_emulator.clock import Clock
from azure_batch_emulator.engine.auto_pools import AutoPools
from azure_batch_emulator.engine.auto_scale import AutoScale
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.job_tasks import JobTasks
from azure_batch_emulator.engine.jobs import Jobs, UsedByJobs
from azure_batch_emulator.engine.limits import Limits
from azure_batch_emulator.engine.multi_instance import MultiInstance
from azure_batch_emulator.engine.nodes import Nodes
from azure_batch_emulator.engine.pools import Pools
from azure_batch_emulator.engine.runs import Runs
from azure_batch_emulator.engine.scheduler import Scheduler
from azure_batch_emulator.engine.schedules import Schedules
from azure_batch_emulator.engine.state import AccountSettings, AccountState
from azure_batch_emulator.engine.statistics import Statistics
from azure_batch_emulator.engine.task_ages import TaskAges
from azure_batch_emulator.engine.task_files import TaskFiles
from azure_batch_emulator.engine.tasks import Tasks
from azure_batch_emulator.executors.base import Executor


class BatchService(AccountState):
    """The service as one account sees it; arguments are those of `AccountState`."""

    def __init__(self, account: str, clock: Clock, executor: Executor, **settings: Unpack[AccountSettings]) -> None:
        super().__init__(account, clock, executor, **settings)
        self._make_managers()

    def _make_managers(self) -> None:
        self.events = events = Events()
        self.limits = Limits(self)
        self.runs = Runs(self, events, self.limits)
        self.job_tasks = JobTasks(self, events, self.runs)
        self.files = TaskFiles(self, events)
        self.tasks = Tasks(self, events, self.runs, self.job_tasks, self.files)
        self.multi_instance = MultiInstance(self, self.runs, self.tasks, self.job_tasks)
        self.scheduler = Scheduler(self, self.tasks, self.multi_instance)
        self.nodes = Nodes(self, events, self.runs, self.tasks, self.job_tasks)
        self.auto_scale = AutoScale(self, events)
        self.pools = Pools(self, events, self.nodes, self.auto_scale)
        self.auto_pools = AutoPools(self, events, self.pools)
        self.task_ages = TaskAges(self, self.tasks)
        used = UsedByJobs(self.limits, self.tasks, self.job_tasks, self.scheduler, self.task_ages, self.auto_pools)
        self.jobs = Jobs(self, events, used)
        self.schedules = Schedules(self, self.jobs, self.auto_pools)
        self.statistics = Statistics(self)
        self._subscribe(events)

    def _subscribe(self, events: Events) -> None:
        events.work_added.subscribe(self.scheduler.wake_id)
        events.room_added.subscribe(self.scheduler.wake)
        events.run_reserved.subscribe(self.nodes.update_activity)
        events.run_released.subscribe(self.nodes.run_ended)
        events.task_added.subscribe(self.task_ages.added)
        events.task_stopped.subscribe(self.jobs.task_stopped)
        events.task_completed.subscribe(self.jobs.task_completed)
        events.task_deleted.subscribe(self.jobs.task_deleted)
        events.try_ended.subscribe(self.multi_instance.end)
        events.data_removed.subscribe(self.nodes.data_gone)
        events.preparation_succeeded.subscribe(self.tasks.prepared, self.multi_instance.prepared)
        events.preparation_failed.subscribe(self.tasks.preparation_failed, self.multi_instance.preparation_failed)
        events.release_ended.subscribe(self.jobs.release_ended)
        events.node_ready.subscribe(self.job_tasks.came_up)
        events.node_rebooted.subscribe(self.job_tasks.node_rebooted)
        events.node_wiped.subscribe(self.job_tasks.lost)
        # A pool that is being deleted is gone with its last node, and then nothing can be released any more.
        events.node_gone.subscribe(self.job_tasks.lost, self.pools.node_gone)
        events.targets_computed.subscribe(self.pools.follow_formula)
        events.auto_pool_refused.subscribe(self.jobs.auto_pool_refused)
        events.job_completed.subscribe(self.auto_pools.job_ended, self.schedules.job_ended)
        events.job_gone.subscribe(
            self.job_tasks.forget, self.files.remove_all, self.auto_pools.job_ended, self.schedules.job_ended
        )

    def close(self, *, keep_files: bool) -> None:
        """Stop everything: nothing planned happens any more, every run is killed."""
        self.clock.close()
        self.reset(keep_files=keep_files)

    def reset(self, *, keep_files: bool = False) -> None:
        """Back to an empty account, runs killed. Whoever calls this has called off the clock's timers."""
        for pool in self.pool_table.values():
            self.pools.settled(pool)
            for node in pool.nodes.values():
                for run in list(node.runs.values()):
                    run.detached = run.done = True
                    if run.handle is not None:
                        run.handle.kill()
                if not keep_files:
                    self.executor.remove_node(self.place(node))
        self.clear()
        self._make_managers()

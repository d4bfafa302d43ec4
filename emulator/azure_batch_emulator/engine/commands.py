"""Which task a directory of a node belongs to: where commands are simulated, what their files hold follows from that."""

from __future__ import annotations

from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.simulated import SimulatedCommand


def command_in(state: AccountState, directory: str) -> SimulatedCommand | None:
    """The command of a task, as its run had it; None when there is no task with that directory.

    Args:
        directory: below the root of a node, such as ``workitems/job/job-1/task``.
    """
    above, _, task_id = directory.rpartition("/")
    _, _, names = above.partition("/")
    first, _, second = names.partition("/")
    # That of a job of a schedule is below the schedule's name.
    for job_id in (first, f"{first}:{second}"):
        job = state.job_table.get(job_id.lower())
        if job is not None and job.directory == above and (task := job.tasks.get(task_id.lower())) is not None:
            # A task that is being prepared has neither time: its files are as old as that state.
            written = task.end_time or task.start_time or task.state_time
            return SimulatedCommand(f"{job.id}/{task.id}", task.command_line, written)
    return None

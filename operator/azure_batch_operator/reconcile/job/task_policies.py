"""What happens to own tasks of a job that its spec no longer contains.

Both the plan of a job and those who bring its tasks in need to know it: the one marks the job before the other deletes.
"""

from __future__ import annotations

from dataclasses import dataclass

from azure_batch_operator.reconcile.job.spec import JobTerms


@dataclass(frozen=True)
class Policies:
    """What happens to tasks in Azure Batch that the spec no longer stands for (`prune`) or that differ from it (`replace`).

    A task that has more than the spec mentions differs only while it is compared to the letter (`exact`).
    """

    prune: bool = False
    replace: bool = False
    exact: bool = True

    @classmethod
    def of(cls, spec: JobTerms, *, exact: bool = True) -> Policies:
        """As the spec says; beside a job manager task nothing is pruned, since the tasks that it adds are not in the spec."""
        return cls(
            prune=spec.task_prune_policy == "Delete" and not spec.job_manager_task,
            replace=spec.task_update_policy == "Replace",
            exact=exact,
        )

    @property
    def deletes(self) -> bool:
        """Whether bringing tasks in line with a changed spec may take some away."""
        return self.prune or self.replace

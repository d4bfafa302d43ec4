"""The kinds of the group in one table: names, models, printer columns. CRDs, watches, RBAC and URLs are derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from azure_batch_operator.api.account import AccountSpec, AccountStatus
from azure_batch_operator.api.base import ApiModel, Rule, Status
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.job_status import JobStatus
from azure_batch_operator.api.operation import OperationSpec, OperationStatus
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.pool_status import PoolStatus
from azure_batch_operator.api.schedule import JobScheduleSpec, JobScheduleStatus
from azure_batch_operator.api.task import TaskSpec, TaskStatus


class Kind(StrEnum):
    """Name of a kind as it stands in a manifest."""

    ACCOUNT = "BatchAccount"
    POOL = "BatchPool"
    JOB = "BatchJob"
    TASK = "BatchTask"
    SCHEDULE = "BatchJobSchedule"
    OPERATION = "BatchOperation"


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`; `wide` ones show with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True)
class Scale:
    """Paths of the `scale` subresource."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True)
class KindInfo:
    """Everything about a kind that is not in its models."""

    kind: Kind
    plural: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[Status]
    columns: tuple[Column, ...]
    scale: Scale | None = None
    rules: tuple[Rule, ...] = field(default=())
    selectable: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        """Lower-case name, as `kubectl` takes it."""
        return self.kind.lower()


def _condition(type_: str, attribute: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{attribute}'


_READY = Column("Ready", _condition("Ready"), "Whether it is as it should be.")
_REASON = Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.")
_MESSAGE = Column("Message", _condition("Ready", "message"), "What that means.", wide=True)
_PHASE = Column("Phase", ".status.phase", "The state in one word.")
_ADOPTED = Column(
    "Adopted", ".status.adopted", "Whether it existed in Azure Batch before its object.", "boolean", wide=True
)
_AGE = Column("Age", ".metadata.creationTimestamp", "Time since it was created.", type="date")

_ID_FROM_NAME = Rule(
    "(has(self.spec.id) ? self.spec.id : self.metadata.name).matches('^[A-Za-z0-9_-]{1,64}$')",
    "spec.id, or metadata.name without it, is the ID in Azure Batch: 1 to 64 letters, digits, '-' and '_'",
    ".spec.id",
    says="has(self.spec.id) ? \"'\" + self.spec.id + \"' is not an ID of Azure Batch: use 1 to 64 letters, digits, '-' and '_'\" : "
    "\"metadata.name '\" + self.metadata.name + \"' cannot be the ID in Azure Batch, which has 1 to 64 letters, digits, '-' and "
    "'_': add spec.id\"",
)

_CRON_NAME = Rule(
    "!has(self.spec.cron) || size(self.metadata.name) <= 52",
    "metadata.name is too long: the BatchJobs of a cron schedule are called <name>-<minutes since 1970>, which must fit into 64 "
    "characters; use at most 52",
)

KINDS: dict[Kind, KindInfo] = {
    info.kind: info
    for info in (
        KindInfo(
            Kind.ACCOUNT, "batchaccounts", "bacc",
            "An Azure Batch account: where it is, how to sign in, and who may use it.",
            AccountSpec, AccountStatus,
            (
                _READY, _REASON,
                Column("Endpoint", ".spec.endpoint", "URL of the account."),
                Column("Account", ".status.account", "Name of the account.", wide=True),
                _MESSAGE, _AGE,
            ),
        ),
        KindInfo(
            Kind.POOL, "batchpools", "bp", "A pool of compute nodes in an Azure Batch account.",
            PoolSpec, PoolStatus,
            (
                _READY, _PHASE,
                Column("Nodes", ".status.nodes", "Usable and wanted nodes."),
                Column("VM-Size", ".spec.vmSize", "Size of the nodes."),
                Column("Dedicated", ".status.currentDedicatedNodes", "Dedicated nodes that there are.", "integer", wide=True),
                Column("Spot", ".status.currentLowPriorityNodes", "Spot nodes that there are.", "integer", wide=True),
                Column("Cost/h", ".status.estimatedCostPerHour", "Estimate from spec.pricesFrom.", wide=True),
                Column("Account", ".spec.accountRef.name", "The BatchAccount.", wide=True),
                _ADOPTED, _REASON, _MESSAGE, _AGE,
            ),
            Scale(".spec.targetDedicatedNodes", ".status.currentDedicatedNodes", ".status.selector"),
            (_ID_FROM_NAME,),
            (".spec.accountRef.name", ".status.phase"),
        ),
        KindInfo(
            Kind.JOB, "batchjobs", "bj", "A job of Azure Batch with its tasks.",
            JobSpec, JobStatus,
            (
                _PHASE,
                Column("Pool", ".status.poolId", "The pool that it runs on, or is to run on."),
                Column("Tasks", ".status.progress", "Ended and all tasks."),
                Column("Running", ".status.taskCounts.running", "Tasks that run.", "integer"),
                Column("Failed", ".status.taskCounts.failed", "Tasks that have ended badly.", "integer"),
                _ADOPTED,
                Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", wide=True),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME,),
            (".status.phase",),
        ),
        KindInfo(
            Kind.TASK, "batchtasks", "bt", "One task of a BatchJob.",
            TaskSpec, TaskStatus,
            (
                Column("Job", ".spec.jobRef.name", "The BatchJob."),
                _PHASE,
                Column("Exit", ".status.exitCode", "Exit code.", "integer"),
                Column("Job-Id", ".status.jobId", "Id of the job in Azure Batch.", wide=True),
                Column("Pool", ".status.poolId", "Pool that it ran on.", wide=True),
                Column("Node", ".status.nodeId", "Node that it ran on.", wide=True),
                Column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME,),
            (".spec.jobRef.name", ".status.phase"),
        ),
        KindInfo(
            Kind.SCHEDULE, "batchjobschedules", "bjs", "Makes jobs again and again, by interval or by cron.",
            JobScheduleSpec, JobScheduleStatus,
            (
                Column("Schedule", ".spec.cron.expression", "When jobs are made, with cron."),
                Column("Every", ".spec.schedule.recurrenceInterval", "Time between two jobs, without cron."),
                Column("Timezone", ".spec.cron.timeZone", "Of the schedule; UTC if empty."),
                Column("Suspend", ".spec.suspend", "Whether no new job starts.", "boolean"),
                Column("Active", ".status.active", "Jobs that have not ended.", "integer"),
                # Not a date: kubectl shows those as ages, and has none for the future.
                Column("Last", ".status.lastScheduleTime", "When the last BatchJob was due, with cron."),
                Column("Next", ".status.nextRunTime", "When the next job is due."),
                _PHASE,
                Column("Recent", ".status.recentJob.id", "The last job.", wide=True),
                _ADOPTED,
                Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", wide=True),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME, _CRON_NAME),
            (".status.phase",),
        ),
        KindInfo(
            Kind.OPERATION, "batchoperations", "bop",
            "One imperative call to Azure Batch, for one thing or for many nodes or tasks: made once, and written down.",
            OperationSpec, OperationStatus,
            (
                _PHASE,
                Column("Done", ".status.progress", "Targets that are done with, and all."),
                Column("Failed", ".status.counts.failed", "Targets that Azure Batch refused.", "integer"),
                Column("Unknown", ".status.counts.unknown", "Targets that may have been done.", "integer"),
                Column("Pool", ".spec.poolRef.name", "The BatchPool.", wide=True),
                Column("Job", ".spec.jobRef.name", "The BatchJob.", wide=True),
                Column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
                _MESSAGE, _AGE,
            ),
            selectable=(".status.phase",),
        ),
    )
}  # fmt: skip

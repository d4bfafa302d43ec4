"""The kinds of the group in one table: names, models, printer columns. CRDs, watches, RBAC and URLs are derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from azure_batch_operator.api.account import AccountSpec, AccountStatus
from azure_batch_operator.api.base import ApiModel, Rule
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.job_status import JobStatus
from azure_batch_operator.api.operation import OperationSpec
from azure_batch_operator.api.operation_status import OperationStatus
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.pool_status import PoolStatus
from azure_batch_operator.api.schedule import JobScheduleSpec, JobScheduleStatus
from azure_batch_operator.api.status import Status
from azure_batch_operator.api.task import TaskSpec, TaskStatus


class Kind(StrEnum):
    """Name of a kind as it is in a manifest."""

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


_READY = Column("Ready", _condition("Ready"), "Whether the object is ready.")
_REASON = Column("Reason", _condition("Ready", "reason"), "Reason of the Ready condition.")
_MESSAGE = Column("Message", _condition("Ready", "message"), "Message of the Ready condition.", wide=True)
_PHASE = Column("Phase", ".status.phase", "Summary of the state in one word.")
_ADOPTED = Column(
    "Adopted",
    ".status.adopted",
    "Whether the resource existed in Azure Batch before this object.",
    "boolean",
    wide=True,
)
_AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was created.", type="date")

_ID_FROM_NAME = Rule(
    "(has(self.spec.id) ? self.spec.id : self.metadata.name).matches('^[A-Za-z0-9_-]{1,64}$')",
    "the ID in Azure Batch (spec.id, or metadata.name if unset) must consist of 1 to 64 letters, digits, '-' and '_'",
    ".spec.id",
    says="has(self.spec.id) ? \"'\" + self.spec.id + \"' is not an ID of Azure Batch: use 1 to 64 letters, digits, '-' and '_'\" : "
    "\"metadata.name '\" + self.metadata.name + \"' cannot be the ID in Azure Batch, which has 1 to 64 letters, digits, '-' and "
    "'_': add spec.id\"",
)

_CRON_NAME = Rule(
    "!has(self.spec.cron) || size(self.metadata.name) <= 52",
    "metadata.name is too long: the BatchJobs of a cron schedule are named <name>-<minutes since 1970>, "
    "which must fit into 64 characters; use at most 52",
)

KINDS: dict[Kind, KindInfo] = {
    info.kind: info
    for info in (
        KindInfo(
            Kind.ACCOUNT, "batchaccounts", "bacc",
            "An Azure Batch account: its endpoint, how to sign in, and which namespaces may use it.",
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
                Column("Nodes", ".status.nodes", "Usable nodes and target number of nodes."),
                Column("VM-Size", ".spec.vmSize", "Size of the nodes."),
                Column("Dedicated", ".status.currentDedicatedNodes", "Current number of dedicated nodes.", "integer", wide=True),
                Column("Spot", ".status.currentLowPriorityNodes", "Current number of Spot nodes.", "integer", wide=True),
                Column("Cost/h", ".status.estimatedCostPerHour", "Estimated cost per hour, from spec.pricesFrom.", wide=True),
                Column("Account", ".spec.accountRef.name", "Name of the BatchAccount.", wide=True),
                Column("Update", _condition("UpdatePending", "reason"), "Why a change is pending, if one is.", wide=True),
                _ADOPTED, _REASON, _MESSAGE, _AGE,
            ),
            Scale(".spec.targetDedicatedNodes", ".status.currentDedicatedNodes", ".status.selector"),
            (_ID_FROM_NAME,),
            (".spec.accountRef.name", ".status.phase"),
        ),
        KindInfo(
            Kind.JOB, "batchjobs", "bj", "A job in Azure Batch and its tasks.",
            JobSpec, JobStatus,
            (
                _PHASE,
                Column("Pool", ".status.poolId", "ID of the pool that the job runs on."),
                Column("Tasks", ".status.progress", "Ended tasks and all tasks."),
                Column("Running", ".status.taskCounts.running", "Running tasks.", "integer"),
                Column("Failed", ".status.taskCounts.failed", "Failed tasks.", "integer"),
                Column("Out-Of-Sync", _condition("TasksInSync", "reason"), "Why tasks differ from the spec, if any do.", wide=True),
                _ADOPTED,
                Column("Reason", _condition("Ready", "reason"), "Reason of the Ready condition.", wide=True),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME,),
            (".status.phase",),
        ),
        KindInfo(
            Kind.TASK, "batchtasks", "bt", "A single task of a job.",
            TaskSpec, TaskStatus,
            (
                Column("Job", ".spec.jobRef.name", "Name of the BatchJob."),
                _PHASE,
                Column("Exit", ".status.exitCode", "Exit code of the last attempt.", "integer"),
                Column("Job-Id", ".status.jobId", "ID of the job in Azure Batch.", wide=True),
                Column("Pool", ".status.poolId", "ID of the pool that the task ran on.", wide=True),
                Column("Node", ".status.nodeId", "ID of the node that the task ran on.", wide=True),
                Column("Reason", _condition("Ready", "reason"), "Reason of the Ready condition."),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME,),
            (".spec.jobRef.name", ".status.phase"),
        ),
        KindInfo(
            Kind.SCHEDULE, "batchjobschedules", "bjs", "Creates jobs repeatedly, on a cron schedule or at an interval.",
            JobScheduleSpec, JobScheduleStatus,
            (
                Column("Schedule", ".spec.cron.expression", "Cron expression, with spec.cron."),
                Column("Every", ".spec.schedule.recurrenceInterval", "Interval between jobs, with spec.schedule."),
                Column("Timezone", ".spec.cron.timeZone", "Time zone of the cron expression; UTC if empty."),
                Column("Suspend", ".spec.suspend", "Whether the schedule is suspended.", "boolean"),
                Column("Active", ".status.active", "Jobs that have not ended.", "integer"),
                # Not a date: kubectl shows those as ages, and has none for the future.
                Column("Last", ".status.lastScheduleTime", "Scheduled time of the last BatchJob, with spec.cron."),
                Column("Next", ".status.nextRunTime", "Time of the next job."),
                _PHASE,
                Column("Recent", ".status.recentJob.id", "ID of the most recent job.", wide=True),
                _ADOPTED,
                Column("Reason", _condition("Ready", "reason"), "Reason of the Ready condition.", wide=True),
                _MESSAGE, _AGE,
            ),
            None,
            (_ID_FROM_NAME, _CRON_NAME),
            (".status.phase",),
        ),
        KindInfo(
            Kind.OPERATION, "batchoperations", "bop",
            "An imperative operation on Azure Batch, for one target or for many nodes or tasks. It runs once and "
"records the results.",
            OperationSpec, OperationStatus,
            (
                _PHASE,
                Column("Done", ".status.progress", "Finished targets and all targets."),
                Column("Failed", ".status.counts.failed", "Targets for which Azure Batch refused the call.", "integer"),
                Column("Unknown", ".status.counts.unknown", "Targets with an unknown outcome.", "integer"),
                Column("Pool", ".spec.poolRef.name", "Name of the BatchPool.", wide=True),
                Column("Job", ".spec.jobRef.name", "Name of the BatchJob.", wide=True),
                Column("Reason", _condition("Ready", "reason"), "Reason of the Ready condition."),
                _MESSAGE, _AGE,
            ),
            selectable=(".status.phase",),
        ),
    )
}  # fmt: skip

"""Violations that may stand, each with the reason. A whole run fails on an entry that nothing needs any more."""

from __future__ import annotations

import re
from collections.abc import Collection

_SAME_AS_NOTHING = (
    "the service takes what is left out, false, zero or empty for the same, and so does the operator (decision 20)"
)
_OF_A_RESIZE = "an argument of each resize: it counts from the next one on"
_TARGET = "a target that is left out is left to whoever scales the pool: no nodes go for a missing line"
_NOT_NOTHING = (
    "autoUpgradeMinorVersion|secureBootEnabled|vTpmEnabled|enableCrossZoneUpgrade|prioritizeUnhealthyInstances|uid|gid"
)
_EMPTY = "windowsConfiguration|nodePlacementConfiguration|publicIPAddressConfiguration|windowsUserConfiguration"
_NETWORK = (
    r"\{'dynamicVNetAssignmentScope': 'none', (?:'publicIPAddressConfiguration': \{'provision': 'batchmanaged'\}, )?"
    r"'enableAcceleratedNetworking': False\}"
)
_MAY_BE: tuple[tuple[str, str], ...] = (
    (
        rf"differential: /\w+ \S+/(?!\S*(?:{_NOT_NOTHING}) )\S+ is (?:there|missing): (?:|0|False|\[\]|\{{\}})$",
        _SAME_AS_NOTHING,
    ),
    (
        rf"differential: /\w+ \S+/(?:\S+/)?(?:{_EMPTY}) is (?:there|missing): \{{",
        "an empty object is nothing; its defaults are filled in only where it was sent",
    ),
    (
        r"differential: /pool \w+/targetNodeCommunicationMode is (?:there|missing): default",
        "default is what a pool without it has",
    ),
    (r"spec\.(?:defaults\.pool\.)?resizeTimeout .*differential: /pool \w+/resizeTimeout", _OF_A_RESIZE),
    (r"spec\.(?:defaults\.pool\.)?nodeDeallocationOption .*effect", _OF_A_RESIZE),
    (
        r"BatchPool spec\.(?:updateStrategy|startTaskUpdate|deletionPolicy|nodeRemediation).*effect",
        "the operator acts on it when its occasion comes; other tests bring that about",
    ),
    (
        r"BatchPool spec\.virtualMachineConfiguration\.nodeAgentSKUId \[unset\]",
        "a pool keeps its node agent as long as it keeps its image (pool_desired.image_of)",
    ),
    (
        r"autoScaleFormula \[wrong\] rollback: .*AutoScalingFormulaSyntaxError: the formula",
        "the formula is named in words",
    ),
    (
        r"BatchAccount spec\.auth\..*(?:effect|stable|IdentityNotAllowed|IdentityNotConfigured|ConnectionFailed|TokenRefused)",
        "who signs in is named in words; the emulator takes one key whatever Secret it comes from, and nobody gives tokens here",
    ),
    (
        r"BatchTask spec\.multiInstanceSettings.*truthful: observedGeneration is -1",
        "a task that waits for nodes says nothing beyond Pending (decision 2)",
    ),
    (
        r"BatchJob spec\.(?:constraints|backoff).*differential: /task own/\w+/constraints/maxTaskRetryCount",
        "the service gives a job's retries to tasks that are added later",
    ),
    (
        r"BatchJob spec\.task\S*constraints(?:\.maxTaskRetryCount)? \[unset\].*/constraints/maxTaskRetryCount",
        "nothing tells the retries of a task from those that its job had when it was added (decision 20)",
    ),
    (
        r"BatchJob spec\.task\S*SecretRef(?:\.\w+)? \[(?:change|back)\] differential: /secret//jobs/own/tasks/",
        "the service returns no password and a task has no note, so a task keeps the one that it was added with (decision 20)",
    ),
    (
        r"BatchJob spec\.task\S*(?:container \[unset\]|References\[\]\.\w+ \[wrong\]) .*/onAllTasksComplete: 'terminatejob'",
        "the job was set to end with its tasks before the spec was wrong, which Azure Batch lets nobody take back",
    ),
    (
        r"BatchJob spec\.taskUpdatePolicy \[(?:change|back)\] differential: /job own/onAllTasksComplete: 'terminatejob'",
        "the job was set to end with its tasks before the policy was Replace, which Azure Batch lets nobody take back",
    ),
    (
        r"BatchJob spec\.\S+ \[\w+\] truthful: status /BatchJob own/(?:requeues|retries) is there: 0$",
        "numbers of tries that a status has shown stay in it, and 0 is what is so",
    ),
    (
        r"BatchJob spec\.tasks\[\] \[unset\] (?:differential: /job own/|truthful: status /BatchJob own/)",
        "the job ends with its last task, which Azure Batch lets nobody take back, also when that task is deleted",
    ),
    (
        r"BatchJob spec\.task\S*userIdentity\.username \[set\] stable: write patch batchjobs/status own",
        "nodes lack the user, so tasks fail at once; the end that is expected from their rate is taken away when it is past",
    ),
    (
        r"BatchJob spec\.pool(?:Ref|Info).*(?:previousState|requeueCount|requeues|retries)",
        "a job is moved by disabling it, which requeues its tasks",
    ),
    (
        r"(?:BatchAccount|BatchPool) spec\.(?:allowedNamespaces|rateLimit|polling).*effect",
        "the operator acts on it when its occasion comes; other tests bring that about",
    ),
    (
        r"BatchJob spec\.(?:(?:task(?:Prune|Update)|suspend|failure)Policy|pendingDeadline|backoff|ttl|logs)\S* .*effect",
        "the operator acts on it when its occasion comes; other tests bring that about",
    ),
    (r"BatchJob spec\.managedBy .*effect", "whoever else looks after the job, the operator does not"),
    (
        r"BatchJob spec\.suspend \[set\] (?:differential: /(?:job|task) own\S* is there|truthful: status /BatchJob own/)",
        "a job that is suspended from the beginning is not created; one that exists is disabled",
    ),
    (
        r"BatchJob spec\.suspend \[(?:change|unset)\].*(?:previousState|requeueCount|requeues|conditions: .*JobResumed)",
        "a job is suspended by disabling it, which requeues its tasks, and its status tells of it (as of batch/v1 Job)",
    ),
    (
        r"BatchJobSchedule spec\.schedule\.doNotRunUntil \[(?:set|change|back)\].*(?:/job own:job-1|/recentJob|/active|/history)",
        "before the date was set, the schedule had created its first job, as the service does at once; that job stays",
    ),
    (
        r"BatchJobSchedule spec\.suspend \[set\] (?:differential: /schedule own is there|truthful: status /BatchJobSchedule own/)",
        "a schedule that is suspended from the beginning is not created; one that exists is disabled",
    ),
    (
        r"BatchJobSchedule spec\.suspend \[(?:change|unset)\] differential: /schedule own/previousState is there: disabled",
        "the service keeps the state before the last one",
    ),
    (
        r"BatchJobSchedule spec\.(?:cron|jobSpecification).*effect",
        "the jobs of a cron schedule are made when their time comes; other tests bring that about",
    ),
    (r"BatchTask spec\.tailLines .*effect", "it counts for tasks that have ended"),
    (
        r"BatchPool spec\.autoScaleProfile\S* \[\w+\] truthful: status /BatchPool own/autoScaleRun/results",
        "a run that decides what the one before did is not told again (pool_status._run)",
    ),
    (r"BatchPool spec\.target(?:Dedicated|LowPriority)Nodes \[unset\]", _TARGET),
)
"""Pattern of the text of a violation with its case, reason."""
_OF_SEQUENCES: tuple[tuple[str, str], ...] = (
    (rf"differential: /pool \w+/networkConfiguration is missing: {_NETWORK}", "a network of defaults alone is none"),
    (
        r"differential: /task \S+/containerSettings/workingDirectory is there: taskWorkingDirectory",
        "a container without it starts in the working directory of the task, too",
    ),
    (
        r"BatchJob sequence .*spec\.logs.*rollback: names none of .*first: \S+ \(outputFiles\)",
        "what spec.logs uploads are outputFiles of a task in Azure Batch, and the message names members of the task",
    ),
    (
        r"BatchJob sequence .*spec\.(?:constraints|backoff).*differential: /task own/\w+/constraints/maxTaskRetryCount",
        "the service gives a job's retries to tasks that are added later",
    ),
    (
        r"BatchJob sequence .*truthful: status /BatchJob own/(?:requeues|retries) is there: 0$",
        "numbers of tries that a status has shown stay in it, and 0 is what is so",
    ),
)
"""The same that only random sequences need."""


def reason_for(violation: str) -> str | None:
    """Why a violation may be; None if it may not."""
    return dict(_MAY_BE + _OF_SEQUENCES).get(_pattern_for(violation))


def not_needed(violations: Collection[str]) -> list[str]:
    """Patterns that match none of the violations of a whole run."""
    used = {pattern for each in violations if (pattern := _pattern_for(each))}
    return [pattern for pattern, _ in _MAY_BE if pattern not in used]


def _pattern_for(violation: str) -> str:
    return next((pattern for pattern, _ in _MAY_BE + _OF_SEQUENCES if re.search(pattern, violation)), "")

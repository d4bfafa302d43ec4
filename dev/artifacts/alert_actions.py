"""What to do at each alert, with the commands to type: the column of docs/metrics.md to which its `runbook_url` leads.

Names in capitals are the labels of the alert.
"""

from __future__ import annotations

from collections.abc import Mapping

_LOG = "kubectl -n azure-batch-operator logs -l app.kubernetes.io/name=azure-batch-operator --prefix --tail=-1"
"""The log of all replicas. `logs deploy/…` would select one of them, and by a label only the last lines are shown by default."""

WHAT_TO_DO: Mapping[str, str] = {
    "AzureBatchPoolStalled": (
        "`kubectl azure-batch why bp/NAME -n NAMESPACE`, or the row of the reason in [Reasons](reasons.md). "
        "`kubectl get bp -n NAMESPACE` shows which pools have it"
    ),
    "AzureBatchJobStalled": (
        "`kubectl azure-batch why bj/NAME -n NAMESPACE`, or the row of the reason in [Reasons](reasons.md). "
        "`kubectl get bj -n NAMESPACE` shows which jobs have it"
    ),
    "AzureBatchBadNodesBilled": (
        "`kubectl azure-batch nodes ls POOL -n NAMESPACE` shows the nodes and their errors. Correct the start "
        "task or the image, then `kubectl azure-batch nodes reboot POOL NODE -n NAMESPACE`, or replace a node: "
        "`kubectl azure-batch operate removeNodes bp/POOL/NODE -n NAMESPACE`. [`nodeRemediation`](pools.md#nodes) "
        "does it automatically"
    ),
    "AzureBatchSpotPreemptionStorm": (
        "Nothing if the tasks can wait: Azure Batch runs them again when it gets nodes. Otherwise use dedicated "
        "nodes: `kubectl scale bp/POOL -n NAMESPACE --replicas=N`, another `vmSize` or region, or a [fallback "
        "pool](recipes.md#spot-with-a-fallback)"
    ),
    "AzureBatchResizeFailed": (
        "`kubectl describe bp/POOL -n NAMESPACE`: the condition `ResizeFailed` names the quota, the capacity or "
        "the subnet; see [Reasons](reasons.md#batchpool)"
    ),
    "AzureBatchAccountDown": (
        "`kubectl get bacc/ACCOUNT -n NAMESPACE -o wide` shows reason and message; the row of the reason in "
        "[Reasons](reasons.md#batchaccount) says what to do. `kubectl azure-batch doctor -n NAMESPACE` checks the "
        "Secret and the clock"
    ),
    "AzureBatchThrottled": (
        "Lower `spec.rateLimit` of the account ([Limits](accounts.md#limits-and-defaults)), or find other clients "
        "of the account in the metrics of Azure. `kubectl get bacc/ACCOUNT -n NAMESPACE -o "
        "jsonpath='{.status.throttling}'`"
    ),
    "AzureBatchPollStale": (
        "`kubectl describe bacc/ACCOUNT -n NAMESPACE`: if it is not `Ready`, do what its message says. Otherwise "
        f"search the log for the account and for `request_id`: `{_LOG} --since=1h`. If the log has no lines about it, "
        "restart the operator: "
        "`kubectl -n azure-batch-operator rollout restart deploy/azure-batch-operator`, and report the log"
    ),
    "AzureBatchReconcileBug": (
        f"`{_LOG} --since=1h` shows the traceback; "
        "report it as in [Troubleshooting](troubleshooting.md#internalerror). Other objects are not affected"
    ),
    "AzureBatchWorkQueueGrows": (
        "Compare the CPU with the limit: `kubectl -n azure-batch-operator top pod`. At the limit, raise it "
        "(`resources` of the chart) up to one core ([Sizing](performance.md#sizing)). Below it, raise "
        "`config.workers`. After the creation of thousands of objects, wait until the queue is empty. Replace "
        "many BatchTasks by a BatchJob with `taskFactory`"
    ),
    "AzureBatchStatusRefused": (
        "`kubectl azure-batch doctor` names CRDs of another version and missing permissions. Apply both in the "
        "version of the operator: `kubectl apply --server-side -k crds`, or the chart "
        f"([Upgrade](upgrade.md#upgrade)). The log names the object and the refusal: `{_LOG} --since=1h`"
    ),
    "AzureBatchDeletionStuck": (
        "`kubectl azure-batch why KIND/NAME -n NAMESPACE` says what blocks the deletion. If the account no longer "
        "exists: [Removing objects that cannot be cleaned "
        "up](ownership.md#removing-objects-that-cannot-be-cleaned-up). A whole namespace: "
        "[Troubleshooting](troubleshooting.md#a-namespace-stays-terminating)"
    ),
    "AzureBatchNoLeader": (
        "`kubectl -n azure-batch-operator get lease,pods`: the Lease `azure-batch-operator` names the leader. With shards, it has "
        "their number, such as `6-shards`, and the leader is the holder of `azure-batch-operator-shard-0`. No Pod runs: `kubectl "
        "-n azure-batch-operator describe pods`. No Pod gets the Lease: the log says `could not be renewed` and why, such as a "
        f"missing permission: `{_LOG} --since=1h`. More than one leader: one of them has not been scraped since it lost the "
        "Lease; if it stays, delete that Pod"
    ),
    "AzureBatchShardNotHeld": (
        "`kubectl -n azure-batch-operator get lease,pods`: the Lease of the shard names its holder. None: the log of "
        "each Pod says why it takes no more shards, such as `could not be renewed` ([Several "
        "replicas](scaling.md#several-replicas)). The holder does not act for it: its log says `wait for a list of all objects` "
        f"and why. `{_LOG} --since=1h`. More than one: as for AzureBatchNoLeader"
    ),
    "AzureBatchNamespaceDenied": (
        f"`{_LOG} --since=1h` has a line with `is not "
        "reconciled` that names each namespace. Remove one that does not exist from `watchNamespaces`, or create "
        "the Role: [Troubleshooting](troubleshooting.md#the-operator-says-that-a-namespace-is-not-reconciled)"
    ),
    "AzureBatchOperatorDown": (
        "`kubectl -n azure-batch-operator get deploy,pods`. If no Pod is ready: `kubectl -n azure-batch-operator "
        "describe pods`, and for one that restarts `kubectl -n azure-batch-operator logs POD --previous`. If "
        "all are ready, Prometheus does not scrape them: check `podMonitor.labels`, the labels that your "
        "Prometheus selects, and a NetworkPolicy (`networkPolicy.ingressFrom`)"
    ),
}
"""Alert → what to do."""

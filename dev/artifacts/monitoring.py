"""Dashboards for Grafana and alerts for Prometheus, from tables: what is asked, and how it is shown.

Every metric that they name exists and every expression parses: tests/unit/test_monitoring.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_NOTE = "Written by `make crds`; do not edit."
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        queries: legend → PromQL.
        unit: as Grafana calls it.
        kind: timeseries, stat or table.
    """

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    stacked: bool = False
    width: int = 12
    help: str = ""


@dataclass(frozen=True)
class Alert:
    """One alert; `text` may use {{ $labels.… }} and {{ $value }}.

    Attributes:
        page: where the documentation says what to do; by default the alert's own row in the table of alerts.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    text: str
    page: str = ""

    @property
    def runbook(self) -> str:
        """Path of the page below the documentation."""
        return f"docs/{self.page or 'metrics/#' + self.name.lower()}"


_REASON = "reasons/#{{ $labels.reason | toLower }}"
"""The row of a reason; `anchors` makes them."""


_WHERE = 'namespace=~"$namespace"'
_BROKEN = 'state=~"startTaskFailed|unusable|unknown|offline"'

FLEET = [
    Panel(
        "Pools", {"{{phase}}": f'sum by (phase) (azurebatch_objects{{kind="BatchPool",{_WHERE}}})'}, kind="stat", width=6
    ),
    Panel("Nodes", {"nodes": f"sum(azurebatch_pool_nodes{{{_WHERE}}})"}, kind="stat", width=6),
    Panel(
        "Share of nodes that idle",
        {"idle": f'sum(azurebatch_pool_nodes{{{_WHERE},state="idle"}}) / sum(azurebatch_pool_nodes{{{_WHERE}}})'},
        "percentunit", "stat", width=6,
    ),
    Panel(
        "Nodes in trouble, paid for all the same", {"nodes": f"sum(azurebatch_pool_nodes{{{_WHERE},{_BROKEN}}})"},
        kind="stat", width=6,
    ),
    Panel("Nodes by state", {"{{state}}": f"sum by (state) (azurebatch_pool_nodes{{{_WHERE}}})"}, stacked=True),
    Panel("Nodes by tier", {"{{tier}}": f"sum by (tier) (azurebatch_pool_nodes{{{_WHERE}}})"}, stacked=True),
    Panel(
        "Nodes wanted and there, by pool",
        {
            "{{pool}} wanted": f"sum by (pool) (azurebatch_pool_target_nodes{{{_WHERE}}})",
            "{{pool}}": f"sum by (pool) (azurebatch_pool_nodes{{{_WHERE}}})",
        },
    ),
    Panel(
        "Node hours of the last day, by tier",
        {"{{tier}}": f"sum by (tier) (increase(azurebatch_pool_node_seconds_total{{{_WHERE}}}[1d])) / 3600"}, "h",
    ),
    Panel(
        "Estimated cost of the last day, by pool",
        {
            "{{namespace}}/{{pool}} {{currency}}": "sum by (namespace, pool, currency) "
            f"(increase(azurebatch_pool_estimated_cost_total{{{_WHERE}}}[1d]))"
        },
    ),
    Panel("Resizes that fell short", {"{{namespace}}/{{pool}}": f"azurebatch_pool_resize_failed{{{_WHERE}}} == 1"}),
    Panel("Accounts that can be used", {"{{namespace}}/{{account}}": f"azurebatch_account_up{{{_WHERE}}}"}),
]  # fmt: skip

JOBS = [
    Panel("Jobs by phase", {"{{phase}}": f'sum by (phase) (azurebatch_objects{{kind="BatchJob",{_WHERE}}})'}, stacked=True),
    Panel("Tasks by state", {"{{state}}": f"sum by (state) (azurebatch_job_tasks{{{_WHERE}}})"}, stacked=True),
    Panel(
        "Open jobs with most waiting tasks",
        {"{{namespace}}/{{job}}": f'topk(10, azurebatch_job_tasks{{{_WHERE},state="active"}})'},
    ),
    Panel(
        "Open jobs with most failed tasks",
        {"{{namespace}}/{{job}}": f'topk(10, azurebatch_job_tasks{{{_WHERE},state="failed"}} > 0)'},
    ),
    Panel(
        "Share of ended tasks that failed",
        {
            "{{namespace}}/{{job}}": f'azurebatch_job_tasks{{{_WHERE},state="failed"}} / on (namespace, job) '
            f'sum by (namespace, job) (azurebatch_job_tasks{{{_WHERE},state=~"succeeded|failed"}})'
        },
        "percentunit",
    ),
    Panel(
        "Tasks put back because their node went away, per hour",
        {"{{namespace}}": f"sum by (namespace) (rate(azurebatch_task_requeues_total{{{_WHERE}}}[1h])) * 3600"},
    ),
    Panel(
        "BatchTasks by phase",
        {"{{phase}}": f'sum by (phase) (azurebatch_objects{{kind="BatchTask",{_WHERE}}})'}, stacked=True,
    ),
    Panel(
        "Jobs that ended, per hour",
        {"{{result}}": f"sum by (result) (rate(azurebatch_jobs_finished_total{{{_WHERE}}}[1h])) * 3600"},
    ),
    Panel(
        "Duration of jobs (median)",
        {
            "{{result}}": "histogram_quantile(0.5, "
            f"sum by (result, le) (rate(azurebatch_job_duration_seconds_bucket{{{_WHERE}}}[6h])))"
        },
        "s",
    ),
    Panel(
        "Objects that wait for somebody", {"{{kind}} {{reason}}": f"azurebatch_objects_stalled{{{_WHERE}}}"},
        kind="table", width=24,
    ),
]  # fmt: skip

OPERATOR = [
    Panel("Leader", {"{{pod}}": "azurebatch_leader"}, kind="stat", width=6),
    Panel("Version", {"{{version}}": "azurebatch_operator_build_info"}, kind="stat", width=6),
    Panel("Work queue", {"waiting": "sum(azurebatch_workqueue_depth)"}, kind="stat", width=6),
    Panel("Oldest good poll", {"age": "max(azurebatch_poll_age_seconds)"}, "s", "stat", width=6),
    Panel("Shards", {"{{pod}}": "sum by (pod) (azurebatch_shard_held)"}),
    Panel(
        "Passes by result", {"{{kind}} {{result}}": "sum by (kind, result) (rate(azurebatch_reconcile_total[5m]))"}, "ops"
    ),
    Panel(
        "Length of a pass (95 %)",
        {
            "{{kind}}": "histogram_quantile(0.95, "
            "sum by (kind, le) (rate(azurebatch_reconcile_duration_seconds_bucket[5m])))"
        },
        "s",
    ),
    Panel(
        "Wait in the queue (95 %)",
        {"wait": "histogram_quantile(0.95, sum by (le) (rate(azurebatch_workqueue_wait_seconds_bucket[5m])))"}, "s",
    ),
    Panel(
        "Queue",
        {
            "waiting": "sum(azurebatch_workqueue_depth)",
            "delayed": "sum(azurebatch_workqueue_delayed)",
            "active": "sum(azurebatch_workqueue_active)",
            "added/s": "sum(rate(azurebatch_workqueue_adds_total[5m]))",
            "retried/s": "sum(rate(azurebatch_workqueue_retries_total[5m]))",
        },
    ),
    Panel(
        "Longest pass in progress",
        {
            "longest": "max(azurebatch_workqueue_longest_active_seconds)",
            "sum": "sum(azurebatch_workqueue_unfinished_seconds)",
        },
        "s",
    ),
    Panel("Batch calls", {"{{operation}}": "sum by (operation) (rate(azurebatch_api_requests_total[5m]))"}, "reqps"),
    Panel(
        "Batch calls that failed, by code",
        {
            "{{code}} {{reason}}": "sum by (code, reason) "
            '(rate(azurebatch_api_requests_total{code!~"2..|304"}[5m]))'
        },
        "reqps",
    ),
    Panel(
        "Duration of Batch calls (95 %)",
        {
            "{{operation}}": "histogram_quantile(0.95, "
            "sum by (operation, le) (rate(azurebatch_api_request_duration_seconds_bucket[5m])))"
        },
        "s",
    ),
    Panel(
        "Limiter",
        {
            "{{account}} waiting": "azurebatch_account_calls_waiting",
            "{{account}} in flight": "azurebatch_account_calls_in_flight",
            "{{account}} paused for": "azurebatch_account_paused_seconds",
        },
    ),
    Panel("Throttled", {"{{account}}": "rate(azurebatch_account_throttled_total[5m])"}, "ops"),
    Panel("Age of the last successful poll", {"{{account}}": "azurebatch_poll_age_seconds"}, "s"),
    Panel(
        "Status writes",
        {
            "{{kind}} {{outcome}}": "sum by (kind, outcome) (rate(azurebatch_status_writes_total[5m]))",
            "waiting": "sum(azurebatch_status_writes_waiting)",
        },
        "ops",
    ),
    Panel(
        "Drift set right",
        {"{{kind}} {{property}}": "sum by (kind, property) (rate(azurebatch_drift_corrections_total[1h])) * 3600"},
    ),
    Panel("Objects being deleted", {"{{kind}}": "azurebatch_objects_deleting"}),
    Panel("Longest deletion in progress", {"{{kind}}": "azurebatch_objects_deleting_longest_seconds"}, "s"),
    Panel("Lag of the event loop", {"{{pod}}": "azurebatch_event_loop_lag_seconds"}, "s"),
    Panel("Memory", {"{{pod}}": 'process_resident_memory_bytes{job=~".*azure-batch-operator.*"}'}, "bytes"),
    Panel("CPU", {"{{pod}}": 'rate(process_cpu_seconds_total{job=~".*azure-batch-operator.*"}[5m])'}, "percentunit"),
]  # fmt: skip

DASHBOARDS = {"fleet": FLEET, "jobs": JOBS, "operator": OPERATOR}

ALERTS = [
    Alert(
        "AzureBatchPoolStalled",
        'sum by (namespace, reason) (azurebatch_objects_stalled{kind="BatchPool"}) > 0', "15m", "warning",
        "Pools are stalled and need manual action",
        "{{ $value }} pools in {{ $labels.namespace }} are stalled with reason {{ $labels.reason }}.", _REASON,
    ),
    Alert(
        "AzureBatchJobStalled",
        'sum by (namespace, reason) (azurebatch_objects_stalled{kind="BatchJob"}) > 0', "30m", "info",
        "Jobs are stalled and need manual action",
        "{{ $value }} jobs in {{ $labels.namespace }} are stalled with reason {{ $labels.reason }}.", _REASON,
    ),
    Alert(
        "AzureBatchBadNodesBilled",
        'sum by (namespace, pool) (azurebatch_pool_nodes{state=~"startTaskFailed|unusable|unknown"}) > 0',
        "15m", "warning", "Nodes are billed but cannot run tasks",
        "Pool {{ $labels.namespace }}/{{ $labels.pool }} has {{ $value }} unhealthy nodes: see kubectl describe batchpool.",
    ),
    Alert(
        "AzureBatchSpotPreemptionStorm",
        'sum by (namespace, pool) (azurebatch_pool_nodes{tier="spot",state="preempted"}) '
        '/ sum by (namespace, pool) (azurebatch_pool_target_nodes{tier="spot"} > 0) > 0.5',
        "10m", "warning", "Azure preempted most Spot nodes of a pool",
        "Pool {{ $labels.namespace }}/{{ $labels.pool }}: {{ $value | humanizePercentage }} of its Spot nodes are preempted.",
    ),
    Alert(
        "AzureBatchResizeFailed", "azurebatch_pool_resize_failed == 1", "1h", "info", "A pool did not reach its target size",
        "The last resize of pool {{ $labels.namespace }}/{{ $labels.pool }} is incomplete: see its condition ResizeFailed.",
        "reasons/#resizeincomplete",
    ),
    Alert(
        "AzureBatchAccountDown", "azurebatch_account_up == 0", "10m", "critical", "An account is not usable",
        "BatchAccount {{ $labels.namespace }}/{{ $labels.account }}: see its condition Ready. Its objects are not reconciled.",
    ),
    Alert(
        "AzureBatchThrottled", "rate(azurebatch_account_throttled_total[15m]) > 0.05", "30m", "info",
        "Azure Batch throttles requests repeatedly",
        "BatchAccount {{ $labels.namespace }}/{{ $labels.account }} is throttled: lower its rateLimit, or find other "
        "callers.",
        "reasons/#throttled",
    ),
    Alert(
        "AzureBatchPollStale", "azurebatch_poll_age_seconds > 600", "5m", "critical", "Statuses are outdated: no poll succeeded",
        "BatchAccount {{ $labels.namespace }}/{{ $labels.account }} was last polled {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "AzureBatchReconcileBug", 'increase(azurebatch_reconcile_total{result="bug"}[15m]) > 0', "0m", "warning",
        "The operator failed unexpectedly: a bug",
        "Passes over objects of kind {{ $labels.kind }} end with an unexpected error: see the log of the operator.",
        "reasons/#internalerror",
    ),
    Alert(
        "AzureBatchWorkQueueGrows", "sum by (namespace, job) (azurebatch_workqueue_depth) > 1000", "30m", "warning",
        "The operator does not keep up", "{{ $value }} objects wait to be reconciled by {{ $labels.job }}.",
    ),
    Alert(
        "AzureBatchStatusRefused", 'increase(azurebatch_status_writes_total{outcome=~"invalid|refused"}[15m]) > 0', "0m",
        "warning", "Statuses are not written", "The API server rejects them: apply the CRDs and the RBAC rules of this version.",
    ),
    Alert(
        "AzureBatchDeletionStuck", "azurebatch_objects_deleting_longest_seconds > 6 * 3600", "5m", "info",
        "The deletion of an object takes hours",
        "A {{ $labels.kind }} in {{ $labels.namespace }} has been in deletion for {{ $value | humanizeDuration }}: its conditions "
        "show what blocks it.",
        "reasons/#deleting",
    ),
    Alert(
        "AzureBatchNoLeader", "sum by (namespace, job) (azurebatch_leader) != 1", "5m", "critical", "No leader, or more than one",
        "{{ $value }} replicas of {{ $labels.job }} in {{ $labels.namespace }} are the leader. Without one, nothing is "
        "reconciled.",
    ),
    Alert(
        "AzureBatchShardNotHeld", "sum by (namespace, job, shard) (azurebatch_shard_held) != 1", "5m", "critical",
        "A shard without a replica, or with more than one",
        "{{ $value }} replicas of {{ $labels.job }} in {{ $labels.namespace }} hold the Lease of shard {{ $labels.shard }}. "
        "Without one, nothing is reconciled in its accounts.",
    ),
    Alert(
        "AzureBatchNamespaceDenied", "max by (namespace, job) (azurebatch_denied_namespaces) > 0", "15m", "warning",
        "Watched namespaces are not reconciled",
        "{{ $labels.job }} in {{ $labels.namespace }} has no permission in {{ $value }} watched namespaces and does not reconcile "
        "them: its log names each with what to do.",
    ),
    Alert(
        "AzureBatchOperatorDown", "absent(azurebatch_operator_build_info)", "10m", "critical",
        "The operator does not run", "No metrics of the operator are scraped; deleted objects keep their finalizers.",
    ),
]  # fmt: skip


def rules() -> str:
    """The `spec` of the PrometheusRule, for the chart; also a rule file for Prometheus itself."""
    group = {"name": "azure-batch-operator", "rules": [_rule(alert) for alert in ALERTS]}
    return f"# {_NOTE}\n" + yaml.safe_dump({"groups": [group]}, sort_keys=False, width=110)


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.text, "runbook_url": alert.runbook},
    }


def dashboards() -> dict[str, str]:
    """File name → dashboard as JSON."""
    return {f"{name}.json": json.dumps(_dashboard(name, panels), indent=1) for name, panels in DASHBOARDS.items()}


def _dashboard(name: str, panels: Sequence[Panel]) -> dict[str, Any]:
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        placed.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}))
        x += panel.width
    namespace = {
        "name": "namespace", "type": "query", "datasource": _SOURCE, "multi": True, "includeAll": True, "refresh": 2,
        "query": "label_values(azurebatch_pool_target_nodes, namespace)", "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "uid": f"azure-batch-{name}",
        "title": f"Azure Batch / {name.capitalize()}",
        "tags": ["azure-batch-operator"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source] if name == "operator" else [source, namespace]},
        "panels": placed,
    }


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 40} if panel.stacked else {}
    targets = [
        {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
        | ({"format": "table", "instant": True} if panel.kind == "table" else {})
        for index, (legend, expression) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "targets": targets,
    }


def manifests() -> dict[str, str]:
    """PrometheusRule and ConfigMaps for the kustomize component: file name → manifest. No alert has a link: see `runbooks`."""
    labels = dict.fromkeys(("app.kubernetes.io/name", "app.kubernetes.io/instance"), "azure-batch-operator")

    def metadata(name: str, **more: str) -> dict[str, Any]:
        return {"name": name, "namespace": "azure-batch-operator", "labels": labels | more}

    rule = {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": metadata("azure-batch-operator"), "spec": yaml.safe_load(rules()),
    }  # fmt: skip
    for each in rule["spec"]["groups"][0]["rules"]:
        del each["annotations"]["runbook_url"]
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(f"azure-batch-operator-dashboard-{name.removesuffix('.json')}", grafana_dashboard="1"),
            "data": {name: text},
        }
        for name, text in dashboards().items()
    ]
    dump: Any = lambda each: yaml.safe_dump(each, sort_keys=False, width=110)  # noqa: E731
    return {
        "alerts.yaml": f"# {_NOTE}\n{dump(rule)}",
        "dashboards.yaml": f"# {_NOTE}\n" + "---\n".join(dump(each) for each in maps),
    }


_DOCS = "azure-batch-operator-docs"
"""The ConfigMap of an overlay whose `url` is where the documentation is published."""


def runbooks() -> dict[str, str]:
    """The kustomize component that adds the `runbook_url` of each alert: file name → manifest.

    kustomize puts nothing together from two texts, but it replaces a part of one: the `docs` before the first slash.
    """
    path = "/spec/groups/0/rules/{}/annotations/runbook_url"
    patch = [{"op": "add", "path": path.format(at), "value": alert.runbook} for at, alert in enumerate(ALERTS)]
    target = {"kind": "PrometheusRule", "name": "azure-batch-operator"}  # copied: YAML would refer to the first
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "patches": [{"target": dict(target), "path": "links.yaml"}],
        "replacements": [
            {
                "source": {"kind": "ConfigMap", "name": _DOCS, "fieldPath": "data.url"},
                "targets": [
                    {
                        "select": dict(target),
                        "fieldPaths": ["spec.groups.*.rules.*.annotations.runbook_url"],
                        "options": {"delimiter": "/", "index": 0},
                    }
                ],
            }
        ],
    }
    how = (
        f"# List it after `monitoring`, and a ConfigMap {_DOCS} among the resources of the overlay (docs/metrics.md).\n"
    )
    return {
        "kustomization.yaml": f"# {_NOTE}\n{how}{yaml.safe_dump(component, sort_keys=False, width=110)}",
        "links.yaml": f"# {_NOTE}\n{yaml.safe_dump(patch, sort_keys=False, width=110)}",
    }

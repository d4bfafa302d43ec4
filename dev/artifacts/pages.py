"""Written pages of the documentation: settings, metrics, decisions, methods of the client, and the manifests in the recipes."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from pydantic.alias_generators import to_camel

from artifacts.alert_actions import WHAT_TO_DO
from artifacts.chart import SET_BY_CHART
from artifacts.monitoring import ALERTS
from artifacts.navigation import title
from azure_batch_operator import app
from azure_batch_operator.batch import BatchClient
from azure_batch_operator.batch.groups.base import Group
from azure_batch_operator.fleet import Fleet
from azure_batch_operator.settings import CONFIG_VARIABLE, Settings, flag_of, variable_of
from azure_batch_operator.sync.queue import WorkQueue
from azure_batch_operator.sync.store import Store

_NOTE = "<!-- Written by `make crds`; do not edit. -->\n"


def configuration() -> str:
    """docs/configuration.md."""
    lines = [
        "# Settings of the operator\n", _NOTE,
        "You can set each setting with a flag of `azure-batch-operator run`, with an environment variable, or in a YAML file. Pass",
        f"the path of the file in `--config` or `{CONFIG_VARIABLE}`. Flags take precedence over environment variables, and",
        "environment variables over the file. If a setting is unknown or invalid, the operator does not start and names it. With",
        "kustomize, set environment variables in a patch of the Deployment.\n",
        "To set a list, repeat the flag, separate the values with commas or use a JSON list in the environment variable, or use",
        "a list in the file. Times are in seconds.\n",
        "| In the file | In the chart | Flag | Environment variable | Default | Description |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, field in Settings.model_fields.items():
        default = json.dumps(list(field.default) if isinstance(field.default, tuple) else field.default)
        in_chart = SET_BY_CHART.get(name, f"`config.{to_camel(name)}`")
        lines.append(
            f"| `{to_camel(name)}` | {in_chart} | `{flag_of(name)}` | `{variable_of(name)}` | `{default}` | {field.description} |"
        )
    return "\n".join(lines) + "\n"


def families() -> list[Metric]:
    """All metrics of the operator, in the order of their names."""

    async def collect() -> list[Metric]:
        nothing = cast("Any", SimpleNamespace(waiting=0))
        return [cast("Metric", each) for each in Fleet(Store(), nothing, WorkQueue(), nothing).collect()]

    assert app  # noqa: S101 - importing it brings all modules that count something
    found = [*REGISTRY.collect(), *asyncio.run(collect())]
    return sorted((each for each in found if each.name.startswith("azurebatch_")), key=lambda each: each.name)


def exposed(family: Metric) -> str:
    """The name as Prometheus shows it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


_ALERTS = (
    "\n## Alerts\n",
    "Alerts about objects have the namespace of the objects as a label, so you can route them to the team. This requires",
    "`honorLabels: true`, which the monitors of the chart and of the component set. If you scrape without the Prometheus",
    "Operator, set it yourself. Otherwise, the label is the namespace of the operator. The relabeling selects the port of the",
    "operator, and adds the labels by which the alerts about the operator itself are grouped. `job` comes from `job_name`:\n",
    "```yaml",
    "scrape_configs:",
    "- job_name: azure-batch-operator",
    "  honor_labels: true",
    "  kubernetes_sd_configs: [{role: pod, namespaces: {names: [azure-batch-operator]}}]",
    "  relabel_configs:",
    "  - source_labels:",
    "    - __meta_kubernetes_pod_label_app_kubernetes_io_name",
    "    - __meta_kubernetes_pod_container_port_name",
    "    regex: azure-batch-operator;http",
    "    action: keep",
    "  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}",
    "  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}",
    "```\n",
    "`runbook_url` links to the row of the reason in [Reasons](reasons.md), or to the row below. It is set only if you",
    "configure the URL of your copy of this documentation: in the chart with `prometheusRule.docsUrl`; with kustomize, add",
    "`components/runbooks` after `components/monitoring`, and a ConfigMap with the URL to your overlay, either generated, as",
    "[Install](install.md#with-kustomize) shows, or as a file under `resources`. kustomize only reads the URL from it and does",
    "not apply it:\n",
    "```yaml",
    "apiVersion: v1",
    "kind: ConfigMap",
    "metadata:",
    "  name: azure-batch-operator-docs",
    '  annotations: {config.kubernetes.io/local-config: "true"}  # not applied',
    "data: {url: https://docs.example.com/azure-batch-operator}",
    "```\n",
    "In the commands, `NAMESPACE`, `POOL` and `ACCOUNT` are labels of the alert. The operator is in the namespace",
    "`azure-batch-operator`; replace it if your release is in another one.\n",
)
"""What the page says before the table of alerts, by lines."""


def metrics() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics and alerts\n", _NOTE,
        "The operator serves its metrics at `/metrics` on port 8080, together with standard `process_…` and `python_…` metrics:\n",
        "    kubectl -n azure-batch-operator port-forward deployment/azure-batch-operator 8080",
        "    curl -s localhost:8080/metrics | grep ^azurebatch_\n",
        "The chart adds a ServiceMonitor or PodMonitor, alerts and dashboards when `serviceMonitor`, `podMonitor`,",
        "`prometheusRule` and `dashboards` are enabled. With kustomize, add `manifests/components/monitoring`.",
        "Monitors and alerts need the custom resource definitions of the Prometheus Operator in the cluster. Without them,",
        "`helm` and `kubectl` report `no matches for kind`.\n",
        "No metric has tasks or nodes as labels. There are about 25 series for each pool, 4 for each job that has not ended, and",
        "6 for each account. Counters (jobs that ended, node hours, estimated cost) start at 0 when the operator starts. Divide",
        "`azurebatch_pool_node_seconds_total` by 3600 for node hours.",
        "With [shards](scaling.md#several-replicas), each replica serves the metrics of its own accounts. The replica that acts",
        "for shard 0 serves those of objects, pools and jobs. Sums over all replicas are right.\n",
        "The Batch data plane does not report the quotas of an account, so there is no metric of quotas.\n",
        "| Metric | Type | Labels | Description |", "|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| `{exposed(each)}` | {each.type} | {_labels(each)} | {each.documentation} |" for each in families()]
    lines += _ALERTS
    lines += ["| Alert | Severity | Condition | Meaning | What to do |", "|---|---|---|---|---|"]
    for alert in ALERTS:
        when = f"{_code_in_table(alert.expression)} for {alert.lasting}"
        lines.append(f"| {alert.name} | {alert.severity} | {when} | {alert.summary} | {WHAT_TO_DO[alert.name]} |")
    lines += [
        "\n## Traces\n",
        "Set `OTEL_EXPORTER_OTLP_ENDPOINT` (OTLP over HTTP, such as `http://collector:4318`) to export traces. Each pass over an",
        "object is a span, with one child span per call to Azure Batch that contains operation, status, code and request ID. Set",
        "headers, sampling and resource with OpenTelemetry's environment variables, in the chart under `extraEnv`. Without the",
        "endpoint, nothing is traced. Outside the container image, install `azure-batch-operator[tracing]`. If the operator has a",
        "NetworkPolicy, allow the port of the collector, such as 4318: in the chart by `networkPolicy.extraEgress`, or",
        "by a patch as for the [metadata service](identity.md#managed-identity-of-the-node).",
    ]
    return "\n".join(lines) + "\n"


def _code_in_table(text: str) -> str:
    """Code for a cell: the site shows a backslash before a bar between backticks, and on GitHub a bar without one ends the cell."""
    return f"<code>{escape(text, quote=False).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def decisions(docs: Path) -> str:
    """docs/decisions/README.md: the records by number and title."""
    lines = [
        "# Decisions\n", _NOTE,
        "Each record explains one decision about the design: the problem, what was decided, and why.\n",
    ]  # fmt: skip
    for record in sorted((docs / "decisions").glob("[0-9]*.md")):
        number, heading = title(record).split(". ", 1)
        lines.append(f"{number}. [{heading}]({record.name})")
    return "\n".join(lines) + "\n"


_MANIFEST = re.compile(r"^<!-- (manifests/\S+) -->\n(?:```yaml\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def with_manifests(page: str, root: Path) -> str:
    """A page with the manifest below each comment that names one, so that what people copy is the file that a test applies."""

    def shown(comment: re.Match[str]) -> str:
        return f"<!-- {comment[1]} -->\n```yaml\n{(root / comment[1]).read_text()}```\n"

    return _MANIFEST.sub(shown, page)


_GROUPS = re.compile(r"(?<=^\| Group \| Methods \|\n\|---\|---\|\n)(?:\|.*\n)*", re.MULTILINE)


def with_groups(page: str) -> str:
    """The page of the Batch client with the methods of each group of operations."""
    nothing: Any = None  # A client for its groups alone: it sends nothing, and so needs no credential.
    groups = vars(BatchClient("http://127.0.0.1", nothing))
    rows = [
        f"| `{name}` | {', '.join(map(_call, _methods(group)))} |\n"
        for name, group in groups.items()
        if isinstance(group, Group)
    ]
    return _GROUPS.sub("".join(rows), page)


def _methods(group: Group) -> Iterator[tuple[str, Callable[..., object]]]:
    """The public methods of a group, in the order of its class."""
    for name, member in vars(type(group)).items():
        if not name.startswith("_"):
            yield name, member


def _call(method: tuple[str, Callable[..., object]]) -> str:
    """A method with what it requires; the rest are keywords."""
    name, function = method
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return f"`{name}({', '.join(required[1:])})`"


def _labels(family: Metric) -> str:
    return ", ".join(_label_names(family))


def _label_names(family: Metric) -> Iterator[str]:
    names = getattr(family, "_labelnames", None)
    if names:
        yield from names
        return
    collector = REGISTRY._names_to_collectors.get(exposed(family))
    yield from getattr(collector, "_labelnames", ())

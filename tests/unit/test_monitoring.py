"""Dashboards and alerts: every expression parses, and every metric it names is one that the operator serves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest

from artifacts import monitoring, navigation, pages
from artifacts.alert_actions import WHAT_TO_DO
from azure_batch_operator.generate import ROOT
from unit.test_reasons import reasons

_HISTOGRAM = ("_bucket", "_sum", "_count")
FROM_THE_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def served() -> dict[str, set[str]]:
    """Metric as PromQL names it → its labels; those of the scrape included."""
    found = {}
    for family in pages.families():
        labels = set(pages._label_names(family)) | {"pod", "job", "le"}
        names = (
            [f"{family.name}{each}" for each in _HISTOGRAM] if family.type == "histogram" else [pages.exposed(family)]
        )
        found.update((name, labels) for name in names)
    return found | {name: {"pod", "job"} for name in FROM_THE_PROCESS}


def expressions() -> Iterator[tuple[str, str]]:
    for name, panels in monitoring.DASHBOARDS.items():
        for panel in panels:
            for expression in panel.queries.values():
                yield f"{name}: {panel.title}", expression.replace("$namespace", "x")
    for alert in monitoring.ALERTS:
        yield alert.name, alert.expression


def selectors(node: Any) -> Iterator[Any]:
    """The vector selectors of a parsed expression."""
    match type(node).__name__:
        case "VectorSelector":
            yield node
        case "MatrixSelector":
            yield node.vector_selector
        case "BinaryExpr":
            yield from selectors(node.lhs)
            yield from selectors(node.rhs)
        case "Call":
            for each in node.args:
                yield from selectors(each)
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            yield from selectors(node.expr)
        case "NumberLiteral" | "StringLiteral":
            return
        case other:
            raise AssertionError(f"unknown part of an expression: {other}")


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_requested_data_is_served(where: str, expression: str) -> None:
    known = served()
    found = list(selectors(promql_parser.parse(expression)))
    assert found, where
    for selector in found:
        assert selector.name in known, where
        for matcher in selector.matchers.matchers:
            assert matcher.name in known[selector.name], f"{where}: {matcher.name}"


def test_a_metric_that_is_not_served_would_be_found() -> None:
    [selector] = selectors(promql_parser.parse("sum(rate(azurebatch_no_such_total[5m]))"))
    assert selector.name not in served()


@pytest.mark.parametrize("name", monitoring.DASHBOARDS)
def test_panels_of_a_dashboard_do_not_overlap(name: str) -> None:
    dashboard = json.loads(monitoring.dashboards()[f"{name}.json"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_names_and_units_follow_the_conventions_of_prometheus() -> None:
    for family in pages.families():
        name = pages.exposed(family)
        assert name.startswith("azurebatch_")
        assert name.endswith("_total") == (family.type == "counter")
        if family.type == "histogram":
            assert name.endswith("_seconds")
        assert family.documentation


REASON = "{{ $labels.reason | toLower }}"


@pytest.mark.parametrize("alert", monitoring.ALERTS, ids=lambda each: each.name)
def test_an_alert_leads_to_its_row_in_the_documentation(alert: monitoring.Alert) -> None:
    page, _, anchor = alert.runbook.partition("/#")
    text = navigation.shown(f"{page.removeprefix('docs/')}.md", (ROOT / f"{page}.md").read_text())
    found = [one or other for one, other in re.findall(r'<a id="(\w+)">|^#+ .* \{ #(\S+) .*\}$', text, re.MULTILINE)]
    assert len(set(found)) == len(found)
    if anchor == REASON:
        assert {each.lower() for each in reasons()} <= set(found)
    else:
        assert anchor in found


def test_alerts_about_objects_can_be_routed_by_namespace() -> None:
    for alert in monitoring.ALERTS:
        if "sum by" in alert.expression:
            assert "sum by (namespace" in alert.expression, alert.name


def test_a_watched_namespace_without_rights_alerts() -> None:
    """Nothing else shows it outside of the log: the operator stays ready. A standby replica reads nothing and reports 0."""
    [alert] = [each for each in monitoring.ALERTS if each.name == "AzureBatchNamespaceDenied"]
    assert alert.expression == "max by (namespace, job) (azurebatch_denied_namespaces) > 0"
    assert alert.severity == "warning"


def test_a_call_has_its_status_and_the_code_of_the_service_in_labels_of_their_own() -> None:
    assert served()["azurebatch_api_requests_total"] >= {"operation", "code", "reason"}


def test_there_is_no_series_of_when_counting_began() -> None:
    assert not [name for name in generate_latest().decode().splitlines() if "_created" in name]


def test_alerts_have_names_of_their_own_and_say_what_to_do() -> None:
    names = [alert.name for alert in monitoring.ALERTS]
    assert len(set(names)) == len(names)
    for alert in monitoring.ALERTS:
        assert alert.summary
        assert alert.text[-1] in ".?"
        assert alert.severity in {"info", "warning", "critical"}


def test_the_row_of_an_alert_has_a_command_to_type() -> None:
    """`runbook_url` leads there at night: what the alert means is not enough."""
    assert set(WHAT_TO_DO) == {alert.name for alert in monitoring.ALERTS}
    rows = [line.strip("| ").split(" | ") for line in pages.metrics().splitlines() if line.startswith("| AzureBatch")]
    assert {row[0]: row[4] for row in rows} == WHAT_TO_DO
    for name, text in WHAT_TO_DO.items():
        assert re.search(r"`kubectl [^`]+`", text), name
        assert "|" not in text, name


@pytest.mark.parametrize("alert", monitoring.ALERTS, ids=lambda each: each.name)
def test_what_a_command_names_in_capitals_is_a_label_of_the_alert(alert: monitoring.Alert) -> None:
    """The page says so; a name that the alert does not show cannot be typed."""
    parsed = promql_parser.parse(alert.expression)
    [selector, *_] = selectors(parsed)
    grouped = re.match(r"(?:sum|max) by \(([^)]*)\)", alert.expression)
    labels = set(grouped[1].split(", ")) if grouped else served()[selector.name]
    named = set(re.findall(r"\b(NAMESPACE|POOL|ACCOUNT|KIND)\b", WHAT_TO_DO[alert.name]))
    assert {each.lower() for each in named} <= labels


def test_a_shard_without_a_replica_alerts_and_so_does_one_with_two() -> None:
    """Each replica reports 0 for a shard that it does not hold. Without the setting there is no series, and no alert."""
    [alert] = [each for each in monitoring.ALERTS if each.name == "AzureBatchShardNotHeld"]
    assert alert.expression == "sum by (namespace, job, shard) (azurebatch_shard_held) != 1"
    assert alert.severity == "critical"


@pytest.mark.parametrize("name", ["AzureBatchNoLeader", "AzureBatchWorkQueueGrows"])
def test_releases_beside_each_other_are_judged_one_by_one(name: str) -> None:
    """What a replica says of itself carries the scrape's labels: two releases have two leaders."""
    [alert] = [each for each in monitoring.ALERTS if each.name == name]
    sums = promql_parser.parse(alert.expression)
    assert isinstance(sums, promql_parser.BinaryExpr)
    assert isinstance(sums.lhs, promql_parser.AggregateExpr)
    assert str(sums.lhs.modifier) == "by (namespace, job)"
    assert "$labels.job" in alert.text


def test_actions_read_the_log_of_all_replicas() -> None:
    """`logs deploy/…` selects one Pod, and with several replicas it is seldom the right one."""
    labels = yaml.safe_load((ROOT / "manifests/base/deployment.yaml").read_text())["spec"]["template"]["metadata"][
        "labels"
    ]
    selector = f"-l app.kubernetes.io/name={labels['app.kubernetes.io/name']} "
    pages = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    texts = {**WHAT_TO_DO, **pages}
    read = {
        where: re.findall(r"kubectl -n azure-batch-operator logs ([^`\n|]*)", text) for where, text in texts.items()
    }
    assert sum(map(len, read.values())) >= 2 * 4
    for where, found in read.items():
        for each in found:
            one = each.startswith("POD ")
            assert one or (each.startswith(selector) and "--prefix" in each and "--tail=-1" in each), f"{where}: {each}"
    assert not [where for where, text in texts.items() if "logs deploy" in text]


def test_who_leads_with_shards_is_not_looked_up_in_the_common_lease() -> None:
    assert "`6-shards`" in WHAT_TO_DO["AzureBatchNoLeader"]
    assert "`azure-batch-operator-shard-0`" in WHAT_TO_DO["AzureBatchNoLeader"]

"""What a platform team sees of the operator: probes, metrics and logs, while all is well and while Azure is not."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import Stage, job, pool
from stage import NAMESPACE, SERVICE_ACCOUNT, Operator, Pod


def samples(stage: Stage) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Metric → labels → value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(stage.operator.get("metrics")[1]):
        for each in family.samples:
            found.setdefault(each.name, {})[tuple(sorted(each.labels.items()))] = each.value
    return found


def value(stage: Stage, metric: str, **labels: str) -> float | None:
    return samples(stage).get(metric, {}).get(tuple(sorted(labels.items())))


def test_metrics_show_the_fleet(stage: Stage) -> None:
    stage.ready_pool()
    stage.apply(job("long", tasks=[{"id": f"t{n}", "commandLine": "sleep 600"} for n in range(6)]))
    where = {"namespace": stage.namespace}
    stage.until(
        lambda: (
            value(stage, "azurebatch_job_tasks", job="long", state="running", **where) == 4
            and value(stage, "azurebatch_job_tasks", job="long", state="active", **where) == 2
            and value(
                stage, "azurebatch_pool_nodes", pool="cpu", account="main", tier="dedicated", state="running", **where
            )
            == 2
        ),
        "four tasks run on two nodes, as the metrics say",
    )
    assert value(stage, "azurebatch_pool_target_nodes", pool="cpu", account="main", tier="dedicated", **where) == 2
    assert value(stage, "azurebatch_pool_resize_failed", pool="cpu", account="main", **where) == 0
    assert value(stage, "azurebatch_account_up", account="main", **where) == 1
    assert value(stage, "azurebatch_objects", kind="BatchPool", phase="Steady", **where) == 1
    assert value(stage, "azurebatch_leader") == 1
    age = value(stage, "azurebatch_poll_age_seconds", account="main", **where)
    assert age is not None
    assert age < 60
    found = samples(stage)
    assert found["azurebatch_workqueue_wait_seconds_count"][()] >= 3
    # No task, no node: series do not grow with them.
    assert not {name for series in found.values() for labels in series for name, _ in labels} & {"task", "node", "id"}

    stage.kubectl("delete", "bj", "long", "--timeout=60s")
    assert value(stage, "azurebatch_job_tasks", job="long", state="running", **where) is None


def test_the_operator_lives_and_is_ready_while_azure_is_down(stage: Stage) -> None:
    stage.ready_pool()
    stage.emulator.admin("POST", "faults", {"effect": {"reset": True}})
    stage.until(
        lambda: value(stage, "azurebatch_account_up", account="main", namespace=stage.namespace) == 0,
        "the account is down, as the metrics say",
    )
    assert stage.operator.get("healthz")[0] == 200
    assert stage.operator.get("readyz")[0] == 200
    stage.emulator.admin("DELETE", "faults")
    stage.until(
        lambda: value(stage, "azurebatch_account_up", account="main", namespace=stage.namespace) == 1, "it is up again"
    )


def test_json_lines_carry_object_pass_and_request_id_and_no_key(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(arguments=lambda _: ("--log-format=json", "--log-level=DEBUG"))
    stage.ready_pool()
    fault = {"operation": "Pools_CreatePool", "effect": {"status": 403, "code": "PoolQuotaReached"}}
    stage.emulator.admin("POST", "faults", fault)
    stage.apply(pool("other"))

    def line() -> dict[str, str] | None:
        lines = [json.loads(each) for each in stage.operator.log.read_text().splitlines()]
        return next((each for each in lines if each.get("request_id")), None)

    found = stage.until(line, "a line with the request id of a failed call")
    assert found["object"] == f"BatchPool {stage.namespace}/other"
    assert len(found["reconcile_id"]) == 8
    assert stage.emulator.key not in stage.operator.log.read_text()


class Receiver:
    """Takes traces as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        receiver.spans += scope.spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test says what it wants to know."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_traces_show_the_calls_of_a_pass_when_they_are_requested(stage: Stage, receiver: Receiver) -> None:
    stage.operator.stop()
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    pod = Pod(NAMESPACE, SERVICE_ACCOUNT, ("run",), environment)
    stage.operator = Operator.start(stage.cluster, stage.folder / "traced", pod=pod, arguments=stage.arguments)
    stage.started.append(stage.operator)
    stage.ready_pool()
    created = stage.until(
        lambda: next((span for span in receiver.spans if span.name == "Pools_CreatePool"), None), "the span of a call"
    )
    assert attributes(created)["http.response.status_code"] == 201
    assert attributes(created)["azure.request_id"]
    assert created.end_time_unix_nano > created.start_time_unix_nano
    [parent] = stage.until(
        lambda: [span for span in receiver.spans if span.span_id == created.parent_span_id], "the span of the pass"
    )
    assert parent.name == "reconcile BatchPool"
    assert attributes(parent) == {"namespace": stage.namespace, "object": "cpu"}
    assert stage.emulator.key not in str(receiver.spans)


def test_check_says_what_does_not_work(stage: Stage) -> None:
    def check(*arguments: str) -> tuple[int, list[str]]:
        pod = Pod(NAMESPACE, SERVICE_ACCOUNT, ("check", f"--namespace={stage.namespace}", *arguments), {})
        command = pod.command(stage.cluster, stage.folder)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    stage.apply(*stage.account())
    stage.wait("bacc", "main", "Ready")
    url = f"http://127.0.0.1:{stage.operator.port}"
    code, lines = check(f"--operator-url={url}")
    assert code == 0
    assert [line.split()[0] for line in lines] == ["ok"] * 4

    stage.apply(*stage.account("wrong", accountName="nobody"))
    stage.until(lambda: stage.condition("bacc", "wrong", "Stalled"), "the account stalls")
    stage.operator.stop()
    code, lines = check(f"--operator-url={url}", "--timeout=0.5")
    assert code == 1
    assert [line.split()[0] for line in lines] == ["ok", "FAIL", "FAIL", "ok", "FAIL"]
    assert f"{url}/readyz" in lines[2]
    assert f"BatchAccount {stage.namespace}/wrong: UnknownAccount" in lines[4]

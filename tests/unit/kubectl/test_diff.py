"""`diff`: the same verdict as the operator's, shown as a unified diff."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from azure_batch_kubectl import diff_command
from azure_batch_kubectl.comparing import aligned, compared, unified
from azure_batch_operator.api.kinds import Kind
from azure_batch_operator.batch.errors import NotFoundError
from azure_batch_operator.reconcile.job import changes as job_changes
from azure_batch_operator.reconcile.pool import changes as pool_changes
from azure_batch_operator.reconcile.schedule import changes as schedule_changes
from unit.kubectl.conftest import Body, FakeCluster, thing
from unit.kubectl.test_remote import batch_account

Run = Callable[..., Result]
IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": IMAGE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
POOL: Body = {
    "accountRef": {"name": "main"},
    "vmSize": "Standard_D4ads_v6",
    "virtualMachineConfiguration": MACHINE,
    "targetDedicatedNodes": 2,
}
JOB: Body = {"poolRef": {"name": "cpu"}, "priority": 5}


def pool_there(spec: Body = POOL, **changed: Any) -> Body:
    """A pool as the service returns it after it was made of a spec: with its defaults, in its casing."""
    body = pool_changes.with_note({"id": "cpu", **{name: spec[name] for name in spec if name != "accountRef"}}, spec)
    filled = {
        "vmSize": "standard_d4ads_v6", "taskSlotsPerNode": 1, "taskSchedulingPolicy": {"nodeFillType": "Spread"},
        "enableAutoScale": False, "resizeTimeout": "PT15M", "targetLowPriorityNodes": 0, "state": "active",
        "virtualMachineConfiguration": {**MACHINE, "imageReference": {**IMAGE, "version": "latest"}},
    }  # fmt: skip
    return {**body, **filled, **changed}


def job_there(spec: Body = JOB, **changed: Any) -> Body:
    """The same of a job."""
    body = job_changes.with_note({"id": "render", "poolInfo": {"poolId": "cpu"}}, spec)
    filled = {
        "priority": spec.get("priority", 0), "maxParallelTasks": -1, "allowTaskPreemption": False, "state": "active",
        "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0},
        "onAllTasksComplete": "noaction", "usesTaskDependencies": True,
    }  # fmt: skip
    return {**body, **filled, **changed}


def changed_lines(kind: Kind, spec: Body, remote: Body | None, pool_id: str | None = None) -> list[str]:
    """The lines of a diff that tell of a change."""
    lines = unified(compared(kind, "cpu", spec, pool_id, remote), "there", "spec")
    return [line for line in lines[2:] if line[0] in "+-"]


def test_a_pool_that_is_as_its_spec_says_has_no_diff() -> None:
    assert changed_lines(Kind.POOL, POOL, pool_there()) == []


def test_a_job_that_is_as_its_spec_says_has_no_diff() -> None:
    assert changed_lines(Kind.JOB, JOB, job_there(), "cpu") == []


@pytest.mark.parametrize(
    ("spec", "there", "lines"),
    [
        ({"targetDedicatedNodes": 3}, {}, ["-targetDedicatedNodes: 2", "+targetDedicatedNodes: 3"]),
        ({"taskSlotsPerNode": 4}, {}, ["-taskSlotsPerNode: 1", "+taskSlotsPerNode: 4"]),
        ({}, {"taskSlotsPerNode": 8}, ["-taskSlotsPerNode: 8", "+taskSlotsPerNode: 1"]),
        ({"vmSize": "Standard_D8ads_v6"}, {}, ["-vmSize: standard_d4ads_v6", "+vmSize: Standard_D8ads_v6"]),
        ({}, {"startTask": {"commandLine": "/bin/true"}}, ["-startTask:", "-  commandLine: /bin/true"]),
        (
            {"virtualMachineConfiguration": {**MACHINE, "imageReference": {**IMAGE, "sku": "minimal"}}},
            {},
            ["-    sku: server", "+    sku: minimal"],
        ),
        (
            {"metadata": [{"name": "team", "value": "a"}]},
            {"metadata": [{"name": "team", "value": "b"}, {"name": "azurebatch.io/owner", "value": "c/n/BatchPool/cpu/u"}]},
            ["-  value: b", "+  value: a"],
        ),
        (
            {},
            {"enableAutoScale": True, "autoScaleFormula": "$TargetDedicatedNodes=1", "targetDedicatedNodes": 2},
            ["-autoScaleFormula: $TargetDedicatedNodes=1", "-enableAutoScale: true"],
        ),
    ],
)  # fmt: skip
def test_differences_of_a_pool(spec: Body, there: Body, lines: list[str]) -> None:
    assert changed_lines(Kind.POOL, {**POOL, **spec}, pool_there(**there)) == lines


@pytest.mark.parametrize(
    ("spec", "there", "lines"),
    [
        ({"priority": 9}, {}, ["-priority: 5", "+priority: 9"]),
        ({"constraints": {"maxTaskRetryCount": 2}}, {}, ["-  maxTaskRetryCount: 0", "+  maxTaskRetryCount: 2"]),
        ({}, {"poolInfo": {"poolId": "gpu"}}, ["-  poolId: gpu", "+  poolId: cpu"]),
        # The operator sets it once all tasks are in.
        ({"onAllTasksComplete": "terminatejob"}, {}, []),
        # What nobody can change any more is a difference all the same.
        (
            {"commonEnvironmentSettings": [{"name": "A", "value": "1"}]},
            {"commonEnvironmentSettings": [{"name": "A", "value": "2"}]},
            ["-  value: (hidden)", "+  value: '1'"],
        ),
    ],
)
def test_differences_of_a_job(spec: Body, there: Body, lines: list[str]) -> None:
    assert changed_lines(Kind.JOB, {**JOB, **spec}, job_there(**there), "cpu") == lines


def test_a_schedule_is_compared_as_the_service_writes_it() -> None:
    spec = {
        "schedule": {"doNotRunUntil": "2099-01-01T01:00:00+01:00", "recurrenceInterval": "PT60M"},
        "jobSpecification": {"poolRef": {"name": "cpu"}, "priority": 5},
    }
    body = schedule_changes.with_note({"id": "cpu"}, spec, "cpu")
    there = {
        **body,
        "schedule": {"doNotRunUntil": "2099-01-01T00:00:00Z", "recurrenceInterval": "PT1H"},
        "jobSpecification": {"priority": 5, "poolInfo": {"poolId": "cpu"}, "maxParallelTasks": -1},
    }
    assert changed_lines(Kind.SCHEDULE, spec, there, "cpu") == []
    there["jobSpecification"] = {**there["jobSpecification"], "priority": 0}
    assert changed_lines(Kind.SCHEDULE, spec, there, "cpu") == ["-  priority: 0", "+  priority: 5"]


def test_what_is_not_there_is_added_as_a_whole() -> None:
    lines = unified(compared(Kind.JOB, "render", JOB, "cpu", None), "there", "spec")
    assert lines == [
        "--- there", "+++ spec", "@@ -0,0 +1,4 @@", "+id: render", "+poolInfo:", "+  poolId: cpu", "+priority: 5",
    ]  # fmt: skip


def test_no_secret_is_shown() -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    told = {"name": "A", "valueFrom": reference}
    start = {"commandLine": "run", "environmentSettings": [told, {"name": "DB_PASSWORD", "value": "new-word"}]}
    there = {
        "commandLine": "walk",
        "environmentSettings": [{"name": "A", "value": "from-secret"}, {"name": "DB_PASSWORD", "value": "old-word"}],
        "resourceFiles": [{"httpUrl": "https://x.example/f?sig=abcd1234&se=1", "filePath": "f"}],
    }
    text = "\n".join(
        unified(compared(Kind.POOL, "cpu", {**POOL, "startTask": start}, None, pool_there(startTask=there)), "", "")
    )
    assert "-  commandLine: walk" in text
    assert "+  commandLine: run" in text
    for secret in ("from-secret", "new-word", "old-word", "abcd1234"):
        assert secret not in text


FROM_SECRET = {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}


@pytest.mark.parametrize(
    ("kind", "settings", "shown"),
    [
        (Kind.POOL, None, ["-  - name: API_TOKEN", "-    value: (hidden)"]),
        (Kind.POOL, [], ["-  - name: API_TOKEN", "-    value: (hidden)"]),
        (Kind.POOL, [{"name": "API_TOKEN", "value": "new"}], ["-    value: (hidden)", "+    value: new"]),
        (Kind.POOL, [FROM_SECRET, {"name": "MODE", "value": "fast"}], ["+  - name: MODE", "+    value: fast"]),
        (Kind.JOB, None, []),
        (Kind.JOB, [{"name": "API_TOKEN", "value": "new"}], ["-  value: (hidden)", "+  value: new"]),
        (Kind.SCHEDULE, None, ["-  - name: API_TOKEN", "-    value: (hidden)"]),
    ],
)
def test_a_value_that_came_from_a_secret_is_not_shown_once_the_spec_is_another(
    kind: Kind, settings: list[Body] | None, shown: list[str]
) -> None:
    """Its name does not say that it is one, and the spec no longer says so either."""
    there = [{"name": "API_TOKEN", "value": "hunter22"}]
    wanted: Body = {} if settings is None else {"environmentSettings": settings}
    if kind is Kind.POOL:
        before = {**POOL, "startTask": {"commandLine": "true", "environmentSettings": [FROM_SECRET]}}
        spec = {**POOL, "startTask": {"commandLine": "true", **wanted}}
        remote = pool_there(before, startTask={"commandLine": "true", "environmentSettings": there})
    elif kind is Kind.JOB:
        spec = {**JOB, **({} if settings is None else {"commonEnvironmentSettings": settings})}
        remote = job_there({**JOB, "commonEnvironmentSettings": [FROM_SECRET]}, commonEnvironmentSettings=there)
    else:
        spec = {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": {"poolInfo": {"poolId": "cpu"}}}
        body = {**spec["jobSpecification"], "commonEnvironmentSettings": there}
        remote = {"id": "cpu", "state": "active", "schedule": spec["schedule"], "jobSpecification": body}
    lines = changed_lines(kind, spec, remote, "cpu")
    assert "hunter22" not in "".join(lines)
    assert [line for line in lines if line in shown] == shown, lines


def test_values_of_the_environment_that_are_as_the_spec_says_are_context() -> None:
    same = {"name": "MODE", "value": "fast"}
    spec = {**POOL, "startTask": {"commandLine": "b", "environmentSettings": [same]}}
    remote = pool_there(startTask={"commandLine": "a", "environmentSettings": [same]})
    assert changed_lines(Kind.POOL, spec, remote) == ["-  commandLine: a", "+  commandLine: b"]


def test_a_difference_between_hidden_values_is_one() -> None:
    def start(word: str) -> Body:
        return {"commandLine": "run", "environmentSettings": [{"name": "DB_PASSWORD", "value": word}]}

    lines = changed_lines(Kind.POOL, {**POOL, "startTask": start("new-word")}, pool_there(startTask=start("old-word")))
    assert lines == ["-startTask: (hidden)", "+startTask: (hidden), and another one"]


def test_items_are_paired_by_name_and_equal_ones_are_written_as_in_the_spec() -> None:
    wanted = [{"name": "a", "elevationLevel": "Admin"}, {"name": "b", "elevationLevel": "admin"}]
    found = [{"name": "b", "elevationLevel": "nonadmin"}, {"name": "a", "elevationLevel": "admin"}, {"name": "c"}]
    assert aligned("userAccounts", wanted, found, lenient=False) == [
        {"name": "a", "elevationLevel": "Admin"}, {"name": "b", "elevationLevel": "nonadmin"}, {"name": "c"},
    ]  # fmt: skip


class Batch:
    """Pools and jobs by ID."""

    def __init__(self, **there: Body) -> None:
        self.pools = self.jobs = self.job_schedules = self
        self._there = there

    async def get(self, id_: str) -> Body:
        if id_ not in self._there:
            raise NotFoundError("none", status=404, code="PoolNotFound")
        return self._there[id_]


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Batch], list[Any]]:
    def use(batch: Batch) -> list[Any]:
        asked: list[Any] = []

        @asynccontextmanager
        async def client(_: object, place: tuple[str, str]) -> AsyncIterator[Batch]:
            asked.append(place)
            yield batch

        monkeypatch.setattr(diff_command, "signed_in", client)
        return asked

    return use


def with_spec(kind: str, name: str, spec: Body) -> Body:
    """An object with a spec."""
    return {**thing(kind, name), "spec": spec}


def test_all_open_objects_are_compared_with_one_client(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]]
) -> None:
    asked = signed_in(Batch(cpu=pool_there(), render=job_there(priority=1)))
    fake.add(batch_account())
    fake.add(with_spec("BatchPool", "cpu", POOL))
    fake.add(with_spec("BatchJob", "render", JOB))
    fake.add({**thing("BatchJob", "old", ("Complete", "True", "Succeeded", "")), "spec": JOB})
    fake.add(with_spec("BatchJob", "again", {"retryOf": {"name": "old"}}))
    done = run("diff")
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines()[:2] == [
        "--- jobs/render (Azure Batch)", "+++ batchjob.azurebatch.io/team/render (spec)",
    ]  # fmt: skip
    assert "-priority: 1\n+priority: 5\n" in done.stdout
    assert "BatchJob team/again is left out: it takes its settings from another job" in done.stderr
    assert asked == [("team", "main")]
    assert run("diff", "bp/cpu").exit_code == 0


def test_a_manifest_is_compared_before_it_is_applied(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]], tmp_path: Path
) -> None:
    signed_in(Batch(cpu=pool_there()))
    fake.add({**batch_account(), "spec": {**batch_account()["spec"], "defaults": {"job": {"priority": 7}}}})
    file = tmp_path / "render.yaml"
    file.write_text(
        "apiVersion: azurebatch.io/v1alpha1\nkind: BatchPool\nmetadata: {name: cpu}\n"
        f"spec: {POOL}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n"
        "apiVersion: azurebatch.io/v1alpha1\nkind: BatchJob\nmetadata: {name: render}\nspec: {poolRef: {name: cpu}}\n"
    )
    done = run("diff", "-f", str(file))
    assert done.exit_code == 1, done.output
    # Azure Batch has no such job; its priority is the default of the account.
    assert done.stdout.splitlines()[3:] == [
        "+id: render",
        "+poolInfo:",
        "+  poolId: cpu",
        "+priority: 7",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("just text", "holds something that is no object with a kind and a name"),
        (
            "apiVersion: azurebatch.io/v1alpha1\nkind: BatchPool\nmetadata: {name: p}\nspec: {vmSize: 5, accountRef: {name: a}}\n",
            "BatchPool team/p is invalid: spec.vmSize",
        ),
        (
            "apiVersion: azurebatch.io/v1alpha1\nkind: BatchJob\nmetadata: {name: r}\nspec: {poolRef: {name: none}}\n",
            "BatchJob team/r names BatchPool none, which is not there: correct poolRef",
        ),
    ],
)
def test_an_error_has_the_exit_code_two(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]], tmp_path: Path, text: str, said: str
) -> None:
    signed_in(Batch())
    fake.add(batch_account())
    file = tmp_path / "x.yaml"
    file.write_text(text)
    done = run("diff", "-f", str(file))
    assert said in done.stderr
    assert done.exit_code == 2


def test_the_resource_of_another_owner_is_named(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]]
) -> None:
    marker = {"name": "azurebatch.io/owner", "value": "cluster/other/BatchPool/cpu/uid/cpu"}
    signed_in(Batch(cpu=pool_there(metadata=[marker])))
    fake.add(batch_account())
    fake.add(with_spec("BatchPool", "cpu", POOL))
    assert "BatchPool team/cpu: BatchPool other/cpu owns 'cpu' in Azure Batch" in run("diff", "bp/cpu").stderr


def test_an_object_that_names_a_missing_pool_does_not_hide_the_others(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]]
) -> None:
    signed_in(Batch(cpu=pool_there(), render=job_there(priority=1)))
    fake.add(batch_account())
    fake.add(with_spec("BatchPool", "cpu", POOL))
    fake.add(with_spec("BatchJob", "astray", {"poolRef": {"name": "none"}}))
    fake.add(with_spec("BatchJob", "render", JOB))
    why = "BatchJob team/astray names BatchPool none, which is not there: correct poolRef"
    done = run("diff")
    assert "-priority: 1\n+priority: 5\n" in done.stdout
    assert done.stderr.splitlines() == [f"error: BatchJob team/astray is not compared: {why}"]
    assert done.exit_code == 2
    named = run("diff", "bj/astray", "bj/render")
    assert (named.stdout, named.exit_code) == ("", 2)
    assert why in named.stderr


def test_an_object_that_names_a_missing_account_does_not_hide_the_others(
    fake: FakeCluster, run: Run, signed_in: Callable[[Batch], list[Any]]
) -> None:
    signed_in(Batch(cpu=pool_there(), render=job_there(priority=1)))
    fake.add(batch_account())
    fake.add(with_spec("BatchPool", "astray", {**POOL, "accountRef": {"name": "none"}}))
    fake.add(with_spec("BatchPool", "cpu", POOL))
    fake.add(with_spec("BatchJob", "render", JOB))
    why = "BatchPool team/astray names BatchAccount team/none, which is not there: create it, or correct accountRef"
    done = run("diff")
    assert "-priority: 1\n+priority: 5\n" in done.stdout
    assert done.stderr.splitlines() == [f"error: BatchPool team/astray is not compared: {why}"]
    assert done.exit_code == 2
    named = run("diff", "bp/astray", "bj/render")
    assert (named.stdout, named.exit_code) == ("", 2)
    assert why in named.stderr

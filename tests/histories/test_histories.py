"""Histories that have found something, some random ones, and the checker itself: it must notice what it is there for."""

from __future__ import annotations

import argparse
import ast
import copy
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from histories.__main__ import named_file, shrunk
from histories.checker import judge
from histories.generate import generate
from histories.history import History, Step, stored
from histories.lives import lives
from histories.play import play
from histories.quiet import seconds_of, stop_schedules
from histories.record import Call, Done, Effect, Owner, Record, Thing, Version, Write
from histories.shrink import shrink
from histories.tally import replaced

HERE = Path(__file__).parent
SEEDS = (1, 5)
CHECKER = ("attempts", "checker", "completion", "ends", "judged", "lives", "operations", "ownership", "pace", "play_words",
           "record", "schedules", "wishes", "history")  # fmt: skip


@pytest.mark.parametrize("name", sorted(stored()))
def test_known_violations_do_not_return(name: str) -> None:
    history = stored()[name]
    assert not judge(history, play(history)).violations


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_keeps_all_promises(seed: int) -> None:
    history = generate(seed)
    record = play(history)
    assert not judge(history, record).violations
    assert (replaced(record) > 0) is (seed == 5), "one of them has users who change tasks that are replaced"


def test_the_beginning_of_a_history_is_one() -> None:
    steps = tuple(Step(float(each), "kill", {"seconds": 0.0}) for each in range(5))
    assert History(1, steps, replicas=2).until(2.0) == History(1, steps[:3], replicas=2)


def test_the_checker_knows_nothing_of_the_operator() -> None:
    for name in CHECKER:
        for node in ast.walk(ast.parse((HERE / f"{name}.py").read_text())):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                part, _, rest = module.partition(".")
                assert part in sys.stdlib_module_names | {"histories", "orjson"}, f"{name} imports {module}"
                assert part != "histories" or rest in {*CHECKER, ""}, f"{name} imports {module}"


def test_the_shrinker_finds_the_two_steps_that_matter() -> None:
    steps = tuple(Step(float(each), "kill", {"seconds": each}) for each in range(40))

    def fails(history: History) -> bool:
        return {7, 31} <= {each.args["seconds"] for each in history.steps}

    assert [each.at for each in shrink(History(1, steps), fails).steps] == [7.0, 31.0]


SMALL = History(
    1,
    (
        Step(0.0, "account", {"allowedNamespaces": {"all": True}}),
        Step(
            0.0,
            "apply",
            {
                "object": {
                    "kind": "BatchPool",
                    "metadata": {"name": "cpu"},
                    "spec": {
                        "accountRef": {"name": "main"},
                        "vmSize": "Standard_D4ads_v6",
                        "virtualMachineConfiguration": {
                            "imageReference": {
                                "publisher": "canonical",
                                "offer": "0001-com-ubuntu-server-jammy",
                                "sku": "22_04-lts",
                            },
                            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
                        },
                        "targetDedicatedNodes": 1,
                    },
                }
            },
        ),
        Step(
            1.0,
            "apply",
            {
                "object": {
                    "kind": "BatchJob",
                    "metadata": {"name": "own"},
                    "spec": {"poolRef": {"name": "cpu"}, "tasks": [{"id": "t", "commandLine": "/bin/true"}]},
                }
            },
        ),
        Step(2.0, "azure", {"method": "POST", "path": "/jobs", "body": {"id": "foreign", "poolInfo": {"poolId": "x"}}}),
    ),
)


OPERATED = SMALL.having(
    (
        *SMALL.steps,
        Step(
            300.0,
            "apply",
            {
                "object": {
                    "kind": "BatchOperation",
                    "metadata": {"name": "off"},
                    "spec": {"poolRef": {"name": "cpu"}, "disableNodeScheduling": {"nodes": {"selector": "all"}}},
                }
            },
        ),
    )
)


@pytest.fixture(scope="module")
def operated() -> Record:
    """The same with a BatchOperation."""
    record = play(OPERATED)
    assert not judge(OPERATED, record).violations
    assert _effect(record, "Nodes_DisableNodeScheduling").done
    return record


@pytest.fixture(scope="module")
def small() -> Record:
    """The record of a history without faults, which tests damage in copies."""
    record = play(SMALL)
    assert not judge(SMALL, record).violations
    return record


def _effect(record: Record, operation: str) -> Effect:
    return next(each for each in record.effects if each.operation == operation and each.ours)


def _foreign_deleted(record: Record) -> None:
    thing = Thing("job", "foreign", None, "1", "active")
    record.effects.append(Effect(500.0, True, "Jobs_DeleteJob", "/jobs/foreign", {"jobId": "foreign"}, None, thing))


def _deleted_without_a_wish(record: Record) -> None:
    owner = _owner(record)
    facts = {"ran": ["t"], "results": {"t": "success"}, "commands": {"t": "true"}}
    thing = Thing("job", "own", owner, "1", "active", {"t": "completed"}, True, facts)
    record.effects.append(Effect(500.0, True, "Jobs_DeleteJob", "/jobs/own", {"jobId": "own"}, None, thing))


def _owner(record: Record) -> Owner:
    body = next(each for each in record.objects if each["kind"] == "BatchJob")
    return Owner("quick", "default", "BatchJob", "own", body["metadata"]["uid"], "own")


def _added_twice(record: Record) -> None:
    record.effects.append(dataclasses.replace(_effect(record, "Tasks_CreateTaskCollection"), time=900.0))


def _left_behind(record: Record) -> None:
    last = next(each for each in reversed(record.versions) if each.plural == "batchjobs")
    record.versions.append(dataclasses.replace(last, type="DELETED"))


def _wrong_counts(record: Record) -> None:
    body = next(each for each in record.objects if each["kind"] == "BatchJob")
    body["status"]["taskCounts"]["failed"] = 1


def _wrong_nodes(record: Record) -> None:
    record.pools["cpu"]["nodes"] = {"unusable": 1}


def _old_status(record: Record) -> None:
    body = next(each for each in record.objects if each["kind"] == "BatchPool")
    body["metadata"]["generation"] += 1


def _unknown_reason(record: Record) -> None:
    body = next(each for each in record.objects if each["kind"] == "BatchPool")
    body["status"]["conditions"][0]["reason"] = "NobodyKnows"


def _hasty(record: Record) -> None:
    for second in range(4):
        record.calls.append(Call(500.0 + second, "Pools_CreatePool", "POST", "/pools", 400, b"{}"))


def _repeated_after_a_revocation(times: int) -> Callable[[Record], None]:
    """A call that is refused again and again, once the service has revoked a token."""

    def damage(record: Record) -> None:
        record.steps.append(Done(495.0, "revoke-tokens", {}))
        for second in range(times + 1):
            record.calls.append(Call(500.0 + second, "Pools_ResizePool", "POST", "/pools/cpu/resize", 403, b"{}"))

    return damage


def _written_at_rest(record: Record) -> None:
    end = record.rest[1]
    record.writes.append(Write(end - 1, "patch", "batchpools/status", "default", "cpu", 200, {}))


def _spec_written(record: Record) -> None:
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": "1"},
        {"op": "replace", "path": "/spec/priority", "value": 1},
    ]
    record.writes.append(Write(500.0, "patch", "batchjobs", "default", "own", 200, patch))


def _shown(record: Record) -> None:
    record.planted.append("PLANTED-1")
    record.lines.append("INFO here it is: PLANTED-1")


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (_foreign_deleted, "foreign"),
        (_deleted_without_a_wish, "unwished"),
        (_added_twice, "twice"),
        (_left_behind, "orphan"),
        (_wrong_counts, "untrue"),
        (_wrong_nodes, "untrue"),
        (_old_status, "unfulfilled"),
        (_unknown_reason, "unfulfilled"),
        (_hasty, "backoff"),
        (_repeated_after_a_revocation(2), "backoff"),
        (_written_at_rest, "rest"),
        (_spec_written, "write"),
        (_shown, "secret"),
    ],
)
def test_the_checker_notices(small: Record, damage: Callable[[Record], None], rule: str) -> None:
    damaged = Record(**{each.name: _copied(getattr(small, each.name)) for each in dataclasses.fields(Record)})
    damage(damaged)
    assert rule in judge(SMALL, damaged).rules


def _disabled_again(seconds: float) -> Callable[[Record], None]:
    def damage(record: Record) -> None:
        effect = _effect(record, "Nodes_DisableNodeScheduling")
        record.effects.append(dataclasses.replace(effect, time=effect.time + seconds))

    return damage


def _disabled_for_others(record: Record) -> None:
    effect = _effect(record, "Nodes_DisableNodeScheduling")
    assert effect.before is not None
    foreign = Owner("quick", "team", "BatchPool", "cpu", "other", "cpu")
    other = dataclasses.replace(effect, before=dataclasses.replace(effect.before, owner=foreign))
    record.effects[record.effects.index(effect)] = other


def _called(operation: str) -> Callable[[Record], None]:
    """A call that no operation has asked for."""

    def damage(record: Record) -> None:
        effect = _effect(record, "Nodes_DisableNodeScheduling")
        record.effects.append(dataclasses.replace(effect, operation=operation))

    return damage


def _never_disabled(record: Record) -> None:
    record.effects.remove(_effect(record, "Nodes_DisableNodeScheduling"))


def _with_body(change: Callable[[dict[str, Any]], None]) -> Callable[[Record], None]:
    """Every version of the operation, and what is left of it, is otherwise."""

    def damage(record: Record) -> None:
        for number, each in enumerate(record.versions):
            if each.plural == "batchoperations":
                body = copy.deepcopy(each.body)
                change(body)
                record.versions[number] = dataclasses.replace(each, body=body)
        for body in record.objects:
            if body["kind"] == "BatchOperation":
                change(body)

    return damage


def _terminated_long_ago(record: Record) -> None:
    first = next(each for each in record.versions if each.plural == "batchoperations")
    body = copy.deepcopy(first.body)
    body["metadata"]["annotations"] = {"azurebatch.io/terminate": "1"}
    record.versions.insert(record.versions.index(first), dataclasses.replace(first, time=10.0, body=body))


def _not_done_it_says(body: dict[str, Any]) -> None:
    for each in body.get("status", {}).get("results", ()):
        if each["outcome"] == "Succeeded":
            each["outcome"] = "Skipped"


def _miscounted(body: dict[str, Any]) -> None:
    if "counts" in body.get("status", {}):
        body["status"]["counts"]["failed"] += 1


def _for_ever_running(body: dict[str, Any]) -> None:
    body["status"]["phase"] = "Running"


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (_disabled_again(0.0), "twice"),
        (_disabled_again(300.0), "unwished"),
        (_terminated_long_ago, "unwished"),
        (_disabled_for_others, "foreign"),
        (_never_disabled, "untrue"),
        *((_called(operation), "unwished") for operation in ("Nodes_UploadNodeLogs", "Nodes_ReplaceNodeUser")),
        (_with_body(_not_done_it_says), "untrue"),
        (_with_body(_miscounted), "untrue"),
        (_with_body(_for_ever_running), "unfulfilled"),
    ],
)
def test_the_checker_notices_what_an_operation_does(
    operated: Record, damage: Callable[[Record], None], rule: str
) -> None:
    copied = Record(**{each.name: _copied(getattr(operated, each.name)) for each in dataclasses.fields(Record)})
    damage(copied)
    assert rule in judge(OPERATED, copied).rules


@pytest.mark.parametrize("maximum", [None, 0])
def test_the_checker_reads_a_null_as_zero(operated: Record, maximum: int | None) -> None:
    copied = Record(**{field.name: _copied(getattr(operated, field.name)) for field in dataclasses.fields(Record)})
    _with_body(lambda body: body["spec"].update(maxFailures=maximum))(copied)
    assert not judge(OPERATED, copied).violations


def test_the_policy_of_a_namespace_counts_for_objects_without_one() -> None:
    def version(plural: str, time: float, policy: str | None, uid: str = "u") -> Version:
        metadata = {"uid": uid, "annotations": {"azurebatch.io/reconcile-policy": policy} if policy else {}}
        name = "team" if plural == "namespaces" else "own"
        return Version(time, "MODIFIED", plural, "" if plural == "namespaces" else "team", name, {"metadata": metadata})

    record = Record(
        versions=[
            version("namespaces", 0.0, None, "n"),
            version("batchjobs", 0.0, None),
            version("batchjobs", 0.0, "manage", "own"),
            version("namespaces", 1000.0, "skip", "n"),
            version("namespaces", 2000.0, "detach-on-delete", "n"),
        ]
    )
    found = lives(record)
    at = (900.0, 1050.0, 1500.0, 2099.0, 2500.0)
    assert [found["u"].policies(each) for each in at] == [
        {"manage"}, {"manage", "skip"}, {"skip"}, {"skip", "detach-on-delete"}, {"detach-on-delete"},
    ]  # fmt: skip
    assert {tuple(found["own"].policies(each)) for each in at} == {("manage",)}


def test_tasks_one_after_the_other_take_the_sum_of_their_times() -> None:
    assert seconds_of(["/bin/sh -c 'sleep 900'", "/bin/sh -c 'exit 3'", "sleep 20; echo 5; sleep 1"]) == 921.0


def test_one_call_is_repeated_at_once_for_a_revoked_token(small: Record) -> None:
    damaged = Record(**{each.name: _copied(getattr(small, each.name)) for each in dataclasses.fields(Record)})
    _repeated_after_a_revocation(1)(damaged)
    assert "backoff" not in judge(SMALL, damaged).rules


def test_schedules_that_no_object_rules_are_disabled_at_the_end() -> None:
    def schedule(name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"}, "spec": spec}

    def owned(id: str, name: str) -> dict[str, Any]:
        marker = f"cluster/default/BatchJobSchedule/{name}/u-{name}/{id}"
        return {"id": id, "state": "active", "metadata": [{"name": "azurebatch.io/owner", "value": marker}]}

    skipped = schedule("skipped", schedule={})
    skipped["metadata"]["annotations"] = {"azurebatch.io/reconcile-policy": "skip"}
    objects = [
        schedule("a", id="Ruled", schedule={}),
        schedule("cron", cron={}),
        skipped,
        schedule("again", schedule={}),
    ]
    held = schedule("held", schedule={})
    held["metadata"]["namespace"] = "team"
    objects.append(held)
    annotated = {"azurebatch.io/reconcile-policy": "skip"}
    namespaces: list[dict[str, Any]] = [
        {"metadata": {"name": "default"}},
        {"metadata": {"name": "team", "annotations": annotated}},
    ]
    active = [owned("ruled", "a"), *(owned(id, id) for id in ("cron", "skipped", "held"))]
    left = [{"id": "left", "state": "active"}, owned("again", "before")]
    steps = stop_schedules(9.0, objects, [*active, *left, {"id": "ended", "state": "completed"}], namespaces)
    assert [each.args["name"] for each in steps if each.do == "patch"] == ["a", "cron", "skipped", "again", "held"]
    assert [each.args["path"] for each in steps if each.do == "azure"] == [
        f"/jobschedules/{id}/disable" for id in ("cron", "skipped", "held", "left", "again")
    ]


def _copied(value: Any) -> Any:
    """A copy of what tests damage: lists, and bodies in them; what is frozen stays."""
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return {name: _copied(each) for name, each in value.items()} if isinstance(value, dict) else value


def test_the_command_prints_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "small.json"
    file.write_text(SMALL.to_json())
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, str(HERE), "--file", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert "1 history in" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("content", [None, "not JSON", "{}", "[]"])
def test_a_file_that_is_no_history_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "wrong.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(str(file))):
        named_file(str(file))


def test_nothing_is_stored_of_a_history_that_breaks_no_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "shrunk.json"
    options = argparse.Namespace(file=(Path("small.json"), SMALL), shrink="orphan", contains="", into=into)
    assert shrunk(options) == 2
    assert "small does not break orphan" in capsys.readouterr().err
    assert not into.exists()

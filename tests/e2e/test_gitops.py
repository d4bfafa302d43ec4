"""GitOps tools on the real thing: kstatus' own library, and Argo CD's scripts, on objects as the operator leaves them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

import gitopstools
from artifacts import gitops
from azure_batch_operator.generate import ROOT
from e2e.conftest import Stage, job, pool, task
from localcluster import LocalCluster

WAVES = sorted((ROOT / "gitops" / "argocd" / "waves").glob("*.yaml"))


def test_an_object_that_was_never_reconciled_does_not_appear_finished(installed: LocalCluster) -> None:
    """Without the default of observedGeneration, kstatus would call an object without a status current."""
    installed.kubectl("create", "namespace", "unseen")
    one = pool("unseen")
    text = installed.kubectl("-n", "unseen", "create", "-o", "json", "-f", "-", input=json.dumps(one)).stdout
    assert gitopstools.kstatus([json.loads(text)]) == ["InProgress"]


def test_metadata_of_the_operator_are_read_back_unchanged(stage: Stage) -> None:
    stage.ready_pool()
    unclear = pool("unclear")
    unclear["metadata"]["annotations"] = {"azurebatch.io/reconcile-policy": "managed"}
    stage.apply(
        unclear,
        pool("early", accountRef={"name": "comes-later"}),
        job("good", tasks=[{"id": "a", "commandLine": "true"}]),
        job("bad", tasks=[{"id": "a", "commandLine": "false"}]),
        job("held", suspend=True, tasks=[{"id": "a", "commandLine": "true"}]),
        job("long", tasks=[{"id": "a", "commandLine": "sleep 600"}]),
        job("box"),
        task("one", "box"),
    )
    wanted = {
        ("bacc", "main"): ("Healthy", "Current"),
        ("bp", "cpu"): ("Healthy", "Current"),
        ("bp", "unclear"): ("Degraded", "Failed"),
        ("bp", "early"): ("Progressing", "InProgress"),
        ("bj", "good"): ("Healthy", "Current"),
        ("bj", "bad"): ("Degraded", "Failed"),
        ("bj", "held"): ("Suspended", "Current"),
        ("bj", "long"): ("Progressing", "Current"),
        ("bt", "one"): ("Healthy", "Current"),
    }

    def found() -> dict[tuple[str, str], tuple[str, str]]:
        objects = {key: stage.get(*key) for key in wanted}
        health = [
            gitopstools.run("health", gitops.health_lua(each["kind"]), each)["status"] for each in objects.values()
        ]
        return dict(zip(objects, zip(health, gitopstools.kstatus(objects.values()), strict=True), strict=True))

    stage.until(lambda: found() == wanted, f"all are as they should be: {wanted}")


def test_actions_of_argo_cd_do_what_they_say(stage: Stage) -> None:
    stage.ready_pool()

    def act(name: str, action: str) -> None:
        changed = gitopstools.run("action", gitops.ACTIONS[action], stage.get("bj", name))
        patch = {"spec": {"suspend": changed["spec"].get("suspend")}, "metadata": {}}
        if annotations := changed["metadata"].get("annotations"):
            patch["metadata"] = {"annotations": annotations}
        stage.kubectl("patch", "bj", name, "--type=merge", "-p", json.dumps(patch))

    stage.apply(job("held", suspend=True, tasks=[{"id": "a", "commandLine": "true"}]))
    stage.wait("bj", "held", "Suspended")
    act("held", "resume")
    stage.wait("bj", "held", "Complete")
    stage.apply(job("long", tasks=[{"id": "a", "commandLine": "sleep 600"}]))
    stage.until(lambda: stage.status("bj", "long").get("phase") == "Running", "it runs")
    act("long", "terminate")
    stage.wait("bj", "long", "Failed")


@pytest.mark.parametrize("path", WAVES, ids=lambda path: path.name)
def test_manifests_of_the_waves_are_valid(installed: LocalCluster, path: Any) -> None:
    installed.kubectl("create", "--dry-run=server", "-f", str(path))


def test_the_manifest_in_the_workflow_is_valid_and_its_conditions_are_those_of_a_job(installed: LocalCluster) -> None:
    workflow = yaml.safe_load((ROOT / "gitops" / "argo-workflows" / "render.yaml").read_text())
    resource = workflow["spec"]["templates"][0]["resource"]
    installed.kubectl("create", "--dry-run=server", "-f", "-", input=resource["manifest"])
    assert resource["successCondition"] == "status.phase == Succeeded"
    assert resource["failureCondition"] == "status.phase == Failed"


def test_a_job_in_a_queue_does_nothing_in_azure_until_it_is_allowed_to_continue(stage: Stage) -> None:
    stage.ready_pool()
    stage.kubectl("apply", "-f", str(ROOT / "gitops" / "kueue" / "job.yaml"))
    stage.wait("bj", "queued", "Suspended")
    assert not stage.calls().get("Jobs_CreateJob")
    stage.kubectl("patch", "bj", "queued", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    stage.wait("bj", "queued", "Complete")


def test_a_job_that_loses_its_turn_continues_when_it_has_it_again(stage: Stage) -> None:
    stage.ready_pool()
    queued = yaml.safe_load((ROOT / "gitops" / "kueue" / "job.yaml").read_text())
    go = stage.folder / "go"
    command = f"/bin/sh -c 'while ! test -e {go}; do sleep 0.2; done'"
    queued["spec"] |= {"suspend": False, "tasks": [{"id": f"t{n}", "commandLine": command} for n in range(6)]}
    stage.apply(queued)
    stage.until(lambda: stage.status("bj", "queued").get("taskCounts", {}).get("running") == 4, "all slots are taken")

    stage.kubectl("patch", "bj", "queued", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    stage.wait("bj", "queued", "Suspended")
    stage.until(
        lambda: stage.status("bj", "queued").get("taskCounts", {}).get("active") == 6, "it has given back all slots"
    )
    assert stage.calls()["Jobs_CreateJob"] == 1

    go.touch()
    stage.kubectl("patch", "bj", "queued", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    stage.wait("bj", "queued", "Complete")
    assert stage.calls()["Jobs_CreateJob"] == 1

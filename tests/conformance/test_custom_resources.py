"""What the API server lets in becomes bodies that the service takes: from manifests over the models to the emulator.

The emulator knows the service's properties, types and ranges from the API's description and shares no code with the models, so a
property that is dropped, renamed or put in the wrong place is refused there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from azure_batch_operator.api.base import ApiModel, without_nulls
from azure_batch_operator.api.job import JobSpec
from azure_batch_operator.api.pool import PoolSpec
from azure_batch_operator.api.schedule import JobScheduleSpec
from azure_batch_operator.api.task import TaskSpec
from azure_batch_operator.reconcile.job import expand
from azure_batch_operator.reconcile.job import task_sources as sources
from azure_batch_operator.reconcile.job.spec import JobTerms
from azure_batch_operator.reconcile.pool.desired import body_of
from azure_batch_operator.reconcile.value_references import Source, filled, references
from support.emulator_thread import EmulatorThread

ROOT = Path(__file__).parents[2]
MODELS: dict[str, type[ApiModel]] = {
    "BatchPool": PoolSpec, "BatchJob": JobSpec, "BatchTask": TaskSpec, "BatchJobSchedule": JobScheduleSpec,
}  # fmt: skip
TARGETS = {
    "BatchPool": "/pools", "BatchJob": "/jobs", "BatchTask": "/jobs/job/tasks", "BatchJobSchedule": "/jobschedules",
}  # fmt: skip
BODIES = yaml.safe_load((ROOT / "tests" / "data" / "bodies" / "accepted.yaml").read_text())
PASTED = [(kind, name, body) for kind, bodies in BODIES.items() for name, body in bodies.items()]
SAMPLES = sorted(
    path
    for path in (ROOT / "manifests" / "samples").rglob("*.yaml")
    # A retry takes its pool and settings from another job: tests/quick/test_retry_of.py.
    if path.name not in {"kustomization.yaml", "account.yaml", "retry.yaml"}
)


# The agents of the samples' images.
AGENTS = {
    "0001-com-ubuntu-server-jammy": "batch.node.ubuntu 22.04",
    "ubuntu-24_04-lts": "batch.node.ubuntu 24.04",
    "ubuntu-hpc": "batch.node.ubuntu 22.04",
    "windowsserver": "batch.node.windows amd64",
}


def offer_of(spec: dict[str, Any]) -> str:
    """The offer of a pool's image; empty for one that is not from the Marketplace."""
    return str(spec["virtualMachineConfiguration"]["imageReference"].get("offer", "")).lower()


def rest(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The REST body of a spec, with something in place of each value that a Secret or ConfigMap holds."""
    model = MODELS[kind]
    return filled(model, model.rest_body(spec), values_of(model, spec))


def values_of(model: type[ApiModel], spec: dict[str, Any]) -> dict[Source, str]:
    """Something for each value that a Secret or ConfigMap holds."""
    found = references(model, spec)
    return {each.source: "{}" if "protectedSettings" in each.path else "value" for each in found}


@pytest.fixture(autouse=True)
def _applications(emulator: EmulatorThread) -> None:
    """The application packages that the bodies name."""
    for name, versions in {"blender": ["4.1"], "ffmpeg": ["7"], "app": ["1"], "solver": ["2026.1"]}.items():
        emulator.admin("POST", f"applications/{name}", {"displayName": name, "versions": versions})


def send(emulator: EmulatorThread, target: str, body: dict[str, Any]) -> None:
    """POST; the emulator's complaint in case of a refusal."""
    status, _, answer = emulator.call("POST", target, body)
    assert status == 201, answer.decode()


@pytest.mark.parametrize(("kind", "name", "body"), PASTED, ids=[f"{kind}: {name}" for kind, name, _ in PASTED])
def test_pasted_bodies_are_taken_by_the_service(
    emulator: EmulatorThread, kind: str, name: str, body: dict[str, Any]
) -> None:
    sent = {"id": body["id"]} | rest(kind, without_nulls(body))
    if kind == "BatchTask":
        job = {"id": "job", "poolInfo": {"poolId": "none"}, "usesTaskDependencies": True}
        job["onTaskFailure"] = "performexitoptionsjobaction"
        send(emulator, "/jobs", job)
    target = TARGETS[kind]
    if kind == "BatchJob":
        sent["poolInfo"] = rest(kind, body)["poolInfo"]
    send(emulator, target, sent)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_taken_by_the_service(emulator: EmulatorThread, path: Path) -> None:
    documents = [each for each in yaml.safe_load_all(path.read_text()) if each]
    texts = {
        Source("ConfigMap", each["metadata"]["name"], key): text
        for each in documents
        if each["kind"] == "ConfigMap"
        for key, text in each["data"].items()
    }
    for each in documents:
        kind, name, spec = each["kind"], each["metadata"]["name"], each.get("spec", {})
        if kind == "BatchPool":
            # Where the node agent is left out, the operator takes it from the account's images.
            wanted = filled(PoolSpec, body_of(name, spec, AGENTS.get(offer_of(spec))), values_of(PoolSpec, spec))
            send(emulator, "/pools", wanted)
        elif kind == "BatchJobSchedule" and "schedule" in spec:
            wanted = rest(kind, spec)
            wanted["jobSpecification"].setdefault("poolInfo", {"poolId": "none"})
            send(emulator, "/jobschedules", {"id": name} | wanted)
        elif kind == "BatchJob":
            spec |= sources.inlined(spec, texts) if sources.needed(spec) else {}
            assert expand.problems(JobTerms.of(spec)) == []
            pool = {"poolInfo": {"poolId": "none"}} if "poolRef" in spec else {}
            uses = {"usesTaskDependencies": True} if expand.needs_dependencies(JobTerms.of(spec)) else {}
            send(emulator, "/jobs", {"id": name} | rest(kind, spec) | pool | uses)
            with_values = filled(
                JobSpec, spec, {each.source: texts.get(each.source, "value") for each in references(JobSpec, spec)}
            )
            for number, task in enumerate(expand.expand(with_values, "job")):
                if number < 20:
                    send(emulator, f"/jobs/{name}/tasks", task)
        elif kind == "BatchTask":
            if "jobId" in spec:
                send(emulator, "/jobs", {"id": spec["jobId"], "poolInfo": {"poolId": "none"}})
            job = spec["jobId"] if "jobId" in spec else spec["jobRef"]["name"]
            send(emulator, f"/jobs/{job}/tasks", {"id": name} | rest(kind, spec))


def test_the_service_returns_what_was_written(emulator: EmulatorThread) -> None:
    body = without_nulls(BODIES["BatchPool"]["network, mounts, accounts"])
    send(emulator, "/pools", {"id": "kept"} | rest("BatchPool", body))
    _, _, answer = emulator.call("GET", "/pools/kept")
    kept = json.loads(answer)
    assert kept["networkConfiguration"]["subnetId"] == body["networkConfiguration"]["subnetId"]
    assert [each["name"] for each in kept["metadata"]] == ["team"]
    extension = kept["virtualMachineConfiguration"]["extensions"][0]
    assert extension["settings"] == body["virtualMachineConfiguration"]["extensions"][0]["settings"]
    assert "protectedSettings" not in extension

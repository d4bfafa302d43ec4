"""docs/recipes.md: the commands of each recipe run as they stand there, and lead to the end that the page promises."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

from e2e.conftest import Stage
from e2e.test_schedules import jobs_of, make_due
from stage import REPOSITORY

PAGE = (REPOSITORY / "docs" / "recipes.md").read_text()
RECIPES = dict(
    re.findall(r"^<!-- (manifests/\S+) -->\n```yaml\n.*?^```\n\n```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
RULES = [
    # One task fails once, one in all of its tries; the tasks on Spot nodes outlive them.
    {"pattern": "^array/07", "exitCode": 1, "attempts": 1},
    {"pattern": "^array/13", "exitCode": 1, "stderr": "bad item"},
    {"pattern": "^cheap/", "seconds": 1_000_000},
]


def steps(path: str) -> tuple[list[str], list[list[str]]]:
    """The first command of a recipe and those that follow, each as the arguments of kubectl."""
    words = [shlex.split(line) for line in RECIPES[path].splitlines()]
    assert all(each[0] == "kubectl" for each in words)
    first, *others = [each[1:] for each in words]
    assert first == ["apply", "-f", path]
    return ["apply", "-f", str(REPOSITORY / path)], others


def tasks(stage: Stage, job: str) -> dict[str, dict[str, Any]]:
    """The tasks of a job in Azure Batch, by id."""
    return {each["id"]: each for each in stage.batch("GET", f"jobs/{job}/tasks")["value"]}


def counts(stage: Stage, job: str) -> tuple[int, int]:
    """How many tasks have succeeded, and how many have failed."""
    found = stage.status("bj", job)["taskCounts"]
    return found["succeeded"], found["failed"]


def moved_from_spot(stage: Stage) -> bool:
    """Take away the nodes that run something; whether the job has moved."""
    if stage.status("bj", "cheap").get("poolId") == "steady":
        return True
    for node in stage.batch("GET", "pools/cheap/nodes")["value"]:
        if node["state"] == "running":
            stage.emulator.admin("POST", f"pools/cheap/nodes/{node['id']}/preempt")
    return False


def test_each_recipe_of_the_page_has_its_commands() -> None:
    assert sorted(RECIPES) == sorted(re.findall(r"^<!-- (manifests/\S+) -->", PAGE, re.MULTILINE))
    own = (REPOSITORY / "manifests" / "samples" / "recipes").glob("*.yaml")
    assert {f"manifests/samples/recipes/{each.name}" for each in own} <= RECIPES.keys()


def test_a_command_that_the_emulator_cannot_run_says_what_is_missing(stage: Stage) -> None:
    stage.ready_pool()
    for path in ("manifests/samples/recipes/storage.yaml", "manifests/samples/pools/mpi.yaml"):
        stage.kubectl(*steps(path)[0])

    def waits(job: str, *words: str) -> bool:
        message = stage.status("bj", job).get("waitingFor", "")
        return all(word in message for word in words)

    stage.until(lambda: stage.condition("bj", "convert").get("reason") == "PoolNotFound", "the pool is missing")
    assert "'with-identity', which is not in the Azure Batch account" in stage.condition("bj", "convert")["message"]
    stage.until(lambda: waits("mpi", "pool 'mpi'", "the start task fails"), "no node can run the task")
    told = stage.until(lambda: stage.condition("bp", "mpi", "Stalled"), "the pool says why")
    assert told["reason"] == "NoUsableNodes"
    assert "its start task failed: BlobDownloadMiscError" in told["message"]


def test_each_recipe_ends_as_the_page_says(make_stage: Any) -> None:
    stage: Stage = make_stage("--executor=simulated")
    stage.emulator.admin("POST", "simulation", {"rules": RULES})
    stage.ready_pool()
    # The command of the page for a pool that only Azure Resource Manager makes.
    command = "sed 's/name: cpu/name: with-identity/; s/: 4$/: 1/' manifests/samples/pool.yaml | kubectl apply -f -"
    assert f"    {command}\n" in PAGE
    made = subprocess.run(
        shlex.split(command.partition(" | ")[0]), cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    stage.kubectl("apply", "-f", "-", input=made.stdout)
    for path in RECIPES:
        stage.kubectl(*steps(path)[0])

    stage.until(lambda: moved_from_spot(stage), "the job leaves the Spot nodes")
    # Only now do its tasks end: by the command line, in a minute of the service.
    stage.emulator.admin("POST", "simulation", {"rules": RULES[:2]})
    for path in RECIPES:
        for command in steps(path)[1]:
            stage.kubectl(*command)

    assert counts(stage, "simulate") == (12, 0)
    assert counts(stage, "array") == (49, 1)
    status = stage.status("bj", "array")
    assert (status["retries"], status["failures"][0]["taskIds"]) == (3, ["13"])
    assert counts(stage, "map-merge") == (23, 0)
    run = {id: task["executionInfo"] for id, task in tasks(stage, "map-merge").items()}
    parts = [run[f"{at:02}"] for at in range(20)]
    assert run["split"]["endTime"] <= min(each["startTime"] for each in parts)
    assert max(each["endTime"] for each in parts) <= run["merge"]["startTime"]
    assert run["merge"]["endTime"] <= run["report"]["startTime"]
    assert counts(stage, "convert") == (3, 0)
    assert tasks(stage, "convert")["1"]["resourceFiles"][0]["blobPrefix"] == "shot-2/"
    assert counts(stage, "cheap") == (4, 0)
    assert stage.status("bj", "cheap")["requeues"] > 3
    assert counts(stage, "mpi") == (1, 0)
    stage.kubectl("patch", "bjs/nightly", "--type=merge", "-p", '{"spec":{"cron":{"expression":"* * * * *"}}}')
    make_due(stage, "nightly")
    [night] = stage.until(lambda: jobs_of(stage, "nightly"), "the next run is due")
    stage.wait("bj", night["metadata"]["name"], "Complete")
    assert counts(stage, night["metadata"]["name"]) == (5, 0)

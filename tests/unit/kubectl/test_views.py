"""tree and top: what is shown of which object, as a program reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from click.testing import Result

from azure_batch_kubectl import top, trees
from azure_batch_kubectl.why import Around, Unreadable
from unit.kubectl.conftest import FakeCluster, thing

Run = Callable[..., Result]
NOW = datetime(2026, 5, 1, 0, 30, tzinfo=UTC)
COUNTS = {"total": 10, "completed": 4, "running": 2, "failed": 1}
JOB = thing(
    "BatchJob", "render", phase="Running", taskCounts=COUNTS, poolId="cpu", progress="4/10", tasksPerMinute=1.5,
    estimatedEndTime="2026-05-01T00:40:00Z", failures=[{"exitCode": 3, "count": 1, "taskIds": ["t1"]}],
)  # fmt: skip
POOL = thing(
    "BatchPool", "cpu", ("Ready", "True", "Steady", ""), phase="Steady", nodes="2/2", slots={"total": 4, "used": 2}
)


def test_a_tree_shows_what_belongs_to_a_job(fake: FakeCluster, run: Run) -> None:
    job = {**JOB, "spec": {"poolRef": {"name": "cpu"}}}
    fake.add(job)
    fake.add(POOL)
    own = {"jobRef": {"name": "render"}}
    fake.add({**thing("BatchTask", "a", phase="Succeeded"), "spec": own})
    fake.add({**thing("BatchTask", "b", phase="Failed", exitCode=3), "spec": own})
    fake.add({**thing("BatchTask", "c", phase="Failed"), "spec": {"jobRef": {"name": "another"}}})
    assert run("tree", "bj/render").output.splitlines() == [
        "BatchJob render  Running  4/10 tasks, 2 running, 1 failed",
        "├── BatchPool cpu  Steady  2/2",
        "├── 1 failed with exit code 3  first: t1",
        "├── BatchTask b  Failed  exit code 3",
        "└── BatchTask a  Succeeded",
    ]


def test_a_tree_says_how_many_tasks_it_leaves_out() -> None:
    tasks = [thing("BatchTask", f"t{number}", phase="Running") for number in range(3)]
    below = trees.of_job(JOB, Around(account=Unreadable("BatchAccount x/y", "forbidden")), tasks, shown=2).children
    assert below[-1].label == "… and 1 more BatchTasks (--all shows them)"
    assert (below[0].label, below[0].text) == ("BatchAccount x/y", "(forbidden)")


def test_the_schedule_that_made_a_job_is_the_root() -> None:
    owner = {"kind": "BatchJobSchedule", "name": "nightly", "controller": True}
    job = {**JOB, "metadata": {**JOB["metadata"], "ownerReferences": [owner]}}
    root = trees.of_job(job, Around(), [])
    assert (root.label, root.children[0].label) == ("BatchJobSchedule nightly", "BatchJob render")


def test_rows_of_top() -> None:
    assert top.pool_row(POOL, NOW) == ("cpu", "True", "Steady", "2/2", "2/4", "", "30m")
    assert top.job_row(JOB, NOW) == ("render", "Running", "cpu", "4/10", 2, 1, "1.5", "10m", "30m")
    assert top.left("2026-05-01T00:20:00Z", NOW) == ""


def test_top_is_a_table_as_kubectl_prints_it(fake: FakeCluster, run: Run) -> None:
    fake.add(JOB)
    fake.add(POOL)
    fake.add(thing("BatchJob", "old", ("Complete", "True", "Succeeded", "")))
    lines = run("top", "-A").output.splitlines()
    assert lines[0].split() == ["NAMESPACE", *top.POOLS]
    assert lines[1].startswith("team        cpu    True    Steady   2/2     2/4")
    assert lines[2] == ""
    assert lines[3].split() == ["NAMESPACE", *top.JOBS]
    assert [line.split()[1] for line in lines[4:]] == ["render"]
    assert all(line == line.rstrip() for line in lines)
    assert "old" in run("top", "--all").output


def test_top_as_objects(fake: FakeCluster, run: Run) -> None:
    fake.add(JOB)
    fake.add(POOL)
    assert run("top", "-o", "name").output == "batchpool.azurebatch.io/cpu\nbatchjob.azurebatch.io/render\n"
    assert json.loads(run("top", "-o", "json").output)["items"] == [POOL, JOB]
    assert run("top", "-o", "yaml").output.startswith("apiVersion: v1\nkind: List\nitems:\n- kind: BatchPool\n")


def test_a_watch_needs_a_terminal(run: Run) -> None:
    assert run("top", "--watch").stderr.startswith("error: --watch needs a terminal")


def test_nothing_to_show_is_said(run: Run) -> None:
    assert run("top").stderr == "No pools and no open jobs in namespace 'team'.\n"

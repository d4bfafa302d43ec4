"""How the benchmark of the emulator measures single pages, and what `make bench` says of a name that is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
BUSY = """
import time
while time.process_time() < 0.02:
    pass
print(time.process_time(), flush=True)
input()
"""


@pytest.fixture(autouse=True)
def path_of_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_the_cpu_time_of_a_process_is_what_the_process_itself_sees() -> None:
    from measurement import cpu_seconds

    before = time.process_time()
    measured = cpu_seconds(os.getpid())
    assert before < measured < time.process_time()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        spent = float(other.stdout.readline())
        # It has printed since, and does nothing more.
        assert spent < cpu_seconds(other.pid)
        other.stdin.write("\n")


def test_a_job_of_few_pages_is_listed_again_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench_emulator

    links: list[str] = []
    clock = iter((1.0, 1.004, 1.010, 1.012, 1.020))

    class Connection:
        def call(self, method: str, target: str) -> Any:
            links.append(target.partition("&")[2])
            return {} if "skip" in target else {"odata.nextLink": f"http://here{target}&skip=1"}

    monkeypatch.setattr(bench_emulator, "cpu_seconds", lambda pid: next(clock))
    pages = bench_emulator.list_pages(Connection(), 1, 1000, 4)
    assert links == ["maxresults=1000", "maxresults=1000&skip=1", "maxresults=1000", "maxresults=1000&skip=1"]
    assert pages.cpu == pytest.approx([4.0, 6.0, 2.0, 8.0])
    assert len(pages.taken) == 4


def test_a_name_that_is_no_benchmark_is_said() -> None:
    command = [sys.executable, str(FOLDER), "add_tasks", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no benchmark 'nope'; there are: accounts, add_tasks, at_rest, ")

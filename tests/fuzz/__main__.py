"""``make fuzz``: many random calls of all operations against an emulator in a process of its own, with figures at the end.

Exit code 1 for a wrong answer, such as a 5xx that the service does not return, a line on the emulator's stderr, or growing memory.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fuzzing import OPERATIONS, Fuzzer

ROUND = 1000
# What Python's allocator may keep; a leak of 1 kB per call would be 20 MB.
MAX_GROWTH_MIB = 12.0


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as log:
        command = [
            sys.executable,
            "-m",
            "azure_batch_emulator",
            "--port=0",
            "--time-scale=1000",
            "--executor=simulated",
        ]
        command += [f"--seed={options.seed}", f"--state-file={folder}/state.json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            ready = re.search(r"endpoint=(\S+) account=(\S+) key=(\S+)", process.stdout.readline())
            assert ready is not None
            fuzzer = Fuzzer(*ready.groups(), options.seed)
            began = time.monotonic()
            memory = _rounds(fuzzer, ready[1], process.pid, options.requests)
            seconds = time.monotonic() - began
            fuzzer.close()
            process.terminate()
            code = process.wait(60)
        log.seek(0)
        return _report(fuzzer, memory, seconds, log.read(), code)


def _rounds(fuzzer: Fuzzer, endpoint: str, pid: int, requests: int) -> list[float]:
    memory = []
    for number in range(requests):
        if number % ROUND == 0:
            reset = urllib.request.Request(f"{endpoint}/emulator/reset", b"", method="POST")  # noqa: S310
            urllib.request.urlopen(reset).close()  # noqa: S310
            memory.append(_resident(pid))
        if number % (ROUND // 4) == 0:
            fuzzer.prepare()
        fuzzer.step()
        if number % (ROUND // 2) == ROUND // 2 - 1:
            fuzzer.look()
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/emulator/save", b"", method="POST")).close()  # noqa: S310
    memory.append(_resident(pid))
    return memory


def _resident(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _report(fuzzer: Fuzzer, memory: list[float], seconds: float, stderr: str, code: int) -> int:
    total = fuzzer.statuses.total()
    print(f"{total:,} calls of {len(OPERATIONS.keys() & fuzzer.called.keys())} operations in {seconds:.0f} s")
    print("statuses: " + ", ".join(f"{status}: {count:,}" for status, count in sorted(fuzzer.statuses.items())))
    if fuzzer.allowed_5xx:
        named = ", ".join(f"{what}: {count:,}" for what, count in sorted(fuzzer.allowed_5xx.items()))
        print(f"5xx that the service returns too: {named}")
    settled = memory[min(5, len(memory) - 1)]
    growth = memory[-2] - settled if len(memory) > 6 else 0.0
    print("MiB after each round: " + " ".join(f"{value:.0f}" for value in memory))
    print(f"growth since round 5: {growth:.1f} MiB; lines on stderr: {len(stderr.splitlines())}; exit code: {code}")
    for problem in fuzzer.problems[:20]:
        print(f"WRONG: {problem}")
    print(stderr[:5000], end="")
    failed = bool(fuzzer.problems or stderr or code) or growth > MAX_GROWTH_MIB
    print("failed" if failed else "all as it should be")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

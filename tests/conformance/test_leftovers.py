"""What a task does to its own directory: the next try, the upload and the other tasks go on.

Each of these once stopped the emulator for everybody: opening a pipe waits for its other end.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.emulator_thread import EmulatorThread, wait_until

POOL = {
    "id": "pool",
    "vmSize": "standard_d2s_v3",
    "targetDedicatedNodes": 1,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}


def send(emulator: EmulatorThread, method: str, path: str, body: Any = None) -> Any:
    status, _, text = emulator.call(method, path, body)
    assert status < 400, text
    return json.loads(text) if text else None


def ended(emulator: EmulatorThread, task: dict[str, Any]) -> dict[str, Any]:
    """What comes of a task that is tried twice and has output files."""
    send(emulator, "POST", "/pools", POOL)
    send(emulator, "POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    container = {"containerUrl": f"{emulator.endpoint}/storage/out"}
    outputs = [{"filePattern": "$AZ_BATCH_TASK_DIR/std*.txt", "destination": {"container": container}}]
    send(
        emulator,
        "POST",
        "/jobs/job/tasks",
        {"id": "t", "constraints": {"maxTaskRetryCount": 1}, "outputFiles": outputs} | task,
    )

    def completed() -> bool:
        return bool(send(emulator, "GET", "/jobs/job/tasks/t")["state"] == "completed")

    wait_until(completed, "the task ends")
    found: dict[str, Any] = send(emulator, "GET", "/jobs/job/tasks/t")["executionInfo"]
    return found


@pytest.mark.parametrize(
    "command",
    [
        "rm ../stdout.txt ../stderr.txt; mkfifo ../stdout.txt ../stderr.txt",
        "mkfifo ../fileuploadout.txt ../fileuploaderr.txt",
        "rm in; mkfifo in",
        "ln -s / here; ln -s . again; ln -s . once-more",
        'echo > "$(printf "f\\377x")"',
        'rm -rf "$AZ_BATCH_TASK_DIR"',
        "rm ../stdout.txt ../stderr.txt; mkdir -p ../stdout.txt/in ../stderr.txt",
        "cd ..; rm -r wd; echo > wd",
        'cd /; rm -r "$AZ_BATCH_TASK_DIR"; echo > "$AZ_BATCH_TASK_DIR"',
        "rmdir ../certs; echo > ../certs",
        "rmdir ../certs; ln -s nowhere ../certs",
    ],
)
@pytest.mark.usefixtures("no_traceback")
def test_a_task_is_retried_whatever_it_left(emulator: EmulatorThread, command: str) -> None:
    status, _, _ = emulator.call("PUT", "/storage/in/blob", None)
    assert status == 201
    resources = [{"httpUrl": f"{emulator.endpoint}/storage/in/blob", "filePath": "in"}]
    task = {"commandLine": f"/bin/sh -c '{command}; exit 3'", "resourceFiles": resources}
    info = ended(emulator, task)
    assert (info["exitCode"], info["retryCount"], info["result"]) == (3, 1, "failure")


def test_patterns_of_output_files_refer_to_variables(emulator: EmulatorThread) -> None:
    # REST API, filePattern: "Environment variables ($var on Linux) are expanded prior to the pattern being applied".
    info = ended(emulator, {"commandLine": "/bin/echo hello"})
    assert info["result"] == "success"
    _, _, listing = emulator.call("GET", "/storage/out?restype=container&comp=list")
    assert [b"<Name>stdout.txt</Name>" in listing, b"<Name>stderr.txt</Name>" in listing] == [True, True]


def test_a_backslash_in_the_name_of_a_file_of_linux(emulator: EmulatorThread) -> None:
    command = r"""mkdir a; echo slash > a/b; printf %s "back" > a\\b; rm -f in"""
    ended(emulator, {"commandLine": f"/bin/sh -c '{command}'"})
    files = "/jobs/job/tasks/t/files"
    names = [item["name"] for item in send(emulator, "GET", f"{files}?recursive=true")["value"]]
    assert {"wd/a/b", "wd/a\\b"} <= set(names)
    assert emulator.call("GET", f"{files}/wd%2Fa%5Cb")[2] == b"back"
    assert emulator.call("DELETE", f"{files}/wd%2Fa%5Cb")[0] == 200
    assert emulator.call("GET", f"{files}/wd%2Fa%2Fb")[2] == b"slash\n"
    assert emulator.call("GET", f"{files}/wd%2Fa%5Cb")[0] == 404

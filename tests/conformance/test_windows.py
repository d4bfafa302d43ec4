"""Windows pools: paths, files and the commands that samples use.

Sources: recordings of the Java test canReadFromNode (azure-sdk-for-java) and the .NET test GetTaskFile (azure-sdk-assets)
for files and paths; Microsoft's page on environment variables of compute nodes for the variables; the documentation of cmd for
the commands.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from support.emulator_thread import EmulatorThread, wait_until

MACHINE = {
    "imageReference": {
        "publisher": "MicrosoftWindowsServer",
        "offer": "WindowsServer",
        "sku": "2019-datacenter-smalldisk",
    },
    "nodeAgentSKUId": "batch.node.windows amd64",
}
DIRECTORY = "workitems\\job\\job-1\\t"


def get(emulator: EmulatorThread, path: str) -> Any:
    status, _, text = emulator.call("GET", path)
    assert status == 200, text
    return json.loads(text)


def post(emulator: EmulatorThread, path: str, body: Any) -> None:
    status, _, text = emulator.call("POST", path, body)
    assert status == 201, text


@pytest.fixture
def windows(emulator: EmulatorThread) -> EmulatorThread:
    """A node that runs Windows, and a job for it."""
    body = {"id": "pool", "vmSize": "standard_d2_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    post(emulator, "/pools", body)
    post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    return emulator


def run(emulator: EmulatorThread, command_line: str, task_id: str = "t", **body: Any) -> dict[str, Any]:
    """A task that is over."""
    post(emulator, "/jobs/job/tasks", {"id": task_id, "commandLine": command_line} | body)

    def done() -> Any:
        task = get(emulator, f"/jobs/job/tasks/{task_id}")
        return task if task["state"] == "completed" else None

    task: dict[str, Any] = wait_until(done, f"{task_id} is done")
    return task


def output(emulator: EmulatorThread, name: str = "stdout.txt", task_id: str = "t") -> str:
    return emulator.call("GET", f"/jobs/job/tasks/{task_id}/files/{quote(name, safe='')}")[2].decode()


def test_paths_and_files(windows: EmulatorThread) -> None:
    task = run(windows, 'cmd /c "mkdir out & echo hello> out\\a.txt& echo world"')
    info = task["nodeInfo"]
    assert (info["taskRootDirectory"], task["executionInfo"]["exitCode"]) == (DIRECTORY, 0)
    assert info["taskRootDirectoryUrl"].endswith("/files/workitems/job/job-1/t")
    assert output(windows) == "world\r\n"
    files = {item["name"]: item for item in get(windows, "/jobs/job/tasks/t/files?recursive=true")["value"]}
    assert set(files) == {"stderr.txt", "stdout.txt", "wd", "wd\\out", "wd\\out\\a.txt"}
    found = files["wd\\out\\a.txt"]
    assert found["url"].endswith("/jobs/job/tasks/t/files/wd\\out\\a.txt")
    assert set(found["properties"]) == {"creationTime", "lastModified", "contentLength", "contentType"}
    assert found["properties"]["contentLength"] == "7"
    status, headers, _ = windows.call("HEAD", "/jobs/job/tasks/t/files/wd%5Cout%5Ca.txt")
    assert status == 200
    assert "ocp-creation-time" in headers
    assert "ocp-batch-file-mode" not in headers
    assert unquote(headers["ocp-batch-file-url"]).endswith("/files/wd/out/a.txt")
    assert output(windows, "wd\\out\\a.txt") == "hello\r\n"
    node = info["nodeId"]
    names = {item["name"] for item in get(windows, f"/pools/pool/nodes/{node}/files?recursive=true")["value"]}
    assert f"{DIRECTORY}\\wd\\out\\a.txt" in names


def test_files_are_filtered_by_their_own_names(windows: EmulatorThread) -> None:
    run(windows, "cmd /c echo x> a.txt")
    target = "/jobs/job/tasks/t/files?recursive=true&$filter=" + quote("startswith(name,'wd\\')")
    assert [item["name"] for item in get(windows, target)["value"]] == ["wd\\a.txt"]


def test_environment(windows: EmulatorThread) -> None:
    run(
        windows,
        'cmd /c "echo %AZ_BATCH_TASK_DIR%& echo %az_batch_node_root_dir%& echo %MINE% %NONE%& cd& set AZ_BATCH_JOB"',
        environmentSettings=[{"name": "MINE", "value": "a/b"}],
    )
    root = "D:\\batch\\tasks"
    assert output(windows).splitlines() == [
        f"{root}\\{DIRECTORY}",
        root,
        "a/b %NONE%",
        f"{root}\\{DIRECTORY}\\wd",
        "AZ_BATCH_JOB_ID=job",
    ]
    run(windows, "cmd /c set", "all")
    assert "AZBE" not in output(windows, task_id="all")


@pytest.mark.parametrize(
    ("line", "code", "stdout"),
    [
        ("exit /b 7", 7, ""),
        ("exit 3", 3, ""),
        ("echo a&& echo b", 0, "a\r\nb\r\n"),
        ("type none && echo b", 1, ""),
        ("type none || echo b", 0, "b\r\n"),
        ("type none & echo b", 0, "b\r\n"),
        ("echo one> f.txt& echo two>> f.txt& type f.txt", 0, "one\r\ntwo\r\n"),
        ("(echo b& echo a) | sort", 0, "a\r\nb\r\n"),
        ("echo text | find /i \"TEXT\" >nul", 0, ""),
        ("type none 2>nul", 1, ""),
        ("echo x> f& copy f g >nul& move g h >nul& del f& dir /b", 0, "h\r\n"),
        ("mkdir a\\b& cd A\\B& cd", 0, f"D:\\batch\\tasks\\{DIRECTORY}\\wd\\a\\b\r\n"),
        ("ping -n 1 127.0.0.1 >nul& timeout /t 0 /nobreak& echo %ERRORLEVEL%", 0, "0\r\n"),
        ("if exist none (echo a) else (for %i in (x y) do echo %i)", 0, "x\r\ny\r\n"),
        ("echo \"a & b\" ^& c", 0, "\"a & b\" & c\r\n"),
        ("set X=1& set X", 0, "X=1\r\n"),
        ("cmd /c exit /b 5", 5, ""),
        ("type ..\\..\\..\\..\\..\\..\\..\\..\\etc\\passwd", 1, ""),
        ("type /etc/passwd", 1, ""),
        ("type C:\\Windows\\win.ini", 1, ""),
        ("echo (x", 0, "(x\r\n"),
        ("& echo", 1, ""),
    ],
)  # fmt: skip
def test_commands(windows: EmulatorThread, line: str, code: int, stdout: str) -> None:
    task = run(windows, f"cmd /c {line}")
    assert (task["executionInfo"]["exitCode"], output(windows)) == (code, stdout), output(windows, "stderr.txt")


@pytest.mark.parametrize("line", ["job.bat %AZ_BATCH_TASK_ID%", "cmd /c job.bat t"])
def test_batch_files_that_are_resource_files(windows: EmulatorThread, line: str) -> None:
    text = b"@echo off\r\nset N=0\r\nfor /l %%i in (1,1,3) do set /a N+=%%i\r\necho %1 %N%\r\nif %N%==6 exit /b 42\r\n"
    request = urllib.request.Request(f"{windows.endpoint}/storage/in/job.bat", text, method="PUT")  # noqa: S310
    request.add_header("x-ms-blob-type", "BlockBlob")
    urllib.request.urlopen(request).close()  # noqa: S310
    files = [{"httpUrl": f"{windows.endpoint}/storage/in/job.bat", "filePath": "job.bat"}]
    task = run(windows, line, resourceFiles=files)
    # A batch file is started by cmd also where it is the program, so that variables are put in.
    assert (output(windows), task["executionInfo"]["exitCode"]) == ("t 6\r\n", 42), output(windows, "stderr.txt")


def test_a_program_that_the_node_does_not_have(windows: EmulatorThread) -> None:
    task = run(windows, "python script.py")
    assert task["executionInfo"]["failureInfo"]["code"] == "CommandProgramNotFound"
    assert "limit of the emulator" in output(windows, "stderr.txt")
    task = run(windows, "cmd /c python script.py", "inner")
    assert task["executionInfo"]["failureInfo"]["code"] == "FailureExitCode"
    error = output(windows, "stderr.txt", "inner")
    assert error.startswith("'python' is not recognized as an internal or external command,\r\n")
    assert "limit of the emulator" in error


def test_powershell(windows: EmulatorThread) -> None:
    task = run(windows, 'powershell -Command "Write-Output hi"')
    if shutil.which("pwsh") is None:
        assert task["executionInfo"]["failureInfo"]["code"] == "CommandProgramNotFound"
        assert "pwsh" in output(windows, "stderr.txt")
    else:
        assert (task["executionInfo"]["exitCode"], output(windows)) == (0, "hi\r\n")


@pytest.fixture
def fake_pwsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``pwsh`` on PATH that says how it was called."""
    program = tmp_path / "pwsh"
    program.write_text('#!/bin/sh\nprintf "[%s]\\n" "$@"\necho "$AZ_BATCH_TASK_ID $(pwd)"\necho oh >&2\nexit 7\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("fake_pwsh")
@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("powershell -Command \"Write-Output 'a b'; exit 7\"", ["-Command", "Write-Output 'a b'; exit 7"]),
        ('pwsh.exe -c "Write-Host \\"a b\\"" c', ["-c", 'Write-Host "a b"', "c"]),
        ('cmd /c powershell -File %AZ_BATCH_TASK_WORKING_DIR%\\run.ps1 ""', ["-File", "WORKING/run.ps1", ""]),
    ],
)
def test_arguments_and_exit_code_of_powershell(windows: EmulatorThread, line: str, arguments: list[str]) -> None:
    task = run(windows, line)
    assert task["executionInfo"]["exitCode"] == 7
    *shown, last = output(windows).split("\r\n")[:-1]
    task_id, working = last.split()
    assert [each.replace(working, "WORKING") for each in shown] == [f"[{each}]" for each in arguments]
    assert (task_id, output(windows, "stderr.txt")) == ("t", "oh\r\n")


def test_a_task_is_killed_with_what_it_started(windows: EmulatorThread) -> None:
    post(windows, "/jobs/job/tasks", {"id": "t", "commandLine": "cmd /c ping -n 600 127.0.0.1"})
    wait_until(lambda: get(windows, "/jobs/job/tasks/t")["state"] == "running", "running")
    assert windows.call("POST", "/jobs/job/tasks/t/terminate")[0] == 204
    wait_until(lambda: windows.admin("GET", "state")["runs"] == 0, "nothing runs")


def test_windows_nodes_have_no_directory_for_certificates(windows: EmulatorThread) -> None:
    # Documented: "does not apply to Windows compute nodes".
    run(windows, 'cmd /c "if defined AZ_BATCH_CERTIFICATES_DIR (echo yes) else echo no"')
    assert output(windows) == "no\r\n"


def test_start_and_preparation_tasks_run_there_too(emulator: EmulatorThread) -> None:
    start = {"commandLine": "cmd /c echo %AZ_BATCH_NODE_STARTUP_DIR%"}
    body = {"id": "pool", "vmSize": "standard_d2_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    post(emulator, "/pools", body | {"startTask": start})
    preparation = {"commandLine": "cmd /c echo prepared"}
    post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}, "jobPreparationTask": preparation})
    node = run(emulator, "cmd /c echo %AZ_BATCH_JOB_PREP_DIR%")["nodeInfo"]["nodeId"]
    assert output(emulator) == "D:\\batch\\tasks\\workitems\\job\\job-1\\jobpreparation\r\n"
    text = emulator.call("GET", f"/pools/pool/nodes/{node}/files/startup%5Cstdout.txt")[2]
    assert text == b"D:\\batch\\tasks\\startup\r\n"
    (status,) = get(emulator, "/jobs/job/jobpreparationandreleasetaskstatus")["value"]
    info = status["jobPreparationTaskExecutionInfo"]
    assert info["taskRootDirectory"] == "workitems\\job\\job-1\\jobpreparation"


def test_packages_have_their_windows_names(emulator: EmulatorThread) -> None:
    # Documented: AZ_BATCH_APP_PACKAGE_APPLICATIONID#version on Windows.
    emulator.admin("POST", "applications/tool", {"versions": ["1.0"]})
    body = {"id": "pool", "vmSize": "standard_d2_v3", "virtualMachineConfiguration": MACHINE, "targetDedicatedNodes": 1}
    post(emulator, "/pools", body | {"applicationPackageReferences": [{"applicationId": "tool", "version": "1.0"}]})
    post(emulator, "/jobs", {"id": "job", "poolInfo": {"poolId": "pool"}})
    emulator.admin("POST", "applications/blender", {"versions": ["2.7"]})
    own = [{"applicationId": "blender"}]
    run(
        emulator,
        "cmd /c echo %AZ_BATCH_APP_PACKAGE_tool#1.0% %AZ_BATCH_APP_PACKAGE_BLENDER%",
        applicationPackageReferences=own,
    )
    applications = "D:\\batch\\tasks\\applications"
    assert output(emulator) == f"{applications}\\tool\\1.0 {applications}\\blender\\2.7\r\n"


def test_patterns_know_the_variables_of_a_task_whose_program_is_not_there(windows: EmulatorThread) -> None:
    container = {"containerUrl": f"{windows.endpoint}/storage/output", "path": "windows"}
    options = {"uploadCondition": "taskfailure"}
    pattern = "%AZ_BATCH_TASK_DIR%\\stderr.*"
    output = {"filePattern": pattern, "destination": {"container": container}, "uploadOptions": options}
    info = run(windows, "nosuch.exe", outputFiles=[output])["executionInfo"]
    assert info["failureInfo"]["code"] == "CommandProgramNotFound"
    with urllib.request.urlopen(f"{windows.endpoint}/storage/output/windows/stderr.txt") as response:  # noqa: S310
        assert b"this is a limit of the emulator" in response.read()

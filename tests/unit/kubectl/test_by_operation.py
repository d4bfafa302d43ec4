"""logs and files for somebody who may not read the account's Secret: by a BatchOperation, with rights that he has."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from click.testing import Result
from kubernetes.aio.client.exceptions import ForbiddenException

from azure_batch_operator.api.operation import OperationSpec
from azure_batch_operator.api.operation_inputs import MAX_FILE_BYTES
from unit.kubectl.conftest import FakeCluster, thing
from unit.kubectl.test_remote import REF, batch_account

Run = Callable[..., Result]
CREATE, READ = ("create", "batchoperations"), ("get", "configmaps")
CAUSE = "error: you may not read the credentials in Secret team/main-key"


@pytest.fixture(autouse=True)
def forbidden(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Secret is not for the user, and an operation that is created has succeeded."""

    async def refuse(*_: object) -> None:
        raise ForbiddenException(status=403, reason="Forbidden")

    monkeypatch.setattr(fake, "secret", refuse)
    account = {"accountRef": {"name": "main"}}
    fake.add(batch_account(sharedKey=REF))
    fake.add({**thing("BatchJob", "render", phase="Running"), "spec": account})
    fake.add({**thing("BatchPool", "cpu"), "spec": account})
    fake.rights = {CREATE, READ}
    values = {"stdout.txt": "9 bytes", "wd": "directory", "wd/a.txt": "0 bytes"}
    results = [{"target": "t1", "outcome": "Succeeded", "values": values, "omittedValues": 7}]
    for name in ("made-0", "made-1"):
        fake.add(thing("BatchOperation", name, ("Complete", "True", "Succeeded", ""), results=results))
    fake.content = {"content": "one\ntwo\n"}, {}


def test_the_operator_reads_the_output(fake: FakeCluster, run: Run) -> None:
    done = run("logs", "render/t1", "--stderr", "--tail", "1")
    assert (done.stdout, done.stderr, done.exit_code) == ("two\n", "", 0)
    [made] = fake.created
    OperationSpec.model_validate(made["spec"])
    read = made["spec"].pop("readFile")
    assert made["spec"] == {"jobRef": {"name": "render"}, "taskId": "t1", "ttlSecondsAfterFinished": 300}
    assert [read["into"]["name"]] == fake.read_maps
    assert (read["path"], read["tail"], read["mostBytes"]) == ("stderr.txt", True, MAX_FILE_BYTES)


def test_the_operator_reads_a_file_that_is_no_text(fake: FakeCluster, run: Run) -> None:
    fake.content = {}, {"content": base64.b64encode(b"\xff\0").decode()}
    assert run("files", "cat", "bp/cpu/n1:startup/core").stdout_bytes == b"\xff\0"
    assert fake.created[0]["spec"]["nodeId"] == "n1"
    assert fake.created[0]["spec"]["readFile"]["tail"] is False


@pytest.mark.parametrize(
    ("words", "part"), [(("logs", "render/t1"), "last"), (("files", "cat", "render/t1:wd/a.txt"), "first")]
)
def test_what_is_longer_than_a_config_map_is_said_to_be_cut(
    fake: FakeCluster, run: Run, words: tuple[str, ...], part: str
) -> None:
    fake.content = {"content": "x" * MAX_FILE_BYTES}, {}
    assert run(*words).stderr.startswith(f"(only the {part} 512 KiB: ")


def test_the_operator_lists_files(fake: FakeCluster, run: Run) -> None:
    done = run("files", "ls", "render/t1", "-o", "name")
    assert done.stdout.split() == ["stdout.txt", "wd", "wd/a.txt"]
    assert done.stderr == "(7 more files are not in the status of the operation)\n"
    assert fake.created[0]["spec"]["listFiles"] == {"recursive": True}
    table = [line.split() for line in run("files", "ls", "render/t1:stdout.txt").stdout.splitlines()]
    assert table == [["SIZE", "AGE", "NAME"], ["9", "<unknown>", "stdout.txt"]]


@pytest.mark.parametrize(
    ("rights", "words", "text"),
    [
        (
            {READ},
            ("logs", "render/t1"),
            "and you may not create batchoperations, by which the operator would read for you",
        ),
        ({CREATE}, ("files", "cat", "render/t1:a"), "and you may not get configmaps, by which the operator would read"),
        (
            {READ},
            ("files", "ls", "render/t1"),
            "and you may not create batchoperations, by which the operator would read",
        ),
        ({CREATE, READ}, ("logs", "render/t1", "-f"), "-f follows only with these: give JOB/TASK without -f"),
        ({CREATE, READ}, ("logs", "render"), "the tasks of a job are listed only with these: give JOB/TASK without -f"),
        ({CREATE, READ}, ("files", "ls", "bp/cpu/n1:wd"), "only the first level of a node's files is listed"),
        ({CREATE, READ}, ("files", "cp", "render/t1", "x"), "let the operator make the call: "),
        ({CREATE, READ}, ("nodes", "ls", "cpu"), "let the operator make the call: "),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_created(
    fake: FakeCluster, run: Run, rights: set[tuple[str, str]], words: tuple[str, ...], text: str
) -> None:
    fake.rights = rights
    done = run(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith(CAUSE)
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert fake.created == []


def test_a_file_that_does_not_exist_is_said_by_the_operation(fake: FakeCluster, run: Run) -> None:
    results = [{"target": "t1", "outcome": "Failed", "message": "there is no file 'stdout.txt'"}]
    fake.add(thing("BatchOperation", "made-0", ("Failed", "True", "TargetsFailed", "1 of 1"), results=results))
    done = run("logs", "render/t1")
    assert done.exit_code == 1
    assert "t1: Failed: there is no file 'stdout.txt'" in done.stderr

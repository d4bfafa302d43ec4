"""Files of tasks and nodes, resource files and output files."""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import urllib.request

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import add_task, finished, make_job, make_pool, shell, text_of
from support.emulator_thread import EmulatorThread, wait_until
from support.raw_http import signed


@pytest.fixture(autouse=True)
def _job(client: BatchClient) -> None:
    make_pool(client)
    make_job(client)


def put(emulator: EmulatorThread, path: str, content: bytes) -> None:
    request = urllib.request.Request(f"{emulator.endpoint}/storage/{path}", content, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310
        assert response.status == 201


def read(emulator: EmulatorThread, path: str) -> bytes:
    with urllib.request.urlopen(f"{emulator.endpoint}/storage/{path}") as response:  # noqa: S310
        content: bytes = response.read()
        return content


def test_listing_reading_and_properties(client: BatchClient) -> None:
    add_task(client, "t", shell('mkdir -p "deep er"; echo content > "deep er/a file.txt"; echo out'))
    finished(client, "t")
    flat = {file.name: file for file in client.list_task_files("job", "t")}
    assert set(flat) == {"certs", "wd", "stdout.txt", "stderr.txt"}
    assert flat["wd"].is_directory
    assert flat["wd"].properties is None
    assert flat["stdout.txt"].properties.content_length == 4
    assert flat["stdout.txt"].properties.file_mode == "0o100644"
    deep = [file.name for file in client.list_task_files("job", "t", recursive=True)]
    assert "wd/deep er/a file.txt" in deep
    assert text_of(client, "t", "wd/deep er/a file.txt") == "content\n"
    started = [file.name for file in client.list_task_files("job", "t", filter="startswith(name,'std')")]
    assert sorted(started) == ["stderr.txt", "stdout.txt"]
    part = b"".join(client.get_task_file("job", "t", "stdout.txt", ocp_range="bytes=1-2"))
    assert part == b"ut"
    properties = client.get_task_file_properties("job", "t", "stdout.txt")
    assert properties.content_length == 4
    with pytest.raises(HttpResponseError) as caught:
        b"".join(client.get_task_file("job", "t", "stdout.txt", ocp_range="bytes=10-"))
    assert caught.value.status_code == 416
    with pytest.raises(ResourceNotFoundError) as missing:
        b"".join(client.get_task_file("job", "t", "nothing.txt"))
    assert missing.value.error.code == "FileNotFound"


def test_headers_of_a_file(client: BatchClient, emulator: EmulatorThread) -> None:
    add_task(client, "t", "/bin/echo hello")
    finished(client, "t")
    status, headers, body = emulator.call("GET", "/jobs/job/tasks/t/files/stdout.txt")
    assert (status, body) == (200, b"hello\n")
    assert headers["content-type"] == "text/plain"
    assert headers["ocp-batch-file-isdirectory"] == "False"
    assert headers["ocp-batch-file-url"].startswith("http%3A%2F%2F")
    assert "etag" not in headers
    assert "last-modified" in headers
    status, headers, body = emulator.call("HEAD", "/jobs/job/tasks/t/files/stdout.txt")
    assert (status, headers["content-length"], body) == (200, "6", b"")


def test_delete(client: BatchClient) -> None:
    add_task(client, "t", shell("mkdir d; touch d/f"))
    finished(client, "t")
    with pytest.raises(HttpResponseError):
        client.delete_task_file("job", "t", "wd/d")
    client.delete_task_file("job", "t", "wd/d", recursive=True)
    client.delete_task_file("job", "t", "stderr.txt")
    left = [file.name for file in client.list_task_files("job", "t", recursive=True)]
    assert sorted(left) == ["certs", "stdout.txt", "wd"]


@pytest.mark.parametrize(
    "path", ["..%2F..%2Fpasswd", "%2Fetc%2Fpasswd", "wd%2F..%2F..%2F..%2Fx", "wd/link", "wd%2Flink", "wd/dir/passwd"]
)
def test_paths_cannot_leave_the_directory(client: BatchClient, emulator: EmulatorThread, path: str) -> None:
    add_task(client, "t", shell("ln -s /etc/passwd link; ln -s /etc dir"))
    finished(client, "t")
    for method in ("GET", "HEAD", "DELETE"):
        status, _, body = emulator.call(method, f"/jobs/job/tasks/t/files/{path}")
        assert status == 404
        assert b"root:" not in body


def test_a_task_without_a_node_has_no_files(client: BatchClient) -> None:
    make_job(client, "other", "nowhere")
    add_task(client, "t", job_id="other")
    with pytest.raises(ResourceExistsError) as caught:
        list(client.list_task_files("other", "t"))
    assert caught.value.error.code == "TaskFilesUnavailable"


def test_files_go_when_their_retention_is_over(client: BatchClient) -> None:
    minute = datetime.timedelta(minutes=1)
    add_task(client, "t", constraints=models.BatchTaskConstraints(retention_time=minute))
    finished(client, "t")

    def refused() -> str | None:
        try:
            list(client.list_task_files("job", "t"))
        except ResourceExistsError as error:
            code: str = error.error.code
            return code
        return None

    assert wait_until(refused, "the files are gone") == "TaskFilesCleanedup"


def test_node_files(client: BatchClient) -> None:
    add_task(client, "t", "/bin/echo hello")
    node_id = finished(client, "t").node_info.node_id
    names = [file.name for file in client.list_node_files("pool", node_id)]
    assert names == ["applications", "fsmounts", "shared", "startup", "volatile", "workitems"]
    path = "workitems/job/job-1/t/stdout.txt"
    assert path in [file.name for file in client.list_node_files("pool", node_id, recursive=True)]
    assert b"".join(client.get_node_file("pool", node_id, path)) == b"hello\n"
    assert client.get_node_file_properties("pool", node_id, path).content_length == 6
    client.delete_node_file("pool", node_id, path)
    with pytest.raises(ResourceNotFoundError):
        client.get_node_file_properties("pool", node_id, path)


def test_resource_files_come_in_and_output_files_go_out(client: BatchClient, emulator: EmulatorThread) -> None:
    put(emulator, "input/one.txt", b"one\n")
    put(emulator, "input/dir/two%20words.txt", b"two\n")
    container = f"{emulator.endpoint}/storage/output?sig=secret"
    destination = models.OutputFileBlobContainerDestination(container_url=container, path="results")
    output = models.OutputFile(
        file_pattern="made/**/*.txt",
        destination=models.OutputFileDestination(container=destination),
        upload_options=models.OutputFileUploadConfig(upload_condition="tasksuccess"),
    )
    log = models.OutputFile(
        file_pattern="../stdout.txt",
        destination=models.OutputFileDestination(
            container=models.OutputFileBlobContainerDestination(container_url=container, path="logs/t.txt")
        ),
        upload_options=models.OutputFileUploadConfig(upload_condition="taskcompletion"),
    )
    add_task(
        client,
        "t",
        shell("cat one.txt in/dir/two*; mkdir -p made/deep; cp one.txt made/; cp one.txt made/deep/two.txt"),
        resource_files=[
            models.ResourceFile(
                http_url=f"{emulator.endpoint}/storage/input/one.txt", file_path="one.txt", file_mode="0600"
            ),
            models.ResourceFile(
                storage_container_url=f"{emulator.endpoint}/storage/input?sig=x", blob_prefix="dir/", file_path="in"
            ),
        ],
        output_files=[output, log],
    )
    task = finished(client, "t")
    assert task.execution_info.result == "success"
    assert task.output_files[0].upload_options.upload_condition == "TaskSuccess"
    assert text_of(client, "t") == "one\ntwo\n"
    assert read(emulator, "output/results/one.txt") == b"one\n"
    assert read(emulator, "output/results/deep/two.txt") == b"one\n"
    assert read(emulator, "output/logs/t.txt") == b"one\ntwo\n"
    assert "sig" not in text_of(client, "t", "fileuploadout.txt")


def test_a_missing_resource_file(client: BatchClient, emulator: EmulatorThread) -> None:
    missing = models.ResourceFile(http_url=f"{emulator.endpoint}/storage/no/blob", file_path="x")
    add_task(client, "t", resource_files=[missing], constraints=models.BatchTaskConstraints(max_task_retry_count=2))
    info = finished(client, "t").execution_info
    assert (info.result, info.failure_info.code, info.exit_code, info.retry_count) == (
        "failure",
        "BlobNotFound",
        None,
        0,
    )
    # REST API, startTime: it "reflects the time at which the Task started downloading" its resource files.
    assert info.start_time <= info.end_time


def test_patterns_know_the_variables_of_a_task_whose_command_is_not_run(
    client: BatchClient, emulator: EmulatorThread
) -> None:
    # An empty command line is the entry point of a container; the second cannot be split, the third is not there.
    commands = {"empty": "", "quote": "'", "missing": "/no/such/program"}
    for name, command in commands.items():
        container = f"{emulator.endpoint}/storage/output"
        destination = models.OutputFileBlobContainerDestination(container_url=container, path=name)
        output = models.OutputFile(
            file_pattern="$AZ_BATCH_TASK_DIR/std*.txt",
            destination=models.OutputFileDestination(container=destination),
            upload_options=models.OutputFileUploadConfig(upload_condition="taskcompletion"),
        )
        add_task(client, name, command, output_files=[output])
    failures = [finished(client, name).execution_info.failure_info for name in commands]
    assert [each and each.code for each in failures] == [None, "CommandLaunchFailed", "CommandProgramNotFound"]
    for name in commands:
        assert read(emulator, f"output/{name}/stdout.txt") == b""
        assert "stderr.txt" in text_of(client, name, "fileuploadout.txt")


def test_a_failed_upload(client: BatchClient) -> None:
    nowhere = models.OutputFileBlobContainerDestination(container_url="http://127.0.0.1:9/none?sig=secret")
    output = models.OutputFile(
        file_pattern="../std*.txt",
        destination=models.OutputFileDestination(container=nowhere),
        upload_options=models.OutputFileUploadConfig(upload_condition="taskcompletion"),
    )
    add_task(client, "t", output_files=[output])
    info = finished(client, "t").execution_info
    assert (info.exit_code, info.result, info.failure_info.code) == (0, "failure", "FileUploadMiscError")
    errors = text_of(client, "t", "fileuploaderr.txt")
    assert "stdout.txt" in errors
    assert "secret" not in errors


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?comp=block&blockid=MQ%3D%3D", {}),
        ("?comp=blocklist", {}),
        ("?comp=snapshot", {}),
        ("", {"x-ms-blob-type": "AppendBlob"}),
        ("", {"x-ms-blob-type": "PageBlob"}),
        ("", {"x-ms-copy-source": "http://127.0.0.1/c/b"}),
    ],
)
def test_the_storage_stand_in_takes_whole_block_blobs_only(
    emulator: EmulatorThread, query: str, headers: dict[str, str]
) -> None:
    """Anything else would be kept as if it were the content of the blob."""
    put(emulator, "c/blob", b"whole")
    assert emulator.call("PUT", f"/storage/c/blob{query}", b"part", headers)[0] == 400
    assert read(emulator, "c/blob") == b"whole"


def test_the_storage_stand_in_lists_blobs_as_xml(emulator: EmulatorThread) -> None:
    put(emulator, "c/a%26b.txt", b"1")
    put(emulator, "c/d/e.txt", b"22")
    text = read(emulator, "c?restype=container&comp=list").decode()
    assert "<Name>a&amp;b.txt</Name>" in text
    assert "<Content-Length>2</Content-Length>" in text
    assert "a&amp;b" not in read(emulator, "c?restype=container&comp=list&prefix=d/").decode()


@pytest.mark.parametrize("path", [".", "./", "./.", "wd/../.", "loop/.", "loop"])
def test_a_tasks_directory_cannot_be_deleted_through_a_name_of_its_own(
    client: BatchClient, emulator: EmulatorThread, path: str
) -> None:
    add_task(client, "t", shell("ln -s .. inside; ln -s ../.. above; ln -s inside round; echo kept"))
    finished(client, "t")
    for where in (
        path,
        path.replace("loop", "wd/inside"),
        path.replace("loop", "wd/above"),
        path.replace("loop", "wd/round"),
    ):
        for encoded in (where, where.replace("/", "%2F")):
            assert emulator.call("DELETE", f"/jobs/job/tasks/t/files/{encoded}?recursive=true")[0] in (200, 404)
    assert text_of(client, "t") == "kept\n"
    assert {"wd", "certs"} <= {file.name for file in client.list_task_files("job", "t")}


def test_names_that_are_no_utf_8(client: BatchClient, emulator: EmulatorThread) -> None:
    names = r"""a=$(printf 'caf\351.txt'); d=$(printf '\377'); printf one > "$a"; mkdir "$d"; echo two > "$d/x" """
    add_task(client, "t", f"/bin/sh -c {shlex.quote(names)}")
    finished(client, "t")
    found = {file.name for file in client.list_task_files("job", "t", recursive=True)}
    assert {"wd/caf\ufffd.txt", "wd/\ufffd", "wd/\ufffd/x"} <= found
    assert text_of(client, "t", "wd/caf\ufffd.txt") == "one"
    assert text_of(client, "t", "wd/\ufffd/x") == "two\n"
    assert client.get_task_file_properties("job", "t", "wd/caf\ufffd.txt").content_length == 3
    assert emulator.call("DELETE", "/jobs/job/tasks/t/files/wd%2F%EF%BF%BD?recursive=true")[0] == 200
    assert "wd/\ufffd/x" not in {file.name for file in client.list_task_files("job", "t", recursive=True)}


@pytest.mark.parametrize("path", ["x" * 300, "a%00b", "wd/" + "y" * 5000, "wd/%0A", "%FF", "wd/loop/x"])
def test_file_paths_that_lead_nowhere(client: BatchClient, emulator: EmulatorThread, path: str) -> None:
    add_task(client, "t", shell("ln -s loop loop"))
    finished(client, "t")
    for method in ("GET", "DELETE"):
        status, _, body = emulator.call(method, f"/jobs/job/tasks/t/files/{path}")
        assert (status, json.loads(body)["code"]) == (404, "FileNotFound")


@pytest.mark.parametrize(
    "wanted", ["bytes=-0", "bytes=-", "bytes=4-", "bytes=٠-١", "bytes=3-1", "bytes=0-" + "9" * 5000, "lines=0-1"]
)
def test_ranges_that_hold_nothing(client: BatchClient, emulator: EmulatorThread, wanted: str) -> None:
    add_task(client, "t", shell("echo out"))
    finished(client, "t")
    answer = signed(emulator, "GET", "/jobs/job/tasks/t/files/stdout.txt", headers=[("ocp-range", wanted)])
    assert (answer.status, answer.code) == (416, "InvalidRange")


def test_pages_of_files_continue_though_files_go_away(client: BatchClient, emulator: EmulatorThread) -> None:
    add_task(client, "t", shell("mkdir a b; touch a/1 a/2 b/1 b/2 c d e f"))
    finished(client, "t")
    seen: list[str] = []
    target = "/jobs/job/tasks/t/files?recursive=true&maxresults=3"
    while target:
        page = json.loads(emulator.call("GET", target)[2])
        seen += [item["name"] for item in page["value"]]
        # The file at which the page ended goes away.
        emulator.call("DELETE", f"/jobs/job/tasks/t/files/{seen[-1]}")
        target = page.get("odata.nextLink", "").removeprefix(emulator.endpoint)
    assert len(seen) == len(set(seen))
    inside = {"a", "b", "c", "d", "e", "f", "a/1", "a/2", "b/1", "b/2"}
    assert set(seen) == {"certs", "stderr.txt", "stdout.txt", "wd"} | {f"wd/{name}" for name in inside}


def test_a_file_of_many_megabytes(client: BatchClient) -> None:
    add_task(client, "big", shell("head -c 5000000 /dev/urandom > big; sha256sum big"))
    finished(client, "big")
    digest = b"".join(client.get_task_file("job", "big", "stdout.txt")).decode().split()[0]
    content = b"".join(client.get_task_file("job", "big", "wd/big"))
    assert len(content) == 5_000_000
    assert hashlib.sha256(content).hexdigest() == digest

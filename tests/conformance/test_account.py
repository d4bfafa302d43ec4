"""What belongs to the account: applications, images, usage, retired certificates."""

from __future__ import annotations

import datetime
import urllib.error

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from support.batch_bodies import add_task, finished, make_job, make_pool, shell, text_of
from support.emulator_thread import EmulatorThread


def test_applications(client: BatchClient, emulator: EmulatorThread) -> None:
    assert list(client.list_applications()) == []
    emulator.admin("POST", "applications/tool", {"versions": ["1.0", "1.1-b"]})
    (listed,) = client.list_applications()
    assert (listed.id, listed.versions) == ("tool", ["1.0", "1.1-b"])
    assert client.get_application("Tool").display_name == "tool"
    with pytest.raises(ResourceNotFoundError) as missing:
        client.get_application("other")
    assert missing.value.error.code == "ApplicationNotFound"
    reference = models.BatchApplicationPackageReference(application_id="tool", version="1.1-b")
    make_pool(client, application_package_references=[reference])
    make_job(client)
    add_task(client, "t", shell("env"))
    finished(client, "t")
    assert "AZ_BATCH_APP_PACKAGE_tool_1_1_b=" in text_of(client, "t")
    # Documented: without the version for the default one.
    default = models.BatchApplicationPackageReference(application_id="Tool")
    (other,) = emulator.admin("POST", "applications/Other-1", {"versions": ["2"]})["versions"]
    own = models.BatchApplicationPackageReference(application_id="other-1", version=other)
    add_task(client, "own", shell("env"), application_package_references=[default, own])
    finished(client, "own")
    shown = sorted(
        line.rpartition("/applications")[::2] for line in text_of(client, "own").split() if "APP_PACKAGE" in line
    )
    assert [(name.partition("=")[0], path) for name, path in shown] == [
        ("AZ_BATCH_APP_PACKAGE_Other_1_2", "/Other-1/2"),
        ("AZ_BATCH_APP_PACKAGE_tool", "/tool/1.1-b"),
        ("AZ_BATCH_APP_PACKAGE_tool_1_1_b", "/tool/1.1-b"),
    ]
    manager = models.BatchJobManagerTask(
        id="manager", command_line=shell("env"), application_package_references=[own], kill_job_on_completion=False
    )
    make_job(client, "managed", job_manager_task=manager)
    finished(client, "manager", "managed")
    assert "AZ_BATCH_APP_PACKAGE_Other_1_2=" in text_of(client, "manager", job_id="managed")
    unknown = models.BatchApplicationPackageReference(application_id="tool", version="9")
    with pytest.raises(ResourceExistsError) as refused:
        add_task(client, "u", application_package_references=[unknown])
    assert refused.value.error.code == "InvalidApplicationPackageReferences"


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("a%0D%0Ab", ["1"]),
        ("a%2Fb", ["1"]),
        ("a" * 65, ["1"]),
        ("a", ["1\r\n"]),
        ("a", [""]),
        ("a", ["1" * 65]),
        ("a", ["v1", "V1"]),
    ],
)
def test_names_that_no_application_has(
    client: BatchClient, emulator: EmulatorThread, name: str, versions: list[str]
) -> None:
    # Documented on the page on application packages, for names and for versions.
    with pytest.raises(urllib.error.HTTPError) as caught:
        emulator.admin("POST", f"applications/{name}", {"versions": versions})
    with caught.value as error:
        assert error.code == 400
    assert list(client.list_applications()) == []


def test_supported_images(client: BatchClient) -> None:
    everything = list(client.list_supported_images())
    assert len(everything) >= 5
    assert len(list(client.list_supported_images(max_results=2))) == len(everything)
    windows = list(client.list_supported_images(filter="osType eq 'Windows' and verificationType eq 'verified'"))
    assert windows
    assert all(image.node_agent_sku_id == "batch.node.windows amd64" for image in windows)


def test_usage(client: BatchClient) -> None:
    make_pool(client)
    assert list(client.list_pool_usage_metrics()) == []
    now = datetime.datetime.now(datetime.UTC)
    with pytest.raises(HttpResponseError) as caught:
        list(client.list_pool_usage_metrics(starttime=now))
    assert caught.value.error.code == "InvalidQueryParameterValue"


def test_certificates_are_retired(client: BatchClient) -> None:
    certificate = models.BatchCertificate(
        thumbprint="ab", thumbprint_algorithm="sha1", data=b"x", certificate_format="cer"
    )
    for call in (
        lambda: client.create_certificate(certificate),
        lambda: list(client.list_certificates()),
        lambda: client.get_certificate("sha1", "ab"),
        lambda: client.delete_certificate("sha1", "ab"),
        lambda: client.cancel_certificate_deletion("sha1", "ab"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            call()
        assert (caught.value.status_code, caught.value.error.code) == (400, "CertificateRetired")

"""An operator for BatchTasks as people first write it with Kopf, to compare with: a timer for each object, and the official SDK.

It does the least: it adds the task, asks for it every two seconds, and writes the status when the task has ended. Kopf adds its own
finalizer. All settings of Kopf are its defaults. It reads BATCH_ENDPOINT, BATCH_ACCOUNT, and BATCH_KEY.
"""

import os
from typing import Any

import kopf
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError

client = BatchClient(
    os.environ["BATCH_ENDPOINT"], AzureNamedKeyCredential(os.environ["BATCH_ACCOUNT"], os.environ["BATCH_KEY"])
)


@kopf.on.create("azurebatch.io", "v1alpha1", "batchtasks")
def create(spec: kopf.Spec, name: str | None, **_: Any) -> None:
    """Add the task to its job."""
    try:
        task = models.BatchTaskCreateContent(id=str(name), command_line=spec["commandLine"])
        client.create_task(spec["jobRef"]["name"], task)
    except ResourceExistsError:
        pass


@kopf.timer("azurebatch.io", "v1alpha1", "batchtasks", interval=2.0)
def poll(spec: kopf.Spec, status: kopf.Status, name: str | None, patch: kopf.Patch, **_: Any) -> None:
    """Write the status of a task that has ended."""
    if "endTime" in status:
        return
    task = client.get_task(spec["jobRef"]["name"], str(name))
    info = task.execution_info
    if task.state == models.BatchTaskState.COMPLETED and info is not None and info.end_time is not None:
        ended = {"state": "completed", "exitCode": info.exit_code, "endTime": info.end_time.isoformat()}
        patch.status.update({"phase": "Succeeded" if info.exit_code == 0 else "Failed", **ended})

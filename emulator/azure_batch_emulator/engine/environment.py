"""The environment variables of tasks (docs/azure-batch.md#tasks). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


def node_variables(
    account: str, account_url: str, pool_id: str, node_id: str, root: str, *, dedicated: bool
) -> dict[str, str]:
    """Variables that every command on a node sees.

    Args:
        root: absolute path of the node's directory.
    """
    return {
        "AZ_BATCH_ACCOUNT_NAME": account,
        "AZ_BATCH_ACCOUNT_URL": account_url,
        "AZ_BATCH_POOL_ID": pool_id,
        "AZ_BATCH_NODE_ID": node_id,
        "AZ_BATCH_NODE_ROOT_DIR": root,
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{root}/startup/wd",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_NODE_IS_DEDICATED": "true" if dedicated else "false",
    }


def task_variables(root: str, job_id: str, task_id: str, directory: str, preparation: str | None) -> dict[str, str]:
    """Variables of one task.

    Args:
        directory: of the task, below the root.
        preparation: directory of the job preparation task, if the job has one.
    """
    variables = {
        "AZ_BATCH_JOB_ID": job_id,
        "AZ_BATCH_TASK_ID": task_id,
        "AZ_BATCH_TASK_DIR": f"{root}/{directory}",
        "AZ_BATCH_TASK_WORKING_DIR": f"{root}/{directory}/wd",
    }
    if preparation is not None:
        variables["AZ_BATCH_JOB_PREP_DIR"] = f"{root}/{preparation}"
        variables["AZ_BATCH_JOB_PREP_WORKING_DIR"] = f"{root}/{preparation}/wd"
    return variables


class Package(NamedTuple):
    """A package on a node: its application, the version as it was asked for (empty for the default one), and the version."""

    application: str
    asked: str
    version: str


def package_variables(root: str, packages: Iterable[Package], *, windows: bool) -> dict[str, str]:
    """``AZ_BATCH_APP_PACKAGE_<id>#<version>``, without the version where it is the default one.

    On Linux nodes, dots, dashes and the hash are turned into underscores.
    """
    found = {}
    for name, asked, version in packages:
        ending = f"{name}#{asked}" if asked else name
        if not windows:
            ending = ending.replace("-", "_").replace(".", "_").replace("#", "_")
        found[f"AZ_BATCH_APP_PACKAGE_{ending}"] = f"{root}/applications/{name}/{version}"
    return found


def settings(*lists: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """``environmentSettings`` as a mapping; later lists win."""
    return {item["name"]: item.get("value", "") for items in lists for item in items}

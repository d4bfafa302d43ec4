"""`kubectl azure-batch tasks`: the words of its commands; `tasks_command` is what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.command import on_cluster
from azure_batch_kubectl.later import later
from azure_batch_kubectl.options import form_option
from azure_batch_kubectl.proposals import named

if TYPE_CHECKING:
    from azure_batch_kubectl import tasks_command
    from azure_batch_kubectl.cluster import Cluster
else:
    tasks_command = later("tasks_command")


@click.group()
def tasks() -> None:
    """List the tasks of a job as they are in Azure Batch.

    Needs permission to read the Secret of the account.
    """


@tasks.command("ls")
@click.argument("target", metavar="JOB[/TASK]", shell_complete=named(bare="bj", tasks=True))
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(("active", "preparing", "running", "completed")),
    help="Only tasks in this state. May be repeated.",
)
@click.option("--failed", is_flag=True, help="Only tasks that failed.")
@form_option
@on_cluster
async def tasks_ls(cluster: Cluster, target: str, states: tuple[str, ...], failed: bool, form: Output | None) -> None:
    """List the tasks of a job, page by page, or show one of them; -o shows more."""
    await tasks_command.show(cluster, target, states, failed=failed, form=form)

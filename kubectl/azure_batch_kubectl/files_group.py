"""`kubectl azure-batch files`: the words of its commands; `files_command` is what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.command import on_cluster
from azure_batch_kubectl.later import later
from azure_batch_kubectl.options import form_option
from azure_batch_kubectl.proposals import named

if TYPE_CHECKING:
    from azure_batch_kubectl import files_command
    from azure_batch_kubectl.cluster import Cluster
else:
    files_command = later("files_command")


@click.group()
def files() -> None:
    """List, print and copy files of tasks (JOB/TASK) and nodes (bp/POOL/NODE).

    Needs permission to read the Secret of the account. Without it, the operator lists and reads files by a BatchOperation.
    """


@files.command("ls")
@click.argument("target", metavar="JOB/TASK[:PATH]", shell_complete=named(bare="bj", tasks=True))
@form_option
@on_cluster
async def files_ls(cluster: Cluster, target: str, form: Output | None) -> None:
    """List files. For a node without a path, only the first level."""
    await files_command.list_files(cluster, target, form=form)


@files.command("cat")
@click.argument("target", metavar="JOB/TASK:PATH", shell_complete=named(bare="bj", tasks=True))
@on_cluster
async def files_cat(cluster: Cluster, target: str) -> None:
    """Print a file."""
    await files_command.cat(cluster, target)


@files.command("cp")
@click.argument("target", metavar="JOB/TASK[:PATH]", shell_complete=named(bare="bj", tasks=True))
@click.argument("local", metavar="LOCAL")
@on_cluster
async def files_cp(cluster: Cluster, target: str, local: str) -> None:
    """Copy a file, or a directory with its content, to this machine. LOCAL is a file or a directory."""
    await files_command.copy(cluster, target, local)

"""`kubectl azure-batch nodes`: the words of its commands; `nodes_command` is what they do."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from azure_batch_kubectl.choices import Output
from azure_batch_kubectl.command import on_cluster
from azure_batch_kubectl.later import later
from azure_batch_kubectl.options import form_option, timeout_option, waiting_time
from azure_batch_kubectl.proposals import named

if TYPE_CHECKING:
    from azure_batch_kubectl import nodes_command, objects
    from azure_batch_kubectl.cluster import Cluster
else:
    nodes_command = later("nodes_command")
    objects = later("objects")


@click.group()
def nodes() -> None:
    """List, drain, reboot and reimage the nodes of a pool, and log in to them."""


@nodes.command("ls")
@click.argument("pool", metavar="POOL", shell_complete=named(bare="bp"))
@click.argument("node", metavar="[NODE]", required=False)
@form_option
@on_cluster
async def nodes_ls(cluster: Cluster, pool: str, node: str | None, form: Output | None) -> None:
    """List the nodes of a pool, or show one of them; -o shows more. Needs permission to read the Secret of the account."""
    await nodes_command.show(cluster, objects.pool(pool), node, form=form)


NODE_STATES = (
    "idle", "running", "creating", "starting", "waitingforstarttask", "starttaskfailed", "unusable", "unknown", "rebooting",
    "reimaging", "offline", "preempted", "leavingpool", "upgradingos", "deallocating", "deallocated",
)  # fmt: skip
"""Values of `--state`, not imported from `api.operation`, so that `--help` loads nothing else."""
_ALL_OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")


def _nodes_chosen(command: Any) -> Any:
    for option in (
        timeout_option,
        click.option(
            "--wait",
            is_flag=True,
            help="Wait until the operation has ended. Exits with 3 if it fails, and with 4 after the timeout: then it continues.",
        ),
        click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice(NODE_STATES, case_sensitive=False),
            metavar="STATE",
            help="Select all nodes in this state, such as unusable. May be repeated.",
        ),
        click.argument("names", nargs=-1, metavar="[NODE]..."),
        click.argument("pool", metavar="POOL", shell_complete=named(bare="bp")),
    ):
        command = option(command)
    return command


def _node_verb(verb: str, help: str, options: tuple[str, ...] = ()) -> None:  # noqa: A002 (click's name)
    """Add the command of a verb; `options` say what may become of running tasks."""
    what = "What happens to running tasks. Defaults to requeue."
    option = click.option("--tasks", "option", type=click.Choice(options), help=what)

    async def command(
        cluster: Cluster,
        pool: str,
        names: tuple[str, ...],
        states: tuple[str, ...],
        **options: Any,
    ) -> None:
        body = nodes_command.operation(verb, objects.pool(pool), names, states, options.get("option"))
        timeout = waiting_time(options["timeout"], wait=options["wait"], remedy="add --wait, or leave --timeout out")
        await nodes_command.run(cluster, body, timeout=timeout)

    run = _nodes_chosen(on_cluster(command))
    by = "The command creates a BatchOperation, which is deleted a day after its end."
    nodes.command(verb, help=f"{help} {by}")(option(run) if options else run)


_node_verb("reboot", "Restart nodes.", _ALL_OPTIONS)
_node_verb("reimage", "Install nodes again.", _ALL_OPTIONS)
_node_verb("drain", "Stop starting tasks on nodes, and requeue running tasks.", _ALL_OPTIONS[:3])
_node_verb("uncordon", "Start tasks again on nodes that were drained.")


@nodes.command("ssh")
@click.argument("pool", metavar="POOL", shell_complete=named(bare="bp"))
@click.argument("node", metavar="NODE")
@click.argument("words", nargs=-1, metavar="[-- COMMAND...]")
@click.option("-l", "--user", metavar="NAME", help="User on the node. Defaults to the one that ssh selects.")
@click.option("--print", "only_print", is_flag=True, help="Print the command instead of running it.")
@timeout_option
@on_cluster
async def nodes_ssh(cluster: Cluster, pool: str, node: str, words: tuple[str, ...], **options: Any) -> None:
    """Log in to a node with ssh. The operator requests its address by a BatchOperation.

    The node needs a user: one of the pool's userAccounts, or one of a BatchOperation with createNodeUser.
    """
    login = nodes_command.Login(objects.pool(pool), node, options["user"])
    command = [*await nodes_command.ssh_command(cluster, login, options["timeout"]), *words]
    if options["only_print"]:
        click.echo(shlex.join(command))
    else:
        nodes_command.become(command)

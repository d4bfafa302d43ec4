"""`kubectl azure-batch`: the commands."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from azure_batch_kubectl.choices import Action, Goal, Output
from azure_batch_kubectl.command import on_cluster
from azure_batch_kubectl.failure import Exit
from azure_batch_kubectl.files_group import files
from azure_batch_kubectl.later import later
from azure_batch_kubectl.nodes_group import nodes
from azure_batch_kubectl.options import DATA, Seconds, form_option, timeout_option, waiting_time
from azure_batch_kubectl.proposals import ALL, named
from azure_batch_kubectl.tasks_group import tasks

if TYPE_CHECKING:
    from azure_batch_kubectl import (
        act_command,
        cost_command,
        diff_command,
        doctor_command,
        export_command,
        import_command,
        logs_command,
        objects,
        operate_command,
        submit_command,
        views,
        wait_command,
        why_command,
    )
    from azure_batch_kubectl.cluster import Cluster
else:
    act_command = later("act_command")
    cost_command = later("cost_command")
    diff_command = later("diff_command")
    doctor_command = later("doctor_command")
    export_command = later("export_command")
    import_command = later("import_command")
    logs_command = later("logs_command")
    objects = later("objects")
    operate_command = later("operate_command")
    submit_command = later("submit_command")
    views = later("views")
    wait_command = later("wait_command")
    why_command = later("why_command")


class _Plugin(click.Group):
    """Ctrl-C ends every command in the same way, also while libraries are loaded; tests/unit/kubectl/test_every_command.py."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None


@click.group(cls=_Plugin, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="azure-batch-operator")
def plugin() -> None:
    """Inspect and manage objects of azure-batch-operator, with the permissions of your kubeconfig."""


@plugin.command()
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=named(*ALL))
@on_cluster
async def why(cluster: Cluster, target: tuple[str, ...]) -> None:
    """Say why an object waits or has failed, and what to do.

    KIND is a kind of azurebatch.io or its short name: bj, bt, bp, bjs, bop, bacc. KIND NAME works, too.
    """
    await why_command.run(cluster, target)


def _action(action: Action, help: str) -> None:  # noqa: A002 (click's name)
    """Add the command of an action."""

    @plugin.command(action.value, help=help)
    @click.argument(
        "targets", nargs=-1, required=True, metavar="[KIND/]NAME...", shell_complete=named(*ALL[:4], bare="bj")
    )
    @on_cluster
    async def command(cluster: Cluster, targets: tuple[str, ...]) -> None:
        await act_command.run(cluster, action, targets)


_action(Action.SUSPEND, "Suspend a job (NAME or bj/NAME) or a job schedule (bjs/NAME): set spec.suspend to true.")
_action(Action.RESUME, "Resume a suspended job (NAME or bj/NAME) or job schedule (bjs/NAME).")
_action(Action.RETRY, "Run the failed tasks of an open job (NAME or bj/NAME), or a BatchTask (bt/NAME), again.")
_action(Action.TERMINATE, "Terminate a job (NAME or bj/NAME), a BatchTask (bt/NAME) or an operation (bop/NAME).")


@plugin.command()
@click.argument("target", metavar="[KIND/]NAME", shell_complete=named("bj", "bt", "bop", "bjs", bare="bj"))
@click.option(
    "--for",
    "goal",
    type=click.Choice([each.value for each in Goal]),
    default="complete",
    show_default=True,
    help="State to wait for. ended means complete or failed.",
)
@timeout_option
@on_cluster
async def wait(cluster: Cluster, target: str, goal: str, timeout: float) -> None:
    """Wait until a job (NAME or bj/NAME), a BatchTask (bt), an operation (bop) or a job schedule (bjs) has ended.

    Exits with 3 if it ends in another way, and with 4 after the timeout. Shows progress on a terminal.
    """
    kind, name = objects.job_or(target)
    await wait_command.run(cluster, kind, name, Goal(goal), timeout)


@plugin.command()
@click.argument("job", metavar="JOB", shell_complete=named(bare="bj"))
@click.option("--all", "every", is_flag=True, help="Show all BatchTasks. By default, 20 are shown.")
@functools.partial(form_option, forms=DATA)
@on_cluster
async def tree(cluster: Cluster, job: str, every: bool, form: Output | None) -> None:
    """Show a job with its account, its pool, its failures and its BatchTasks as a tree."""
    await views.show_tree(cluster, objects.job(job), every=every, form=form)


@plugin.command()
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Show objects in all namespaces.")
@click.option("--all", "every", is_flag=True, help="Also show jobs that have ended.")
@click.option("-w", "--watch", is_flag=True, help="Keep updating the table until Ctrl-C. Needs a terminal.")
@form_option
@on_cluster
async def top(cluster: Cluster, everywhere: bool, every: bool, watch: bool, form: Output | None) -> None:
    """Show pools and open jobs with their nodes, tasks and speed."""
    scope = views.Scope(everywhere=everywhere, every=every, form=form)
    await views.show_top(cluster, scope, watch=watch)


@plugin.command()
@click.argument("target", metavar="JOB[/TASK]", shell_complete=named(bare="bj", tasks=True))
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the task has ended.")
@click.option("--stderr", is_flag=True, help="Show stderr.txt instead of stdout.txt.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Show only the last N lines.")
@click.option("--failed", is_flag=True, help="Show only the failed tasks of a job.")
@click.option(
    "--since",
    type=Seconds(),
    metavar="DURATION",
    help="Show only tasks that are running, or that ended within this time, such as 10m or 1h30m. Shows all output of these "
    "tasks, because lines of output have no times.",
)
@on_cluster
async def logs(cluster: Cluster, target: str, **options: Any) -> None:
    """Show the output of a task, or of all tasks of a job that have started.

    Needs permission to read the Secret of the account. Without it, the operator reads the end of a single task's output.
    """
    wish = logs_command.Wish(
        follow=options["follow"],
        path="stderr.txt" if options["stderr"] else "stdout.txt",
        tail=options["tail"],
        failed=options["failed"],
        since=logs_command.before(options["since"]),
    )
    await logs_command.show(cluster, target, wish)


@plugin.command()
@click.argument("script", type=click.Path(exists=True, dir_okay=False), metavar="SCRIPT")
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENT...]")
@click.option(
    "--over",
    "overs",
    multiple=True,
    metavar="WHAT",
    help="Run one task for each value of a range (1-100, 1-100:10) or a list (a,b,c), each line of a file, or each row of a "
    ".csv file. Ranges and lists may be repeated: then each combination of values is a task.",
)
@click.option(
    "--pool",
    metavar="NAME",
    shell_complete=named(bare="bp"),
    help="BatchPool to run on. Defaults to the only one in the namespace.",
)
@click.option(
    "--name", metavar="NAME", help="Name of the BatchJob. Defaults to a name that is derived from the script."
)
@click.option("--retries", type=click.IntRange(min=0), metavar="N", help="Number of retries of a task that fails.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), metavar="N", help="Maximum number of tasks that run at the same time."
)
@click.option(
    "--dry-run", is_flag=True, help="Print the manifests without creating them; with --pool, no cluster is needed."
)
@functools.partial(on_cluster, offline=lambda options: options["dry_run"] and options["pool"] is not None)
async def submit(cluster: Cluster | None, script: str, arguments: tuple[str, ...], **options: Any) -> None:
    """Run a script once, or once for each value, as a BatchJob.

    The script gets the values as its arguments, or the arguments after --, in which {0}, {1}, … are replaced by the values, and
    {column} by that of a .csv file.
    """
    settings: dict[str, Any] = {"poolRef": {"name": await submit_command.pool_of(cluster, options["pool"])}}
    settings |= {"backoff": {"taskRetries": options["retries"]}} if options["retries"] is not None else {}
    settings |= {"maxParallelTasks": options["max_parallel"]} if options["max_parallel"] else {}
    wanted = submit_command.order(script, options["overs"], arguments, options["name"], settings)
    await submit_command.run(cluster, wanted, dry_run=options["dry_run"])


@plugin.command()
@form_option
@on_cluster
async def cost(cluster: Cluster, form: Output | None) -> None:
    """Estimate the cost of pools per hour, and the share of each job.

    Uses the prices in spec.pricesFrom, as the operator does. The share of a job is its share of the occupied task slots.
    """
    await cost_command.run(cluster, form)


@plugin.command()
@on_cluster
async def doctor(cluster: Cluster) -> None:
    """Check the installation: CRDs, the operator, your permissions, accounts, Secrets and clocks.

    Says how to fix each fault. Exits with 1 if there is one. It uses your permissions, and says what you may not read.
    """
    await doctor_command.run(cluster)


@plugin.command()
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME", shell_complete=named("bp", "bj", "bjs", "bt"))
@click.option("--az", is_flag=True, default=True, help="Print JSON for the Azure CLI. This is the only format.")
@click.option("--tasks", is_flag=True, help="Print the tasks of a BatchJob instead of the job.")
@on_cluster
async def export(cluster: Cluster, target: tuple[str, ...], az: bool, tasks: bool) -> None:
    """Print a pool, job, job schedule or task as the JSON that az batch … create --json-file accepts.

    Values that only the operator knows, such as those in Secrets, are left out with a note.
    """
    del az
    await export_command.run(cluster, target, tasks=tasks)


@plugin.command()
@click.argument("verb", metavar="VERB")
@click.argument("target", metavar="KIND/NAME[/NODE|/TASK]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input of the verb, such as nodes.states=unusable.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the end and the answer.")
@timeout_option
@functools.partial(form_option, forms=DATA)
@on_cluster
async def operate(cluster: Cluster, verb: str, target: str, settings: tuple[str, ...], **options: Any) -> None:
    """Make one call to Azure Batch, or the same call for many nodes or tasks, and show the answer.

    Creates a BatchOperation, which is kept for a day. "kubectl explain bop.spec" lists the verbs and their inputs. Exits with 3 if
    the operation fails, and with 4 after the timeout: the operation then continues until you terminate it.
    """
    timeout = waiting_time(options["timeout"], wait=not options["no_wait"], remedy="leave out --timeout or --no-wait")
    await operate_command.run(cluster, verb, target, settings, timeout=timeout, form=options["form"])


@plugin.command()
@click.argument("targets", nargs=-1, metavar="[KIND/NAME]...", shell_complete=named("bp", "bj", "bjs"))
@click.option(
    "-f", "--filename", "files", multiple=True, type=click.File("rb"), metavar="FILE", help="Manifests; - is stdin."
)
@functools.partial(on_cluster, error=Exit.USAGE)
async def diff(cluster: Cluster, targets: tuple[str, ...], files: tuple[Any, ...]) -> None:
    """Compare BatchPools, BatchJobs and BatchJobSchedules, or manifests of them, with Azure Batch.

    Without targets and files, it compares all objects of the namespace that have not ended. Exits with 1 if something differs, and
    with 2 after an error. Needs permission to read the Secret of the account.
    """
    if code := await diff_command.run(cluster, targets, files):
        raise click.exceptions.Exit(code)


@plugin.command("import")
@click.argument("targets", nargs=-1, metavar="[KIND/ID]...")
@click.option(
    "--account", metavar="[NAMESPACE/]NAME", help="BatchAccount to read. Defaults to the only one in the namespace."
)
@functools.partial(form_option, forms=DATA)
@on_cluster
async def import_(cluster: Cluster, targets: tuple[str, ...], account: str | None, form: Output | None) -> None:
    """Print manifests that adopt pools, job schedules and open jobs of an account that have no owner.

    A target is a kind and an ID in Azure Batch, such as bp/render. Without targets, it prints all. Nothing is changed until you
    apply the manifests. Needs permission to read the Secret of the account.
    """
    await import_command.run(cluster, targets, account, form)


for group in (files, nodes, tasks):
    plugin.add_command(group)

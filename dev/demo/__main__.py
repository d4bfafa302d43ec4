"""Runs the demo: control plane, emulator and operator, the samples applied, progress shown, results checked, everything stopped.

Exits 0 only if every expected result is there. With --keep everything continues running until `make demo-down`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from azure_batch_operator.batch import BatchClient, BatchError, SharedKey
from demo import results, view
from localcluster.build import binaries
from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.processes import stop
from localcluster.state import State, read_state, write_state
from stage import DEFAULT_PORT, REPOSITORY, Emulator, Operator, Service, install, samples

FOLDER = REPOSITORY / ".demo"
PICTURE = FOLDER / "picture.png"
_DEADLINE_SECONDS = 180.0
_TIME_SCALE = 20.0

console = Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A step of the demo."""
    console.print(f"[bold cyan]▸[/] {text}")


@click.command(help=__doc__)
@click.option("--keep", is_flag=True, help="Leave everything running.")
@click.option("--down", is_flag=True, help="Stop what an earlier --keep left running.")
def main(keep: bool, down: bool) -> None:
    """Run the demo."""
    try:
        stopped = _stop_earlier()
        if down:
            say("The demo is stopped" if stopped else "No demo runs")
            return
        sys.exit(0 if _run(keep) else 1)
    except LocalClusterError as error:
        sys.exit(f"The demo failed. {error}")
    except (TimeoutError, BatchError) as error:
        sys.exit(f"The demo failed: {error}. The logs are in {FOLDER.relative_to(REPOSITORY)}/.")
    except KeyboardInterrupt:
        sys.exit("Interrupted; everything that the demo started is stopped.")


def _stop_earlier() -> bool:
    """Stop what an earlier `--keep` left running; whether there was any of it."""
    state = read_state(FOLDER)
    running = [ref for ref in state.processes.values() if ref.alive()] if state else []
    if running:
        say("Stopping the demo that was left running")
        stop(running)
    (FOLDER / "state.json").unlink(missing_ok=True)
    return bool(running)


def _run(keep: bool) -> bool:
    began = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    PICTURE.unlink(missing_ok=True)
    cluster = LocalCluster(FOLDER / "cluster", programs=binaries(), owned=not keep)
    services: list[Emulator | Operator] = []
    done = False
    try:
        say("Starting etcd, kube-apiserver and kube-controller-manager")
        cluster.start()
        say("Starting the emulator of Azure Batch")
        emulator = Emulator.start(FOLDER, port=_port(), time_scale=_TIME_SCALE, owned=not keep)
        services.append(emulator)
        say("Applying manifests/base, and starting the operator under its ServiceAccount")
        install(cluster)
        operator = Operator.start(cluster, FOLDER, owned=not keep)
        services.append(operator)
        say("Applying manifests/samples")
        manifests = samples(cluster, emulator.endpoint)
        cluster.kubectl("apply", "-f", "-", input=manifests)
        _watch(cluster, services)
        done = _show(cluster, emulator)
        console.print()
        say(f"{'Done' if done else '[red]Not done[/]'} in {time.monotonic() - began:.0f} s")
    finally:
        if keep and done:
            processes = cluster.processes | {each.name: each.process for each in services}
            write_state(FOLDER, State(cluster.url, processes))
            _tell_how_to_look_around(cluster, "Everything is still running. Look around with:")
            console.print("  make demo-down                               # stop it")
        else:
            for service in reversed(services):
                service.stop()
            cluster.stop()
            if done:
                _tell_how_to_look_around(cluster, "`make demo KEEP=1` leaves it running, to look around with:")
    return done


def _port() -> int:
    """The emulator's usual port if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            say(f"Port {DEFAULT_PORT} is taken, so the emulator gets another one")
            return 0
    return DEFAULT_PORT


def _watch(cluster: LocalCluster, services: Sequence[Service]) -> None:
    """Show progress until all jobs have ended."""
    say("Watching")
    deadline = time.monotonic() + _DEADLINE_SECONDS
    last = ""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            objects = results.read(cluster)
            if console.is_terminal:
                live.update(view.table(objects), refresh=True)
            elif (line := view.line(objects)) != last:
                console.print(f"  {line}")
                last = line
            if results.ended(objects):
                break
            for service in services:
                service.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the jobs have not ended within {_DEADLINE_SECONDS:.0f} s: {view.line(objects)}")
            time.sleep(0.25)


def _show(cluster: LocalCluster, emulator: Emulator) -> bool:
    """Print what there is, and whether it is what there should be."""
    console.print()
    console.print("[bold]kubectl get batchaccounts,batchpools,batchjobs,batchtasks[/]")
    console.print(cluster.kubectl("get", "bacc,bp,bj,bt").stdout.rstrip(), markup=False)
    objects = results.read(cluster)
    for failure in results.failures(objects):
        console.print()
        console.print(f"[bold]Why {failure.job} failed[/]")
        console.print(f"  {failure.message}", markup=False)
        for line in failure.stderr.splitlines():
            console.print(f"  stderr │ {line}", markup=False)
    asyncio.run(_fetch_picture(emulator))
    console.print()
    missing = results.missing(objects, PICTURE)
    for each in missing:
        console.print(f"[red]✗ {each}[/]")
    if not missing:
        console.print(f"[green]✓[/] every expected result is there; the picture is [bold]{PICTURE.relative_to(Path.cwd())}[/]"
                      if PICTURE.is_relative_to(Path.cwd()) else f"[green]✓[/] the picture is {PICTURE}")  # fmt: skip
    return not missing


async def _fetch_picture(emulator: Emulator) -> None:
    """Fetch the finished picture from Batch, as any client of the service would."""
    async with BatchClient(emulator.endpoint, SharedKey(emulator.account, emulator.key)) as client:
        try:
            PICTURE.write_bytes(await client.task_files.read("render", "merge", "wd/picture.png"))
        except BatchError as error:
            console.print(f"[red]The picture could not be fetched: {error}[/]")


def _tell_how_to_look_around(cluster: LocalCluster, heading: str) -> None:
    console.print()
    console.print(heading)
    # The plugin of kubectl is beside the Python of `make setup`.
    path = f"{cluster.programs.kubectl.parent}:{Path(sys.executable).parent}"
    for line in (
        f"export KUBECONFIG={cluster.kubeconfig} PATH={path}:$PATH",
        "kubectl get azurebatch -o wide               # everything",
        "kubectl describe batchjob/checks             # why it failed, with the end of stderr",
        "kubectl azure-batch why bj/checks            # the cause in a paragraph",
        "kubectl scale batchpool/cpu --replicas=6     # more nodes",
        "kubectl delete azurebatch --all              # gone, in Kubernetes and in Batch",
    ):
        console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    main()

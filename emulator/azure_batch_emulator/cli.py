"""The command ``azure-batch-emulator``: one line on stdout when ready, logs on stderr."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from azure_batch_emulator.config import (
    COUNTS_LAG,
    DEFAULT_ACCOUNT,
    DEFAULT_KEY,
    ContainerMode,
    EmulatorConfig,
    ExecutorName,
)
from azure_batch_emulator.emulator import ConfigurationError, Emulator


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "auto_envvar_prefix": "AZURE_BATCH_EMULATOR",
    }
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=10100, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Name of the Batch account.")
@click.option("--key", default=DEFAULT_KEY, help="Shared key of the account, base64. The default is fixed and public.")
@click.option(
    "--also",
    multiple=True,
    metavar="NAME:KEY",
    help="A further account with its key; may be given several times.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How many times faster than the real service nodes start, pools resize and deletions end, up to 10,000. "
    "Tasks themselves run at their own speed.",
)
@click.option(
    "--executor",
    type=click.Choice(["process", "simulated"]),
    default="process",
    show_default=True,
    help="Run tasks as processes, or only say how they would have ended (for very many).",
)
@click.option(
    "--containers",
    type=click.Choice(["process", "refuse"]),
    default="process",
    show_default=True,
    help="Run tasks with container settings as plain processes, or let them fail at once.",
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where node directories and blobs are kept. Without it: a temporary directory, removed at the end.",
)
@click.option(
    "--state-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep everything there when the emulator stops, and go on with it at the next start.",
)
@click.option(
    "--seed-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Begin with the pools, jobs, tasks, jobSchedules and applications of this file, YAML or JSON with the bodies of "
    "the API. Not read when the state file is there already.",
)
@click.option(
    "--tls-port",
    type=int,
    help="Serve the same over TLS, with a token endpoint like Entra ID's; 0 takes a free port. "
    "The ready line then names the endpoint and the file of the authority to trust.",
)
@click.option(
    "--counts-lag",
    type=click.FloatRange(min=0),
    default=COUNTS_LAG,
    show_default=True,
    metavar="SECONDS",
    help="By how much the counts of tasks and nodes are behind, in seconds of service time. The real ones lag too: "
    "by seconds as a rule, by minutes at times.",
)
@click.option(
    "--subscription",
    metavar="ID",
    help="The subscription that the accounts are in. Subnets of other subscriptions are then refused, as by the service.",
)
@click.option("--any-image", is_flag=True, help="Accept Marketplace images that the service does not know.")
@click.option("--exact-counts", is_flag=True, help="Counts are never behind; the same as --counts-lag 0.")
@click.option("--seed", type=int, help="Make node ids, simulated tasks and fault probabilities repeatable.")
@click.option("--allow-remote", is_flag=True, help="Listen beyond this machine. Tasks are commands: think first.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="What goes to stderr.",
)
def main(
    host: str,
    port: int,
    account: str,
    key: str,
    also: tuple[str, ...],
    time_scale: float,
    executor: ExecutorName,
    containers: ContainerMode,
    work_dir: Path | None,
    state_file: Path | None,
    seed_file: Path | None,
    tls_port: int | None,
    counts_lag: float,
    subscription: str | None,
    any_image: bool,
    exact_counts: bool,
    seed: int | None,
    allow_remote: bool,
    log_level: str,
) -> None:
    """Run an emulator of the Azure Batch service on this machine.

    When it is ready it prints one line with endpoint, account and key. Point any Batch client there with shared-key
    authentication; stop it with Ctrl-C. Without --state-file nothing is left then; processes never outlive it.

    \b
    Example (Python):
      BatchClient("http://127.0.0.1:10100", AzureNamedKeyCredential("devaccount", KEY))
    """
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = EmulatorConfig(
        host=host,
        port=port,
        account=account,
        key=key,
        accounts=_keys(also),
        time_scale=time_scale,
        executor=executor,
        containers=containers,
        work_dir=work_dir,
        seed=seed,
        subscription=subscription,
        any_image=any_image,
        counts_lag=0.0 if exact_counts else counts_lag,
        allow_remote=allow_remote,
        tls_port=tls_port,
        state_file=state_file,
        seed_file=seed_file,
    )
    try:
        asyncio.run(_run(config))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None


def _keys(others: tuple[str, ...]) -> dict[str, str]:
    """Keys of further accounts, by name."""
    accounts = {}
    for other in others:
        name, colon, key = other.partition(":")
        if not colon:
            raise click.BadParameter("an account is given as NAME:KEY", param_hint="--also")
        accounts[name] = key
    return accounts


async def _run(config: EmulatorConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Emulator(config) as emulator:
        click.echo(f"azure-batch-emulator ready: {describe(emulator)}")
        sys.stdout.flush()
        await stop.wait()


def describe(emulator: Emulator) -> str:
    """The stable, parseable part of the line that says the emulator is ready."""
    config = emulator.config
    text = f"endpoint={emulator.endpoint} account={config.account} key={config.key}"
    if emulator.tls_endpoint:
        text += f" tls-endpoint={emulator.tls_endpoint} ca={emulator.ca_file}"
    return text

"""The command ``azure-batch-emulator``: writes one line to stdout when ready, and logs to stderr."""

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
@click.option("--port", default=10100, show_default=True, help="Port to listen on; 0 selects a free port.")
@click.option("--account", default=DEFAULT_ACCOUNT, show_default=True, help="Name of the Batch account.")
@click.option("--key", default=DEFAULT_KEY, help="Shared key of the account, in base64. The default is public.")
@click.option(
    "--also",
    multiple=True,
    metavar="NAME:KEY",
    help="Another account and its key. Can be repeated.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Speed of the service: 100 makes node starts, resizes and deletions 100 times faster. At most 10,000. "
    "Does not affect the processes of tasks.",
)
@click.option(
    "--executor",
    type=click.Choice(["process", "simulated"]),
    default="process",
    show_default=True,
    help="Run tasks as processes, or simulate them without running anything (for many tasks).",
)
@click.option(
    "--containers",
    type=click.Choice(["process", "refuse"]),
    default="process",
    show_default=True,
    help="Run tasks with container settings as plain processes, or make them fail.",
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for node directories and blobs. The default is a temporary directory that is removed at exit.",
)
@click.option(
    "--state-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the state to this file at exit, and load it at the next start.",
)
@click.option(
    "--seed-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Create the pools, jobs, tasks, jobSchedules and applications in this YAML or JSON file at the start. It contains "
    "request bodies of the API. Ignored if the state file exists.",
)
@click.option(
    "--tls-port",
    type=int,
    help="Port for TLS, which also serves a token endpoint like that of Entra ID; 0 selects a free port. "
    "The ready line then contains the endpoint and the file of the CA certificate to trust.",
)
@click.option(
    "--counts-lag",
    type=click.FloatRange(min=0),
    default=COUNTS_LAG,
    show_default=True,
    metavar="SECONDS",
    help="Delay of the counts of tasks and nodes, in seconds of service time. In the real service they usually lag by "
    "seconds, sometimes by minutes.",
)
@click.option(
    "--subscription",
    metavar="ID",
    help="Subscription of the accounts. If set, subnets of other subscriptions are rejected, as by the real service.",
)
@click.option("--any-image", is_flag=True, help="Accept any Marketplace image, even if the service does not list it.")
@click.option("--exact-counts", is_flag=True, help="Do not delay counts; the same as --counts-lag 0.")
@click.option(
    "--seed", type=int, help="Seed that makes node IDs, simulated tasks and fault probabilities reproducible."
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow a --host that other machines can reach. Their users can then run commands here.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Minimum level of the logs on stderr.",
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

    When the emulator is ready, it prints one line with endpoint, account and key. Connect any Batch client with
    shared-key authentication. Stop the emulator with Ctrl-C: it ends all processes, and discards its state unless
    --state-file is set.

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
    """Keys of the other accounts, by name."""
    accounts = {}
    for other in others:
        name, colon, key = other.partition(":")
        if not colon:
            raise click.BadParameter(f"{name!r} has no key: use the form NAME:KEY", param_hint="--also")
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
    """The stable, parseable part of the ready line."""
    config = emulator.config
    text = f"endpoint={emulator.endpoint} account={config.account} key={config.key}"
    if emulator.tls_endpoint:
        text += f" tls-endpoint={emulator.tls_endpoint} ca={emulator.ca_file}"
    return text

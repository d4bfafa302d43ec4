"""`azure-batch-operator`: the command line."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import click
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError
from pythonjsonlogger.json import JsonFormatter

from azure_batch_operator.app import App
from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="azure-batch-operator")
def main() -> None:
    """Kubernetes operator for the Azure Batch data plane."""


@main.command()
@click.option("--namespace", "namespaces", multiple=True, help="Watch only this namespace; may be repeated.")
@click.option("--http-host", help="Address of /healthz, /readyz and /metrics.")
@click.option("--http-port", type=int, help="Their port; 0 for a free one.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="A further host that credentials may be sent to.")
@click.option(
    "--identity-namespace",
    "identity_namespaces",
    multiple=True,
    help="A namespace whose accounts may sign in as the operator itself; * for all.",
)
@click.option("--authority", help="Host that Entra tokens come from.")
@click.option("--authority-ca-file", help="PEM file of certificate authorities to trust for it.")
@click.option(
    "--reconcile-policy",
    type=click.Choice(["manage", "skip", "detach-on-delete"]),
    help="Policy of objects that neither they nor their namespace state.",
)
@click.option("--workers", type=int, help="Objects that are reconciled at once.")
@click.option("--poll-seconds", type=float, help="Least seconds between two polls of an account.")
@click.option("--idle-poll-seconds", type=float, help="Most seconds between two polls of an account.")
@click.option("--resync-seconds", type=float, help="Seconds between full comparisons with the API server.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How log lines look.")
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="Least level of log lines.")
def run(**options: Any) -> None:
    """Run the operator, by KUBECONFIG or in a cluster.

    Each option can also be given by the environment, as AZURE_BATCH_OPERATOR_ and its name in capitals.
    """
    try:
        settings = Settings(**{name: value for name, value in options.items() if value not in (None, ())})
    except ValidationError as error:
        problems = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
        raise click.UsageError(problems) from None
    _configure_logging(settings)
    try:
        asyncio.run(App(settings).run())
    except (ConfigException, KubeError, OSError) as error:
        sys.exit(f"azure-batch-operator cannot start: {error}")
    except ExceptionGroup as errors:  # already logged by the service that died
        sys.exit(f"azure-batch-operator ends, because a service died: {errors.exceptions[0]}")


def _configure_logging(settings: Settings) -> None:
    handler = logging.StreamHandler()
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    # Kopf logs a line per object and event; ours say what matters.
    logging.getLogger("kopf").setLevel(logging.WARNING)

"""`azure-batch-operator`: the command line. The flags of `run` are generated from the model of the settings."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import click
from kubernetes.aio.config import ConfigException
from pydantic.fields import FieldInfo

from azure_batch_operator import check as checks
from azure_batch_operator import logs, tracing
from azure_batch_operator.app import App
from azure_batch_operator.kube.api import KubeError
from azure_batch_operator.settings import CONFIG_VARIABLE, Settings, SettingsError, flag_of, load, wants_json

logger = logging.getLogger(__name__)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="azure-batch-operator")
def main() -> None:
    """Kubernetes operator for the Azure Batch data plane."""


def _option(name: str, field: FieldInfo) -> Callable[[Any], Any]:
    """The click option of a setting. Without a default: what is not given is left to the environment and the file."""
    annotation = field.annotation
    if get_origin(annotation) is UnionType:
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    text, flag = field.description or "", flag_of(name)
    if annotation is bool:
        return click.option(f"{flag}/--no-{flag.removeprefix('--')}", name, default=None, help=text)
    if get_origin(annotation) is tuple:
        return click.option(flag, name, multiple=True, help=f"{text} May be repeated.")
    kind: Any = annotation
    if get_origin(annotation) is Literal:
        kind = click.Choice(get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, StrEnum):
        kind = click.Choice([choice.value for choice in annotation])
    default = "" if field.default in ("", None) else f" [default: {field.default}]"
    return click.option(flag, name, type=kind, help=text + default)


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, field in reversed(Settings.model_fields.items()):
        command = _option(name, field)(command)
    return command


@main.command()
@click.option("--config", envvar=CONFIG_VARIABLE, help="YAML file with settings, by their names in camelCase.")
@_settings_options
def run(config: str | None, **options: Any) -> None:
    """Run the operator, by KUBECONFIG or in a cluster.

    Each option can also be given by the environment, as AZURE_BATCH_OPERATOR_ and its name in capitals (lists by their plural, with
    commas), or in a file; an option is stronger than the environment, the environment than the file.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    try:
        settings = load(given, os.environ, config)
    except SettingsError as error:
        if not wants_json(given, os.environ, config):
            raise click.UsageError(str(error)) from None
        logs.configure("json", "INFO")
        logger.critical("azure-batch-operator cannot start: %s", error)
        sys.exit(2)
    logs.configure(settings.log_format, settings.log_level)
    try:
        tracing.configure(os.environ)
        # Modules and classes stay: the garbage collector need not look at them again and again.
        gc.freeze()
        asyncio.run(App(settings).run())
    except (ConfigException, KubeError, OSError, tracing.TracingError) as error:
        logger.critical("azure-batch-operator cannot start: %s", error)
        sys.exit(1)
    except ExceptionGroup as errors:  # already logged by the service that died
        logger.critical("azure-batch-operator exits, because a service failed: %s", errors.exceptions[0])
        sys.exit(1)
    finally:
        tracing.shutdown()


@main.command()
@click.option("--operator-url", help="URL of the operator's /healthz and /readyz. Not checked by default.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="Namespace whose accounts are checked. Defaults to those of the setting namespaces, else to all.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for success."
)
def check(operator_url: str | None, namespaces: tuple[str, ...], timeout: float) -> None:
    """Check the installation: whether kinds are served, the operator is ready, and accounts are usable. Exits with 1 if not.

    It needs only the permissions of the operator; `helm test` runs it.
    """
    try:
        watched = namespaces or load({}, os.environ, os.environ.get(CONFIG_VARIABLE)).namespaces
        findings = asyncio.run(checks.run(operator_url, watched, timeout))
    except SettingsError as error:
        sys.exit(f"azure-batch-operator check cannot read the operator's settings: {error}")
    except (ConfigException, OSError) as error:
        sys.exit(f"azure-batch-operator check cannot reach a cluster: {error}")
    for finding in findings:
        click.echo(f"{'ok  ' if finding.good else 'FAIL'}  {finding.text}")
    sys.exit(0 if all(finding.good for finding in findings) else 1)

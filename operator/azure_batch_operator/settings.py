"""All settings of the operator in one model.

Each can be given by a flag of `azure-batch-operator run`, by an AZURE_BATCH_OPERATOR_… variable, or in a YAML file; flags are
stronger than variables, variables than the file. Flags, docs/configuration.md and the chart's schema are made from this model.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from azure_batch_operator.reconcile.reconcile_policy import Policy
from azure_batch_operator.words import listed

PREFIX = "AZURE_BATCH_OPERATOR_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
# What Kubernetes puts into every pod of a namespace for a Service of such a name; what is only …PORT holds a URL.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=|\w+_PORT=\w+://"
)

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = "[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?"
Namespace = Annotated[str, StringConstraints(pattern=f"^{_LABEL}$")]
AnyNamespace = Annotated[str, StringConstraints(pattern=rf"^({_LABEL}|\*)$")]
HostPattern = Annotated[str, StringConstraints(pattern=rf"^(\.?{_HOST}|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)$")]
# Several texts: a repeated flag, a variable with commas or JSON between them, a list in the file.
Namespaces = Annotated[tuple[Namespace, ...], NoDecode]
AnyNamespaces = Annotated[tuple[AnyNamespace, ...], NoDecode]
ClusterId = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9._-]+$", max_length=64)]
ClusterIds = Annotated[tuple[ClusterId, ...], NoDecode]
HostPatterns = Annotated[tuple[HostPattern, ...], NoDecode]


class SettingsError(Exception):
    """A setting is wrong; the message names it, in each way it can be given."""


_LONGEST_SHARED_LEASE = 63
"""Characters of a value of a label."""


class Settings(BaseSettings):
    """How the operator runs. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    namespaces: Namespaces = Field(default=(), description="Namespaces to watch. Defaults to all.")
    cluster_id: str = Field(
        default="",
        max_length=64,
        pattern="^[A-Za-z0-9._-]*$",
        description="ID of this cluster in the ownership markers in Azure Batch. Defaults to the UID of the namespace "
        "kube-system. Do not change it while objects exist: resources with another ID belong to another cluster.",
    )
    adopt_from_clusters: ClusterIds = Field(
        default=(),
        description="IDs of lost clusters. Resources in Azure Batch that their objects owned are adopted by objects of the "
        "same namespace, kind and name in this cluster. Use it only for clusters that will never run again.",
    )
    http_host: str = Field(default="0.0.0.0", min_length=1, description="Address for /healthz, /readyz and /metrics.")  # noqa: S104
    http_port: int = Field(
        default=8080, ge=0, le=65535, description="Port for /healthz, /readyz and /metrics. 0 selects a free port."
    )
    allowed_hosts: HostPatterns = Field(
        default=(),
        description="Hosts that credentials may be sent to, in addition to those of Azure Batch. .name allows a domain.",
    )
    identity_namespaces: AnyNamespaces = Field(
        default=(),
        description="Namespaces whose BatchAccounts may sign in with the operator's own identity. * allows all.",
    )
    authority: str = Field(
        default="login.microsoftonline.com",
        pattern=f"^{_HOST}(:[0-9]{{1,5}})?$",
        description="Host, with an optional port, that issues Entra ID tokens.",
    )
    authority_ca_file: str | None = Field(
        default=None,
        description="PEM file with the CA certificates to trust for the authority, instead of those of the system.",
    )
    reconcile_policy: Policy = Field(
        default=Policy.MANAGE,
        description="Reconcile policy of objects for which neither the object nor its namespace sets one: manage, skip or "
        "detach-on-delete.",
    )
    workers: int = Field(
        default=16, ge=1, le=256, description="Number of objects of an account that are reconciled concurrently."
    )
    poll_seconds: float = Field(
        default=1.0, gt=0, description="Minimum interval between two polls of an account, in seconds."
    )
    idle_poll_seconds: float = Field(
        default=60.0, gt=0, description="Maximum interval between two polls of an account, in seconds."
    )
    resync_seconds: float = Field(
        default=600.0, gt=0, description="Interval between full resyncs with the API server, in seconds."
    )
    task_source_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Interval between checks for changes of the ConfigMaps that jobs take their tasks from, in seconds.",
    )
    leader_election: bool = Field(
        default=False,
        description="Whether to reconcile only while holding the Lease. Required with more than one replica.",
    )
    shards: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of parts that the BatchAccounts are divided into, to share them among replicas. With more than one, "
        "each replica reconciles the accounts of the shards whose Leases it holds. All replicas need the same number.",
    )
    lease_name: str = Field(
        default="azure-batch-operator",
        pattern="^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        description="Name of the Lease in the operator's namespace.",
    )
    lease_seconds: float = Field(
        default=15.0,
        ge=1,
        le=300,
        description="Time in seconds after which another replica takes over from a leader that stopped renewing the Lease.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Format of log lines: text or json.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Minimum level of log lines: DEBUG, INFO, WARNING or ERROR."
    )

    @field_validator("namespaces", "allowed_hosts", "identity_namespaces", "adopt_from_clusters", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith("["):
            try:
                return json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"not a JSON list: {error}") from None
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("authority_ca_file")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ValueError) as error:
            raise ValueError(f"no certificates can be read from {value!r}: {error}") from None
        return value

    @property
    def elects(self) -> bool:
        """Whether replicas agree by Leases who acts."""
        return self.leader_election or self.shards > 1

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.idle_poll_seconds < self.poll_seconds:
            raise ValueError(
                f"idlePollSeconds ({self.idle_poll_seconds:g}) is less than pollSeconds ({self.poll_seconds:g}): raise the former "
                "or lower the latter"
            )
        if self.shards > 1 and len(self.lease_name) > _LONGEST_SHARED_LEASE:
            raise ValueError(
                f"leaseName has {len(self.lease_name)} characters, but with shards it is also the value of a label: "
                f"use at most {_LONGEST_SHARED_LEASE} characters"
            )
        return self


def _suggested(name: str, known: Iterable[str]) -> str:
    """A name that does not exist, with the one that is likely meant."""
    # The prefix of the variables would make all of them alike.
    by_end = {setting.removeprefix(PREFIX): setting for setting in known}
    near = get_close_matches(name.removeprefix(PREFIX), by_end, n=1, cutoff=0.8)
    return f"{name} (did you mean {by_end[near[0]]}?)" if near else name


def flag_of(name: str) -> str:
    """The flag of a setting; one that is repeated has its name in the singular."""
    singular = name.removesuffix("s") if get_origin(Settings.model_fields[name].annotation) is tuple else name
    return "--" + singular.replace("_", "-")


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return PREFIX + name.upper()


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None = None) -> Settings:
    """The settings from all three.

    Args:
        flags: by the names of the model; only those that were given.
        environ: the process's environment; read by pydantic-settings itself, here only looked through for unknown names.
        file: path of a YAML file with the settings' names in camelCase.

    Raises:
        SettingsError: with everything that is wrong.
    """
    unknown = sorted(
        name
        for name, value in environ.items()
        if name.startswith(PREFIX)
        and name != CONFIG_VARIABLE
        and name.removeprefix(PREFIX).lower() not in Settings.model_fields
        and not _SERVICE_LINK.match(f"{name}={value}")
    )
    if unknown:
        known = [*map(variable_of, Settings.model_fields), CONFIG_VARIABLE]
        told = [_suggested(name, known) for name in unknown]
        more = ": docs/configuration.md lists all" if told == unknown else ""
        raise SettingsError(f"there is no setting {listed(told, 'or')}{more}")
    content = _read(file) if file else {}

    class _Settings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=content)

    try:
        return _Settings(**flags)
    except ValidationError as error:
        raise SettingsError("; ".join(_problems(error))) from None


def wants_json(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None = None) -> bool:
    """Whether log lines are to be JSON, as far as settings that may be wrong tell it: for the line that says what is wrong."""
    asked = flags.get("log_format") or environ.get(variable_of("log_format"))
    if asked is None and file:
        try:
            found = _FORMAT.search(Path(file).read_text())
        except (OSError, ValueError):
            found = None
        asked = found[1] if found else None
    return asked == "json"


_FORMAT = re.compile(r"""(?m)^[ \t{,"']*logFormat["']?[ \t]*:[ \t]*["']?(\w+)""")


def _read(file: str) -> dict[str, Any]:
    names = {to_camel(name): name for name in Settings.model_fields}
    try:
        content = yaml.safe_load(Path(file).read_text()) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {file} cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise SettingsError(f"the file {file} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"the file {file} does not contain a mapping of settings")
    if unknown := [str(key) for key in content if key not in names]:
        told = [_suggested(name, names) for name in unknown]
        raise SettingsError(f"the file {file} has no setting {listed(told, 'or')}; there are {listed(names)}")
    return {names[key]: value for key, value in content.items()}


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if name in Settings.model_fields:
            yield f"{name} ({flag_of(name)}, {variable_of(name)}, {to_camel(name)}): {problem['msg']}"
        else:
            yield f"{name}: {problem['msg']}" if name else problem["msg"].removeprefix("Value error, ")

"""All settings of the operator in one model: flags of `azure-batch-operator run`, or AZURE_BATCH_OPERATOR_… variables."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from azure_batch_operator.reconcile.policy import Policy


class Settings(BaseSettings):
    """How the operator runs. Environment: AZURE_BATCH_OPERATOR_ and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="AZURE_BATCH_OPERATOR_", frozen=True)

    namespaces: tuple[str, ...] = Field(default=(), description="Watch only these namespaces; all if empty.")
    http_host: str = Field(default="0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104
    http_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0 for a free one."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts besides those of Azure Batch that credentials may be sent to; .name for a domain.",
    )
    identity_namespaces: tuple[str, ...] = Field(
        default=(), description="Namespaces whose accounts may sign in as the operator itself; * for all."
    )
    authority: str = Field(default="login.microsoftonline.com", description="Host that Entra tokens come from.")
    authority_ca_file: str | None = Field(
        default=None, description="PEM file of certificate authorities to trust for it."
    )
    reconcile_policy: Policy = Field(
        default=Policy.MANAGE,
        description="Policy of objects that neither they nor their namespace state: manage, skip or detach-on-delete.",
    )
    workers: int = Field(default=16, ge=1, le=256, description="Objects that are reconciled at once.")
    poll_seconds: float = Field(default=1.0, gt=0, description="Least seconds between two polls of an account.")
    idle_poll_seconds: float = Field(default=60.0, gt=0, description="Most seconds between two polls of an account.")
    resync_seconds: float = Field(
        default=600.0, gt=0, description="Seconds between full comparisons with the API server."
    )
    log_format: str = Field(default="text", pattern="^(text|json)$", description="text or json.")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )

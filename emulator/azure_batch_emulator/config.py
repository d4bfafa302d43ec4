"""What an emulator is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_ACCOUNT = "devaccount"
# Public on purpose: everybody's development key, as Azurite has one. It opens nothing but emulators.
DEFAULT_KEY = "F4WsGqNhp4o7RuKG9duElqNm2Z/Oy1dMGDAt5VqwbWcttIDSfE/MaefjRomYK5wj2XoSobcyxITWH487UjfM1Q=="
# At this scale, the shortest interval that recurs in the service, 30 seconds, is 3 ms: still longer than a round of the event loop.
MAX_TIME_SCALE = 10_000.0
# Service seconds by which counts of tasks and nodes are behind. The real ones lag by anything up to minutes.
COUNTS_LAG = 5.0

ExecutorName = Literal["process", "simulated"]
ContainerMode = Literal["process", "refuse"]


@dataclass(slots=True)
class Quotas:
    """Limits of one account (docs/azure-batch.md#limits); they may be changed while the emulator runs."""

    pools: int = 100
    active_jobs_and_schedules: int = 300
    dedicated_cores: int = 500
    low_priority_cores: int = 500


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Settings of one emulator.

    Attributes:
        host: address to listen on; anything beyond loopback needs `allow_remote`, because tasks are commands.
        port: 0 takes a free one.
        account: name of the Batch account.
        key: its key, base64.
        accounts: further accounts, name to key.
        time_scale: how many times faster than the real service everything happens that the service itself times, at most
            `MAX_TIME_SCALE`.
        executor: ``process`` runs tasks for real, ``simulated`` derives durations and exit codes by rules.
        work_dir: where node directories and blobs live; a temporary directory, removed at the end, when left out.
        containers: whether tasks with container settings run as plain processes or fail at once.
        seed: makes node ids, fault probabilities and simulated tasks repeatable.
        state_file: where everything is kept when the emulator stops, to continue with at the next start. Without a
            `work_dir`, node directories and blobs are then kept beside it.
        subscription: id of the subscription that the account is in; subnets of others are then refused.
        any_image: accept Marketplace images that the service does not know.
        counts_lag: service seconds by which the counts of tasks and nodes are behind; 0 makes them exact.
        seed_file: YAML or JSON of pools, jobs, tasks and schedules to begin with; not read when a state file is there.
        tls_port: where the same is served over TLS, with a token endpoint; None for nowhere, 0 for a free port.
    """

    host: str = "127.0.0.1"
    port: int = 10100
    account: str = DEFAULT_ACCOUNT
    key: str = field(default=DEFAULT_KEY, repr=False)
    accounts: dict[str, str] = field(default_factory=dict, repr=False)
    time_scale: float = 1.0
    executor: ExecutorName = "process"
    work_dir: Path | None = None
    allow_remote: bool = False
    tls_port: int | None = None
    state_file: Path | None = None
    seed_file: Path | None = None
    containers: ContainerMode = "process"
    seed: int | None = None
    counts_lag: float = COUNTS_LAG
    subscription: str | None = None
    any_image: bool = False
    quotas: Quotas = field(default_factory=Quotas)

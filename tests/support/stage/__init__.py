"""The quick stage: the real operator between an API server in memory and the emulator, in one process, on one virtual clock.

`tests/quick/README.md` shows how to write a test on it. One module per part: `clock` (virtual time), `wire` (a network without
sockets), `apiserver` with `schemas`, `rules` and `patches`, `api` (the operator's way to it), `watching` (how it hears of changes),
`azure` (the emulator), `process` (the operator: start, kill, freeze), `faults`, and `stage`, which puts them together.
"""

from support.stage.apiserver import Refusal
from support.stage.builders import config_map, job, operation, pool, schedule, secret, sleeping, task, thing
from support.stage.stage import Options, Stage, run_on_stage

__all__ = [
    "Options",
    "Refusal",
    "Stage",
    "config_map",
    "job",
    "operation",
    "pool",
    "run_on_stage",
    "schedule",
    "secret",
    "sleeping",
    "task",
    "thing",
]

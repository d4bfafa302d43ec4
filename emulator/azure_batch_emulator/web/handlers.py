"""Every operation's handler, by operation id."""

from __future__ import annotations

from azure_batch_emulator.web import account, files, jobs, nodes, pools, schedules, tasks
from azure_batch_emulator.web.messages import Handler

HANDLERS: dict[str, Handler] = (
    account.HANDLERS
    | pools.HANDLERS
    | nodes.HANDLERS
    | jobs.HANDLERS
    | tasks.HANDLERS
    | files.HANDLERS
    | schedules.HANDLERS
)

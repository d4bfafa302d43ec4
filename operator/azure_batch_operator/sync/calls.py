"""Making the calls of a plan: after each of them what the mirror knows is old, and the poller is told to look again."""

from __future__ import annotations

import asyncio
import logging
import time

from azure_batch_operator.batch import BatchError, ConflictError, NotFoundError
from azure_batch_operator.reconcile.plan import Call, Table
from azure_batch_operator.reconcile.trouble import overtaken
from azure_batch_operator.sync.accounts import Session

logger = logging.getLogger(__name__)


async def make(session: Session, call: Call, *, twice: bool = False) -> bool:
    """Make a call.

    Args:
        twice: whether the same call was refused after the look before.

    Returns:
        False if the mirror turns out to be behind, so what was decided is void: the poller looks again first.

    Raises:
        BatchError: if the call failed in another way.
    """
    began = asyncio.get_running_loop().time()
    try:
        session.mirror.learn(call, await call.send(session.client), time.time())
    except BatchError as error:
        if call.table is Table.NODES and isinstance(error, ConflictError):
            # A node may be in no state for it; its pool goes on.
            logger.info("%s %s: %s", call.verb, call.id, error)
            return True
        if not overtaken(error, twice=twice):
            raise
        # Look again, then decide anew.
        logger.info("%s %s: %s", call.verb, call.id, error)
        if call.table is Table.TASKS and call.parent and isinstance(error, NotFoundError):
            session.mirror.jobs.touch(call.parent, began)
        return False
    else:
        return True
    finally:
        after = asyncio.get_running_loop().time()
        match call.table:
            case Table.POOLS:
                session.mirror.pools.touch(call.id, after)
            case Table.JOBS:
                session.mirror.jobs.touch(call.id, after)
            case Table.SCHEDULES:
                session.mirror.schedules.touch(call.id, after)
            case Table.NODES:
                session.mirror.pools.touch(call.parent or "", after)
            case Table.TASKS:
                session.mirror.tasks[(call.parent or "").lower()].touch(call.id, after)
        session.poller.poke()

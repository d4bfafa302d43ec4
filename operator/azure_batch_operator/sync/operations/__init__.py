"""Makes the calls of BatchOperations, one batch after another, as their plans request.

A plan orders a batch only when the API server has stored its targets as attempted. A call without a response is never simply
repeated: the target is read, and where that says nothing the outcome is Unknown (`reconcile.operation_verbs`). That is also how
a process continues with a batch that a former one has begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from azure_batch_operator.api.resource import Key
from azure_batch_operator.batch import BatchClient, BatchError
from azure_batch_operator.guard import refusal
from azure_batch_operator.kube.api import KubeApi
from azure_batch_operator.reconcile.error_classes import ClassifiedError, RetryClass, classify_error
from azure_batch_operator.reconcile.operation_order import Operate, Progress
from azure_batch_operator.sync.backoff import Backoff
from azure_batch_operator.sync.open_group import OpenGroup
from azure_batch_operator.sync.operations.attempts import Attempts
from azure_batch_operator.sync.operations.runs import Run
from azure_batch_operator.sync.operations.targets import Targets

logger = logging.getLogger(__name__)

_ACT = "operate"
_IN_FLIGHT = 8
"""Calls of all operations of an account at once: the others that share it keep half of its places."""
_REFUSED = ClassifiedError("", "", RetryClass.WAITING)


class Operations:
    """Carries out the operations of one account.

    Args:
        api: where files are kept.
        settled: is told the operations that have changed something, so that Azure Batch is worth a look.
        waiting: is told those that know more, but have changed nothing.
        stirred: is told the ID of a job of which something was changed, before `settled` is.
    """

    def __init__(
        self,
        client: BatchClient,
        api: KubeApi | None,
        settled: Callable[[Sequence[Key]], None],
        waiting: Callable[[Sequence[Key]], None],
        stirred: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settled, self._waiting, self._stirred = settled, waiting, stirred
        self._runs: dict[Key, Run] = {}
        places = asyncio.Semaphore(_IN_FLIGHT)
        self._targets = Targets(client, places)
        self._attempts = Attempts(client, api, self._targets, places, self._tell)
        self._backoff = Backoff(lambda: asyncio.get_running_loop().time())
        self._group = OpenGroup()

    def progress(self, key: Key, uid: str) -> Progress:
        """What is known of an operation beyond its status."""
        run = self._runs.get(key)
        if run is None or run.uid != uid:
            return Progress()
        chosen, looks = run.fresh
        untried = frozenset() if run.task is not None else run.untried
        return Progress(
            run.task is not None, chosen, looks, dict(run.results), untried, run.refused, run.problem, run.ending
        )

    def obey(self, key: Key, uid: str, order: Operate) -> float | None:
        """Do what a plan orders, unless something is in progress; seconds to wait if it was refused lately."""
        run = self._runs.get(key)
        if run is None or run.uid != uid:
            self.forget(key)
            run = self._runs[key] = Run(uid)
        if run.task is not None or not self._group.is_open:
            return None
        held = self._backoff.held(key, _ACT, uid)
        if held is not None:
            return held[0]
        run.stopped, run.ending = False, run.ending or order.ending
        run.task = self._group.start(self._obey(key, run, order))
        return None

    def hurry(self, key: Key) -> None:
        """Somebody wants another try now."""
        self._backoff.forget(key)

    def stop(self, key: Key) -> None:
        """Make no more calls for now: `obey` continues with what is left."""
        if (run := self._runs.get(key)) is not None:
            run.stopped = True

    def forget(self, key: Key) -> None:
        """The object is gone or done."""
        self._backoff.forget(key)
        run = self._runs.pop(key, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._group.run()

    async def _obey(self, key: Key, run: Run, order: Operate) -> None:
        run.problem = run.refused = None
        for value in order.request.secrets:
            run.secrets.add(value)
        run.acted, run.job = False, order.request.place.job
        try:
            if order.choose:
                await self._targets.choose(run, order.request)
            elif order.attempt:
                await self._attempts.attempt(key, run, order)
            else:
                # What was not tried is checked again, and is another try then.
                run.tries = {}
            if order.following and not run.stopped and run.refused is None:
                began = asyncio.get_running_loop().time()
                run.looks, run.looked_at = await self._targets.look(order.request, order.following), began
            if run.refused is not None and order.choose:
                self._backoff.refused(key, _ACT, run.uid, BatchError(run.refused[1]), _REFUSED)
            else:
                self._backoff.succeeded(key, _ACT)
        except BatchError as error:
            self._not_done(key, run, error)
        except Exception as error:
            self._not_done(key, run, refusal("operations", key, error))
        finally:
            run.task = None
            if self._runs.get(key) is run:
                self._tell(key, run)

    def _tell(self, key: Key, run: Run) -> None:
        """One that waits must not hurry the polls of its account each time that it looks again (decision 22)."""
        if run.acted and run.job:
            # No list shows what becomes of tasks that wait.
            self._stirred(run.job)
        acted, run.acted = run.acted, False
        (self._settled if acted else self._waiting)([key])

    def _not_done(self, key: Key, run: Run, error: BatchError) -> None:
        run.waits_for(error)
        wait = self._backoff.refused(key, _ACT, run.uid, error, classify_error(error))
        logger.info("%s is retried in %.0f s: %s", key, wait, error)

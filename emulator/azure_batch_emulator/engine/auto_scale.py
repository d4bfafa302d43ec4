"""Autoscale: formulas run on a pool's recorded samples, at its interval (docs/azure-batch.md#autoscale-formulas)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from azure_batch_emulator.autoscale import evaluate, parser
from azure_batch_emulator.autoscale.functions import round_half_away
from azure_batch_emulator.autoscale.samples import PERIOD, History, SampledMetric
from azure_batch_emulator.autoscale.values import EvaluationError
from azure_batch_emulator.clock import Timer
from azure_batch_emulator.engine import pool_rules, timings
from azure_batch_emulator.engine.entities import USABLE_NODE_STATES, Pool
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.wire.durations import duration_seconds
from azure_batch_emulator.wire.errors import BatchError, missing_property, resource_error
from azure_batch_emulator.wire.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, format_timestamp

DEFAULT_INTERVAL = "PT15M"
_FIRST_RUN = 10.0
# A 32-bit integer, as every other count of nodes.
_MAX_NODES = 2**31 - 1
_EVALUATION_ERROR = "The specified auto-scaling formula has evaluation error"
_SYNTAX_ERROR = "The specified auto-scaling formula has a syntax error"


@dataclass(slots=True)
class _Watch:
    """What continues for a pool whose autoscale is on."""

    history: History
    sampler: Timer | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a formula came to: targets, option, text of results, error or None."""

    dedicated: int
    low_priority: int
    option: str
    results: str
    error: dict[str, Any] | None


class AutoScale:
    """Samples, evaluates and applies."""

    def __init__(self, state: AccountState, events: Events) -> None:
        self._state = state
        self._events = events
        self._watches: dict[str, _Watch] = {}

    def check_syntax(self, formula: str) -> None:
        """Raises BatchError 400 for a formula that is too long or does not parse."""
        if len(formula.encode()) > parser.MAX_BYTES:
            raise BatchError("AutoScalingFormulaTooLong", {"MaxLimit": parser.MAX_BYTES})
        try:
            parser.parse(formula)
        except parser.FormulaSyntaxError as error:
            raise BatchError("AutoScalingFormulaSyntaxError", {"Message": str(error)}) from None

    # -- calls of users --

    def enable(self, pool: Pool, body: dict[str, Any]) -> None:
        """Turn autoscale on, or change formula or interval.

        Raises:
            BatchError: 400 without a formula when it is off, or for a wrong one; 409 while the pool is resized; 503
                when it was called less than 30 s ago.
        """
        formula = body.get("autoScaleFormula")
        if formula is None and not pool.enable_auto_scale:
            raise missing_property("autoScaleFormula")
        if formula is not None:
            self.check_syntax(formula)
        pool_rules.check_active(pool.state)
        # Recorded: a pool that is created without nodes does not count as being resized.
        settling = pool.allocation_state == "resizing" and not pool.nodes
        settling = settling and pool.target_dedicated + pool.target_low_priority == 0
        if pool.allocation_state != "steady" and not settling:
            raise BatchError("PoolBeingResized")
        now = self._state.clock.service_seconds()
        if pool.auto_scale_enabled_at is not None and now - pool.auto_scale_enabled_at < timings.AUTO_SCALE_PAUSE:
            raise BatchError("TooManyEnableAutoScaleRequests")
        pool.auto_scale_enabled_at = now
        interval = body.get("autoScaleEvaluationInterval")
        self.begin(
            pool, formula or pool.auto_scale_formula or "", interval or pool.auto_scale_interval or DEFAULT_INTERVAL
        )
        if not settling:
            pool.last_modified = self._state.clock.now()

    def begin(self, pool: Pool, formula: str, interval: str) -> None:
        """Scale a pool by a formula from now on."""
        pool.enable_auto_scale = True
        pool.auto_scale_formula, pool.auto_scale_interval = formula, interval
        clock = self._state.clock
        if pool.id.lower() not in self._watches:
            self._watches[pool.id.lower()] = _Watch(History(clock.service_seconds()))
            self._sample(pool)
        if pool.auto_scale_timer is not None:
            pool.auto_scale_timer.cancel()
        pool.auto_scale_timer = clock.call_later(_FIRST_RUN, self._run, pool)

    def disable(self, pool: Pool) -> None:
        """Turn autoscale off; targets keep their last value.

        Raises:
            BatchError: 409 PoolBeingDeleted.
        """
        pool_rules.check_active(pool.state)
        self.forget(pool)
        pool.enable_auto_scale = False
        pool.auto_scale_formula = pool.auto_scale_interval = pool.auto_scale_run = None
        now = self._state.clock.now()
        pool.last_modified = now
        if pool.allocation_state == "steady":
            # Recorded: a transition time without a transition (docs/azure-batch.md#etags).
            pool.allocation_time = now

    def forget(self, pool: Pool) -> None:
        """Stop sampling and running."""
        watch = self._watches.pop(pool.id.lower(), None)
        if watch is not None and watch.sampler is not None:
            watch.sampler.cancel()
        if pool.auto_scale_timer is not None:
            pool.auto_scale_timer.cancel()
            pool.auto_scale_timer = None

    def try_formula(self, pool: Pool, formula: str) -> dict[str, Any]:
        """Try a formula without any effect: an AutoScaleRun, also when it fails.

        Raises:
            BatchError: 409 when autoscale is off.
        """
        pool_rules.check_active(pool.state)
        if not pool.enable_auto_scale:
            raise BatchError("OperationNotValidOnPool", {"Reason": "Automatic scaling is not enabled on the pool."})
        return self._run_record(self.outcome(pool, formula))

    # -- time --

    def _sample(self, pool: Pool) -> None:
        watch = self._watches.get(pool.id.lower())
        if watch is None or self._state.pool_table.get(pool.id.lower()) is not pool:
            return
        clock = self._state.clock
        watch.history.take(clock.service_seconds(), self.measure(pool))
        watch.sampler = clock.call_later(PERIOD, self._sample, pool)

    def _run(self, pool: Pool) -> None:
        pool.auto_scale_timer = None
        if not pool.enable_auto_scale or pool.state != "active":
            return
        clock = self._state.clock
        if pool.allocation_state != "steady":
            pool.auto_scale_timer = clock.call_later(_FIRST_RUN, self._run, pool)
            return
        outcome = self.outcome(pool, pool.auto_scale_formula or "")
        pool.auto_scale_run = self._run_record(outcome)
        interval = duration_seconds(pool.auto_scale_interval or DEFAULT_INTERVAL)
        pool.auto_scale_timer = clock.call_later(interval, self._run, pool)
        targets = (outcome.dedicated, outcome.low_priority)
        if outcome.error is None and targets != (pool.target_dedicated, pool.target_low_priority):
            self._events.targets_computed(pool, *targets, outcome.option)

    def _run_record(self, outcome: Outcome) -> dict[str, Any]:
        record: dict[str, Any] = {
            "timestamp": format_timestamp(self._state.clock.now()),
            "results": outcome.results,
        }
        if outcome.error is not None:
            record["error"] = outcome.error
        return record

    # -- evaluation --

    def outcome(self, pool: Pool, formula: str) -> Outcome:
        """Evaluate a formula on a pool as it is now."""
        targets = (pool.target_dedicated, pool.target_low_priority)
        try:
            assigned = evaluate.run(parser.parse(formula), self._scope(pool))
            dedicated = _target(assigned, evaluate.DEDICATED, targets[0])
            low_priority = _target(assigned, evaluate.LOW_PRIORITY, targets[1])
        except parser.FormulaSyntaxError as error:
            return self._failed(targets, "AutoScalingFormulaSyntaxError", _SYNTAX_ERROR, str(error))
        except EvaluationError as error:
            return self._failed(targets, "AutoScalingFormulaEvaluationError", _EVALUATION_ERROR, str(error))
        text = evaluate.results(
            assigned | {evaluate.DEDICATED: float(dedicated), evaluate.LOW_PRIORITY: float(low_priority)}, 0, 0
        )
        return Outcome(dedicated, low_priority, assigned.get(evaluate.OPTION, "requeue"), text, None)

    @staticmethod
    def _failed(targets: tuple[int, int], code: str, message: str, reason: str) -> Outcome:
        text = evaluate.results({}, float(targets[0]), float(targets[1]))
        return Outcome(*targets, "requeue", text, resource_error(code, message, [("Message", reason)]))

    def _scope(self, pool: Pool) -> evaluate.Scope:
        clock = self._state.clock
        second = clock.service_seconds()
        wall = (clock.now() - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND
        watch = self._watches.get(pool.id.lower())
        history = watch.history if watch is not None else History(second)
        present = self.measure(pool)
        return evaluate.Scope(
            metrics={
                name: SampledMetric(name, history, second, wall, lambda value=value: value)  # type: ignore[misc]
                for name, value in present.items()
            },
            now=wall,
            source=self._state.random,
            defaults={
                evaluate.DEDICATED: float(pool.target_dedicated),
                evaluate.LOW_PRIORITY: float(pool.target_low_priority),
                evaluate.OPTION: "requeue",
            },
        )

    def measure(self, pool: Pool) -> dict[str, float]:
        """What a sample taken now holds, by variable (docs/azure-batch.md#variables-of-formulas)."""
        jobs = [job for job in self._state.job_table.values() if job.pool_id.lower() == pool.id.lower()]
        live = [job for job in jobs if job.state in ("active", "enabling")]
        active = running = 0
        for job in live:
            active += sum(task.spec.get("multiInstanceSettings", {}).get("numberOfInstances", 1) for task in job.ready)
        for job in jobs:
            running += job.counts.running
        nodes = list(pool.nodes.values())
        usable = [node for node in nodes if node.state in USABLE_NODE_STATES]
        slots = len(usable) * pool.slots_per_node
        used = sum(node.slots_used for node in usable)
        numbers = {
            "$CPUPercent": 100.0 * used / slots if slots else 0.0,
            "$ActiveTasks": active,
            "$RunningTasks": running,
            "$PendingTasks": active + running,
            "$SucceededTasks": sum(job.counts.succeeded for job in jobs),
            "$FailedTasks": sum(job.counts.failed for job in jobs),
            "$TaskSlotsPerNode": pool.slots_per_node,
            "$CurrentDedicatedNodes": pool.count(dedicated=True),
            "$CurrentLowPriorityNodes": pool.count(dedicated=False),
            "$UsableNodeCount": len(usable),
            "$PreemptedNodeCount": sum(node.state == "preempted" for node in nodes),
        }
        return {name: float(number) for name, number in numbers.items()}


def _target(assigned: dict[str, Any], name: str, present: int) -> int:
    if name not in assigned:
        return present
    number = round_half_away(assigned[name])
    if number < 0:
        raise EvaluationError(f"Line 1, Col 1: The variable {name} must not be negative")
    if number > _MAX_NODES:
        raise EvaluationError(f"Line 1, Col 1: The variable {name} must not be greater than {_MAX_NODES}")
    return int(number)

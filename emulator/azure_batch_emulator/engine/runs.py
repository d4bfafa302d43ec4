"""Commands in progress on nodes: they take slots, have a wall-clock limit, and report to whoever owns them."""

from __future__ import annotations

from collections.abc import Callable

from azure_batch_emulator.engine import ports
from azure_batch_emulator.engine.entities import Node, Run
from azure_batch_emulator.engine.events import Events
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.base import RunRequest, RunResult
from azure_batch_emulator.wire.durations import INFINITE


class Runs:
    """Starts and ends runs."""

    def __init__(self, state: AccountState, events: Events, limits: ports.Limits) -> None:
        self._state = state
        self._events = events
        self._limits = limits

    def reserve(self, node: Node, kind: str, slots: int) -> Run:
        """Take slots on a node for a command that will be started with `launch`."""
        run = Run(next(self._state.serial), kind, node, slots)
        node.runs[run.serial] = run
        node.slots_used += slots
        if kind in ("task", "subtask"):
            self._events.run_reserved(node)
        return run

    def launch(
        self,
        run: Run,
        request: RunRequest,
        owner: ports.RunOwner,
        wall_clock: str = INFINITE,
        returned: Callable[[], None] | None = None,
    ) -> None:
        """Start the command of a run whose slots are reserved.

        Args:
            returned: called when a command that leaves services has succeeded; the run continues until it is killed.
        """
        run.name = request.run_id
        observer = _Observer(self, run, owner, returned)
        run.handle = self._state.executor.start(request, observer)
        if wall_clock != INFINITE:
            self.limit(run, wall_clock, self._time_out)

    def limit(self, run: Run, wall_clock: str, callback: Callable[[Run], None]) -> None:
        """Call back when a run has had its wall-clock time, from now on, unless it ends before."""
        run.wall_clock = self._limits.watch(wall_clock, self._limits.reading(), callback, run)

    def refuse(self, run: Run, request: RunRequest, owner: ports.RunOwner, code: str, message: str) -> None:
        """End a run whose slots are reserved and whose command cannot be started."""
        run.name = request.run_id
        result = RunResult(None, failure=("UserError", code, message, (("Message", message),)))
        self._state.clock.call_later(0.0, _Observer(self, run, owner).on_finished, result)

    def kill(self, run: Run) -> None:
        """End a run; its owner hears of it unless the run is detached."""
        if run.handle is not None:
            run.handle.kill()
        elif not run.done:
            # Still waiting for its job preparation task: nothing runs, so it ends here.
            self.release(run)

    def release(self, run: Run) -> None:
        """Give a run's slots back."""
        if run.done:
            return
        run.done = True
        # Handle and run refer to each other: without this, each would stay until the next garbage collection.
        run.handle = None
        if run.wall_clock is not None:
            run.wall_clock.cancel()
        node = run.node
        node.runs.pop(run.serial, None)
        node.slots_used -= run.slots
        self._events.run_released(node)

    def now(self) -> int:
        """The present, in ticks."""
        return self._state.clock.now()

    def ended(self, run: Run, result: RunResult) -> None:
        """Note a run that is over."""
        self._state.timeline.ended(run, self.now(), result)

    def _time_out(self, run: Run) -> None:
        run.timed_out = True
        if run.handle is not None:
            run.handle.kill()


class _Observer:
    __slots__ = ("_owner", "_returned", "_run", "_runs")

    def __init__(self, runs: Runs, run: Run, owner: ports.RunOwner, returned: Callable[[], None] | None = None) -> None:
        self._runs = runs
        self._run = run
        self._owner = owner
        self._returned = returned

    def on_started(self) -> None:
        self._run.started = self._runs.now()
        if not self._run.detached:
            self._owner.run_started(self._run)

    def on_returned(self) -> None:
        if self._returned is not None and not self._run.detached:
            self._returned()

    def on_finished(self, result: RunResult) -> None:
        run = self._run
        if run.done:
            return
        self._runs.ended(run, result)
        detached = run.detached
        if not detached:
            self._owner.run_finished(run, result)
        self._runs.release(run)

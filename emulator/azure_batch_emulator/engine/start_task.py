"""The start task of a node: it runs when the node has booted, before any other task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure_batch_emulator.engine import environment, machine_rules, packages, ports, task_rules
from azure_batch_emulator.engine.entities import Node, Run
from azure_batch_emulator.engine.state import AccountState
from azure_batch_emulator.executors.base import RunRequest, RunResult


class StartTask:
    """The start task of a node: retried as often as it may, then the node has failed.

    Args:
        ended: told of the end of the last try, with what the failure was.
    """

    def __init__(
        self, state: AccountState, runs: ports.Runs, node: Node, ended: Callable[[Node, dict[str, Any] | None], None]
    ) -> None:
        self._state = state
        self._runs = runs
        self._ended = ended
        self._node = node
        self._spec: dict[str, Any] = node.start_task or {}
        self._attempt = 0
        self._boot = node.boot_time

    def launch(self) -> None:
        """Start a try."""
        node, spec = self._node, self._spec
        now = self._state.clock.now() // 10 * 10
        retry = {"lastRetryTime": now} if self._attempt else {}
        node.start_task_info = {"state": "running", "startTime": now, "retryCount": self._attempt} | retry
        run = self._runs.reserve(node, "start", 0)

        def variables(root: str) -> dict[str, str]:
            return (
                environment.node_variables(
                    self._state.account, self._state.endpoint, node.pool.id, node.id, root, dedicated=node.dedicated
                )
                | {"AZ_BATCH_TASK_DIR": f"{root}/startup", "AZ_BATCH_TASK_WORKING_DIR": f"{root}/startup/wd"}
                | packages.variables(self._state.applications, node, root)
                | environment.settings(spec.get("environmentSettings", ()))
            )

        request = RunRequest(
            place=self._state.place(node),
            directory="startup",
            command_line=spec["commandLine"],
            environment=variables,
            run_id=f"{node.pool.id}/startup",
            windows=node.windows,
            attempt=self._attempt,
            resource_files=spec.get("resourceFiles", ()),
        )
        if (problem := machine_rules.user_problem(spec, node.pool.spec)) is not None:
            self._runs.refuse(run, request, self, *problem)
            return
        self._runs.launch(run, request, self)

    def run_started(self, run: Run) -> None:
        """Nothing to do: the start is noted when the try begins."""

    def run_finished(self, run: Run, result: RunResult) -> None:
        """Retry, or tell the node how it went."""
        del run
        node = self._node
        if node.boot_time != self._boot or node.state in ("leavingpool", "preempted"):
            return
        if result.lost:
            self.launch()
            return
        outcome = task_rules.judge(result, timed_out=False)
        most = self._spec["maxTaskRetryCount"]
        if task_rules.should_retry(outcome, self._attempt, most):
            self._attempt += 1
            self.launch()
            return
        info = dict(node.start_task_info or {})
        info |= {"state": "completed", "endTime": self._state.clock.now() // 10 * 10, "result": outcome.result}
        if outcome.exit_code is not None:
            info["exitCode"] = outcome.exit_code
        if outcome.failure is not None:
            info["failureInfo"] = outcome.failure
        node.start_task_info = info
        self._ended(node, outcome.failure)
